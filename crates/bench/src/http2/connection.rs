//! One connection of the load: requests become bytes, bytes become replies.
//!
//! ```text
//!            request(tag, body)                receive(bytes)
//!                   │                                │
//!                   ▼                                ▼
//!   outbox ◀── HEADERS + DATA        frames ──▶ streams ──▶ on_reply(tag, body)
//! ```
//!
//! The caller moves `outbox` to the socket and the socket's bytes to
//! [`Connection::receive`]. A tag comes back exactly once. Anything the server
//! does against the RFC, and a GOAWAY, is an error of the whole connection: a
//! measurement over a half-working connection is worth nothing.

use std::collections::VecDeque;

use anyhow::{Context, Result, bail, ensure};
use bytes::{Buf, BytesMut};

use super::frame::{HEAD_BYTES, Head, PAYLOAD_MAX, flag, kind, setting};
use super::hpack::{Decoder, RequestBlocks, TABLE_SIZE};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The window every stream and connection starts with.
const WINDOW: i64 = 65_535;

/// The largest window there can be.
const WINDOW_MAX: i64 = 0x7fff_ffff;

/// How much of one reply a server may send us; no reply of a load comes near.
const REPLY_WINDOW: u32 = 4 << 20;

/// The connection's window is opened again after this much has come in.
const REFILL_BYTES: u32 = 1 << 29;

/// One request that waits for its reply.
#[derive(Default)]
struct Stream {
    tag: u32,
    body: Vec<u8>,
    http_status: Vec<u8>,
    grpc_status: Vec<u8>,
    grpc_message: Vec<u8>,
}

/// What the server allows us.
struct Allowed {
    /// Bytes of body on the whole connection.
    window: i64,
    /// Bytes of body on a new stream.
    stream_window: i64,
    streams: usize,
    table_size: usize,
}

/// A reply: the body of a request that went well, or what went wrong.
pub type Reply<'a> = Result<&'a [u8], String>;

/// The client's side of one connection with one path.
pub struct Connection {
    authority: String,
    path: String,
    /// Bytes for the socket. The caller takes them from the front.
    pub outbox: Vec<u8>,
    allowed: Allowed,
    /// Made when the server's settings are known.
    blocks: Option<RequestBlocks>,
    next_stream: u32,
    decoder: Decoder,
    /// By stream number from `oldest` on; `None` has been answered.
    streams: VecDeque<Option<Stream>>,
    oldest: u32,
    in_flight: usize,
    /// A header block that goes on in CONTINUATION frames, and its head.
    unfinished: Option<(Head, Vec<u8>)>,
    /// Bytes of bodies since the window was last opened.
    received: u32,
    /// Streams that were answered, emptied, to be used again.
    spare: Vec<Stream>,
}

impl Connection {
    /// A connection that has its greeting in the outbox.
    pub fn new(authority: &str, path: &str) -> Self {
        let mut outbox = PREFACE.to_vec();
        Head { length: 12, kind: kind::SETTINGS, flags: 0, stream: 0 }.write(&mut outbox);
        for (name, value) in [(setting::ENABLE_PUSH, 0), (setting::INITIAL_WINDOW_SIZE, REPLY_WINDOW)] {
            outbox.extend_from_slice(&name.to_be_bytes());
            outbox.extend_from_slice(&value.to_be_bytes());
        }
        write_window_update(&mut outbox, (WINDOW_MAX - WINDOW) as u32);
        Self {
            authority: authority.to_owned(),
            path: path.to_owned(),
            outbox,
            allowed: Allowed { window: WINDOW, stream_window: WINDOW, streams: usize::MAX, table_size: TABLE_SIZE },
            blocks: None,
            next_stream: 1,
            decoder: Decoder::new(),
            streams: VecDeque::new(),
            oldest: 1,
            in_flight: 0,
            unfinished: None,
            received: 0,
            spare: Vec::new(),
        }
    }

    /// Whether the server has said what it allows. No request may go before.
    pub fn is_ready(&self) -> bool {
        self.blocks.is_some()
    }

    /// Requests without a reply.
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Whether the server would take a request with this much body just now.
    ///
    /// # Errors
    /// When it never will.
    pub fn has_room(&self, body_bytes: usize) -> Result<bool> {
        ensure!(body_bytes <= PAYLOAD_MAX, "a request of {body_bytes} bytes does not fit one frame");
        let bytes = body_bytes as i64;
        ensure!(bytes <= self.allowed.stream_window, "the server's stream window is below {bytes} bytes");
        Ok(bytes <= self.allowed.window && self.in_flight < self.allowed.streams)
    }

    /// Puts a request into the outbox. Its reply will carry `tag`.
    pub fn request(&mut self, tag: u32, body: &[u8]) {
        let blocks = self.blocks.as_ref().expect("the server's settings come first");
        let stream = self.next_stream;
        assert!(stream < 1 << 31, "a connection has two thousand million streams and no more");
        let block = if stream == 1 { &blocks.first } else { &blocks.later };
        Head { length: block.len(), kind: kind::HEADERS, flags: flag::END_HEADERS, stream }.write(&mut self.outbox);
        self.outbox.extend_from_slice(block);
        Head { length: body.len(), kind: kind::DATA, flags: flag::END_STREAM, stream }.write(&mut self.outbox);
        self.outbox.extend_from_slice(body);

        self.next_stream += 2;
        self.allowed.window -= body.len() as i64;
        assert!(self.allowed.window >= 0, "the caller asks for room first");
        self.in_flight += 1;
        let mut waiting = self.spare.pop().unwrap_or_default();
        waiting.tag = tag;
        self.streams.push_back(Some(waiting));
    }

    /// Takes every whole frame from the front of `inbox`.
    ///
    /// # Errors
    /// When the server ends the connection or breaks the protocol.
    pub fn receive(&mut self, inbox: &mut BytesMut, mut on_reply: impl FnMut(u32, Reply<'_>)) -> Result<()> {
        let mut at = 0;
        while let Some((head, rest)) = inbox[at..].split_first_chunk() {
            let head = Head::parse(head);
            ensure!(head.length <= PAYLOAD_MAX, "the server sent a frame of {} bytes", head.length);
            let Some(payload) = rest.get(..head.length) else { break };
            self.frame(head, payload, &mut on_reply)?;
            at += HEAD_BYTES + head.length;
        }
        inbox.advance(at);
        Ok(())
    }

    fn frame(&mut self, head: Head, payload: &[u8], on_reply: &mut impl FnMut(u32, Reply<'_>)) -> Result<()> {
        if self.unfinished.is_some() {
            ensure!(head.kind == kind::CONTINUATION, "a frame of type {} within a header block", head.kind);
        }
        match head.kind {
            kind::DATA => {
                self.received += head.length as u32;
                if self.received >= REFILL_BYTES {
                    write_window_update(&mut self.outbox, std::mem::take(&mut self.received));
                }
                let body = without_padding(head, payload)?;
                self.stream(head.stream)?.body.extend_from_slice(body);
                if head.has(flag::END_STREAM) {
                    self.finish(head.stream, on_reply);
                }
            }
            kind::HEADERS => {
                let mut block = without_padding(head, payload)?;
                if head.has(flag::PRIORITY) {
                    block = block.get(5..).context("a HEADERS frame too short for its priority")?;
                }
                if head.has(flag::END_HEADERS) {
                    self.headers(head, block, on_reply)?;
                } else {
                    self.unfinished = Some((head, block.to_vec()));
                }
            }
            kind::CONTINUATION => {
                let (first, mut block) = self.unfinished.take().context("a CONTINUATION of nothing")?;
                ensure!(first.stream == head.stream, "a CONTINUATION on another stream");
                block.extend_from_slice(payload);
                ensure!(block.len() <= PAYLOAD_MAX * 4, "a header block without end");
                if head.has(flag::END_HEADERS) {
                    self.headers(first, &block, on_reply)?;
                } else {
                    self.unfinished = Some((first, block));
                }
            }
            kind::RST_STREAM => {
                let code = number(payload).context("a short RST_STREAM")?;
                if let Ok(stream) = self.stream(head.stream) {
                    stream.grpc_message = format!("stream reset by the server, code {code}").into_bytes();
                    self.finish(head.stream, on_reply);
                }
            }
            kind::SETTINGS if !head.has(flag::ACK) => self.settings(payload)?,
            kind::PING if !head.has(flag::ACK) => {
                ensure!(payload.len() == 8, "a PING of {} bytes", payload.len());
                Head { length: 8, kind: kind::PING, flags: flag::ACK, stream: 0 }.write(&mut self.outbox);
                self.outbox.extend_from_slice(payload);
            }
            kind::GOAWAY => {
                let code = payload.get(4..).and_then(number).context("a short GOAWAY")?;
                let words = String::from_utf8_lossy(payload.get(8..).unwrap_or_default());
                bail!("the server ended the connection (code {code}) {words}");
            }
            kind::WINDOW_UPDATE => {
                let grown = i64::from(number(payload).context("a short WINDOW_UPDATE")? & 0x7fff_ffff);
                // A request is one frame within the first window of its stream,
                // so more room on a stream changes nothing.
                if head.stream == 0 {
                    self.allowed.window += grown;
                    ensure!(self.allowed.window <= WINDOW_MAX, "a window larger than can be");
                }
            }
            _ => {} // Acknowledgements, priorities, and whatever comes to be.
        }
        Ok(())
    }

    fn settings(&mut self, payload: &[u8]) -> Result<()> {
        let (settings, []) = payload.as_chunks::<6>() else { bail!("SETTINGS of {} bytes", payload.len()) };
        for [a, b, value @ ..] in settings {
            let value = u32::from_be_bytes(*value);
            match u16::from_be_bytes([*a, *b]) {
                setting::HEADER_TABLE_SIZE => self.allowed.table_size = value as usize,
                setting::MAX_CONCURRENT_STREAMS => self.allowed.streams = value as usize,
                setting::INITIAL_WINDOW_SIZE => self.allowed.stream_window = i64::from(value),
                _ => {}
            }
        }
        Head { length: 0, kind: kind::SETTINGS, flags: flag::ACK, stream: 0 }.write(&mut self.outbox);
        let blocks = || RequestBlocks::new(&self.authority, &self.path, self.allowed.table_size);
        self.blocks.get_or_insert_with(blocks);
        Ok(())
    }

    fn headers(&mut self, head: Head, block: &[u8], on_reply: &mut impl FnMut(u32, Reply<'_>)) -> Result<()> {
        // The block changes the table even when nobody waits for the stream,
        // so it is read in any case.
        let mut nobody = None;
        ensure!(head.stream % 2 == 1, "headers on stream {}, which is not ours", head.stream);
        let index = head.stream.wrapping_sub(self.oldest) as usize / 2;
        let mut stream = self.streams.get_mut(index).unwrap_or(&mut nobody).as_mut();
        let read = self.decoder.read(block, |name, value| {
            let Some(stream) = &mut stream else { return };
            let place = match name {
                b":status" => &mut stream.http_status,
                b"grpc-status" => &mut stream.grpc_status,
                b"grpc-message" => &mut stream.grpc_message,
                _ => return,
            };
            place.clear();
            place.extend_from_slice(value);
        });
        read.context("a header block that cannot be read")?;
        ensure!(stream.is_some(), "headers on stream {}, where nothing waits", head.stream);
        if head.has(flag::END_STREAM) {
            self.finish(head.stream, on_reply);
        }
        Ok(())
    }

    fn stream(&mut self, number: u32) -> Result<&mut Stream> {
        let index = number.wrapping_sub(self.oldest) as usize / 2;
        let stream = self.streams.get_mut(index).filter(|_| number % 2 == 1).and_then(Option::as_mut);
        stream.with_context(|| format!("a frame on stream {number}, where nothing waits"))
    }

    fn finish(&mut self, number: u32, on_reply: &mut impl FnMut(u32, Reply<'_>)) {
        let index = ((number - self.oldest) / 2) as usize;
        let mut stream = self.streams[index].take().expect("only a waiting stream ends");
        self.in_flight -= 1;
        while let Some(None) = self.streams.front() {
            self.streams.pop_front();
            self.oldest += 2;
        }
        on_reply(stream.tag, stream.outcome());
        for part in [&mut stream.body, &mut stream.http_status, &mut stream.grpc_status, &mut stream.grpc_message] {
            part.clear();
        }
        self.spare.push(stream);
    }
}

impl Stream {
    fn outcome(&self) -> Reply<'_> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match self.grpc_status.as_slice() {
            b"0" => Ok(&self.body),
            b"" if self.http_status == b"200" || self.http_status.is_empty() => {
                Err(format!("no grpc-status {}", text(&self.grpc_message)))
            }
            b"" => Err(format!("HTTP status {}", text(&self.http_status))),
            status => Err(format!("grpc-status {} {}", text(status), text(&self.grpc_message))),
        }
    }
}

/// The payload of a DATA or HEADERS frame without its padding.
fn without_padding(head: Head, payload: &[u8]) -> Result<&[u8]> {
    if !head.has(flag::PADDED) {
        return Ok(payload);
    }
    let (padding, rest) = payload.split_first().context("a padded frame without its length of padding")?;
    let kept = rest.len().checked_sub(usize::from(*padding)).context("a frame with more padding than payload")?;
    Ok(&rest[..kept])
}

/// The four bytes in front as a number.
fn number(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.first_chunk()?))
}

fn write_window_update(out: &mut Vec<u8>, bytes: u32) {
    Head { length: 4, kind: kind::WINDOW_UPDATE, flags: 0, stream: 0 }.write(out);
    out.extend_from_slice(&bytes.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        Head { length: payload.len(), kind, flags, stream }.write(&mut bytes);
        bytes.extend_from_slice(payload);
        bytes
    }

    fn ready() -> Connection {
        let mut connection = Connection::new("a", "/p");
        let settings = frame(kind::SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 2]);
        assert!(!connection.is_ready());
        assert!(deliver(&mut connection, &settings).unwrap().is_empty());
        assert!(connection.is_ready());
        connection.outbox.clear();
        connection
    }

    /// The tag of a reply, and the reply.
    type Taken = (u32, Result<Vec<u8>, String>);

    fn deliver(connection: &mut Connection, bytes: &[u8]) -> Result<Vec<Taken>> {
        let mut replies = Vec::new();
        let mut inbox = BytesMut::from(bytes);
        connection.receive(&mut inbox, |tag, reply| replies.push((tag, reply.map(<[u8]>::to_vec))))?;
        assert!(inbox.is_empty(), "whole frames are taken");
        Ok(replies)
    }

    /// `:status 200`, then `grpc-status` with this value.
    fn reply(stream: u32, body: &[u8], status: u8) -> Vec<u8> {
        let trailers = [&[0x00, 11][..], b"grpc-status", &[1, status]].concat();
        [
            frame(kind::HEADERS, flag::END_HEADERS, stream, &[0x88]),
            frame(kind::DATA, 0, stream, body),
            frame(kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, stream, &trailers),
        ]
        .concat()
    }

    #[test]
    fn replies_come_back_under_their_tag_in_any_order() {
        let mut connection = ready();
        connection.request(7, b"one");
        connection.request(8, b"two");
        assert!(!connection.has_room(1).unwrap(), "the server allows two streams");
        let bytes = [reply(3, b"second", b'0'), reply(1, b"first", b'5')].concat();
        let replies = deliver(&mut connection, &bytes).unwrap();
        assert_eq!(replies, [(8, Ok(b"second".to_vec())), (7, Err("grpc-status 5 ".to_owned()))]);
        assert_eq!(connection.in_flight(), 0);
        assert_eq!(connection.oldest, 5);
        assert!(connection.has_room(1).unwrap());
    }

    #[test]
    fn a_frame_may_come_in_pieces() {
        let mut connection = ready();
        connection.request(1, b"x");
        let (mut inbox, mut replies) = (BytesMut::new(), Vec::new());
        for byte in reply(1, b"body", b'0') {
            inbox.extend_from_slice(&[byte]);
            connection.receive(&mut inbox, |tag, reply| replies.push((tag, reply.unwrap().to_vec()))).unwrap();
        }
        assert_eq!(replies, [(1, b"body".to_vec())]);
    }

    #[test]
    fn padding_priority_and_continuation_are_understood() {
        let mut connection = ready();
        connection.request(1, b"x");
        let bytes = [
            frame(kind::HEADERS, flag::PADDED | flag::PRIORITY, 1, &[2, 0, 0, 0, 0, 0, 0x88, 0, 0]),
            frame(kind::CONTINUATION, flag::END_HEADERS, 1, &[]),
            frame(kind::DATA, flag::PADDED, 1, &[1, b'y', 0]),
            reply(1, b"z", b'0'),
        ]
        .concat();
        assert_eq!(deliver(&mut connection, &bytes).unwrap(), [(1, Ok(b"yz".to_vec()))]);
    }

    #[test]
    fn the_window_is_respected_and_grows() {
        let mut connection = ready();
        connection.allowed.window = 10;
        connection.request(1, b"12345678");
        assert!(connection.has_room(2).unwrap());
        assert!(!connection.has_room(3).unwrap());
        deliver(&mut connection, &frame(kind::WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])).unwrap();
        assert!(connection.has_room(3).unwrap());
        assert!(connection.has_room(PAYLOAD_MAX + 1).is_err());
    }

    #[test]
    fn pings_are_answered_and_resets_reported() {
        let mut connection = ready();
        connection.request(4, b"x");
        connection.outbox.clear();
        deliver(&mut connection, &frame(kind::PING, 0, 0, b"12345678")).unwrap();
        assert_eq!(connection.outbox, frame(kind::PING, flag::ACK, 0, b"12345678"));
        let replies = deliver(&mut connection, &frame(kind::RST_STREAM, 0, 1, &[0, 0, 0, 8])).unwrap();
        assert_eq!(replies, [(4, Err("no grpc-status stream reset by the server, code 8".to_owned()))]);
    }

    #[test]
    fn a_broken_server_is_an_error() {
        for bytes in [
            frame(kind::GOAWAY, 0, 0, &[0; 8]),
            frame(kind::DATA, 0, 9, b"x"),
            frame(kind::HEADERS, flag::END_HEADERS, 1, &[0x80]),
            frame(kind::HEADERS, flag::END_HEADERS, 9, &[0x88]),
            frame(kind::DATA, flag::PADDED, 1, &[9]),
            frame(kind::SETTINGS, 0, 0, &[1]),
            frame(kind::CONTINUATION, 0, 1, &[]),
        ] {
            let mut connection = ready();
            connection.request(1, b"x");
            assert!(deliver(&mut connection, &bytes).is_err(), "{bytes:x?}");
        }
    }
}

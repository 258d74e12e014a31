//! One connection of the load: requests become bytes, bytes become replies.
//!
//! ```text
//!       request(tag, body)
//!       open(tag), send(stream, body)          receive(bytes)
//!                   │                                │
//!                   ▼                                ▼
//!   outbox ◀── HEADERS + DATA        frames ──▶ streams ──▶ on_reply(tag, body)
//! ```
//!
//! The caller moves `outbox` to the socket and the socket's bytes to
//! [`Connection::receive`]. The tag of a request comes back exactly once, that
//! of an open stream with every message and, as a failure, when the server ends
//! it. Anything the server does against the RFC, and a GOAWAY, is an error of
//! the whole connection: a measurement over a half-working connection is worth
//! nothing.

use std::collections::VecDeque;

use anyhow::{Context, Result, bail, ensure};
use bytes::{Buf, BytesMut};

use super::frame::{HEAD_BYTES, Head, PAYLOAD_MAX, flag, kind, setting};
use super::hpack::{Decoder, RequestBlocks, TABLE_SIZE};
use crate::grpc;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The window every stream and connection starts with.
const WINDOW: i64 = 65_535;

/// The largest window there can be.
const WINDOW_MAX: i64 = 0x7fff_ffff;

/// How much of one reply a server may send us; no reply of a load comes near.
const REPLY_WINDOW: u32 = 4 << 20;

/// The connection's window is opened again after this much has come in.
const REFILL_BYTES: u32 = 1 << 29;

/// And that of a stream which stays open, after this much.
const STREAM_REFILL_BYTES: u32 = REPLY_WINDOW / 4;

/// One request that waits for its reply, or a stream that stays open.
#[derive(Default)]
struct Stream {
    tag: u32,
    open: Option<Open>,
    body: Vec<u8>,
    http_status: Vec<u8>,
    grpc_status: Vec<u8>,
    grpc_message: Vec<u8>,
}

/// What a stream knows on which both sides go on sending.
struct Open {
    /// Bytes the server takes on it just now.
    window: i64,
    /// Bytes that have come since its window was last opened.
    received: u32,
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

/// A reply: the body of a request that went well, a message on an open stream
/// in its gRPC frame, or what went wrong.
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
        write_window_update(&mut outbox, 0, (WINDOW_MAX - WINDOW) as u32);
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

    /// Requests without a reply, and streams that are open.
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

    /// Whether the server would take this much body on an open stream just now.
    ///
    /// # Errors
    /// When it never will.
    pub fn has_room_on(&self, stream: u32, body_bytes: usize) -> Result<bool> {
        ensure!(body_bytes <= PAYLOAD_MAX, "a message of {body_bytes} bytes does not fit one frame");
        let found = self.streams.get(self.place(stream)).and_then(Option::as_ref);
        let open = found.and_then(|found| found.open.as_ref()).context("the stream is not open")?;
        Ok(body_bytes as i64 <= self.allowed.window.min(open.window))
    }

    /// Puts a request into the outbox. Its reply will carry `tag`.
    pub fn request(&mut self, tag: u32, body: &[u8]) {
        let stream = self.begin(tag, None);
        self.data(stream, flag::END_STREAM, body);
    }

    /// Opens a stream for any number of messages both ways, and returns its
    /// number. Every message from the server will carry `tag`.
    pub fn open(&mut self, tag: u32) -> u32 {
        self.begin(tag, Some(Open { window: self.allowed.stream_window, received: 0 }))
    }

    /// Puts a message on an open stream into the outbox.
    pub fn send(&mut self, stream: u32, body: &[u8]) {
        let place = self.place(stream);
        let found = self.streams[place].as_mut().and_then(|found| found.open.as_mut());
        let open = found.expect("the caller asks for room first");
        open.window -= body.len() as i64;
        assert!(open.window >= 0, "the caller asks for room first");
        self.data(stream, 0, body);
    }

    fn begin(&mut self, tag: u32, open: Option<Open>) -> u32 {
        let blocks = self.blocks.as_ref().expect("the server's settings come first");
        let stream = self.next_stream;
        assert!(stream < 1 << 31, "a connection has two thousand million streams and no more");
        let block = if stream == 1 { &blocks.first } else { &blocks.later };
        Head { length: block.len(), kind: kind::HEADERS, flags: flag::END_HEADERS, stream }.write(&mut self.outbox);
        self.outbox.extend_from_slice(block);

        self.next_stream += 2;
        self.in_flight += 1;
        let mut waiting = self.spare.pop().unwrap_or_default();
        (waiting.tag, waiting.open) = (tag, open);
        self.streams.push_back(Some(waiting));
        stream
    }

    fn data(&mut self, stream: u32, flags: u8, body: &[u8]) {
        Head { length: body.len(), kind: kind::DATA, flags, stream }.write(&mut self.outbox);
        self.outbox.extend_from_slice(body);
        self.allowed.window -= body.len() as i64;
        assert!(self.allowed.window >= 0, "the caller asks for room first");
    }

    /// Where a stream of this number would stand.
    fn place(&self, stream: u32) -> usize {
        stream.wrapping_sub(self.oldest) as usize / 2
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
                    write_window_update(&mut self.outbox, 0, std::mem::take(&mut self.received));
                }
                let body = without_padding(head, payload)?;
                let stream = self.stream(head.stream)?;
                stream.body.extend_from_slice(body);
                if let Some(bytes) = stream.take_messages(head.length as u32, on_reply)? {
                    write_window_update(&mut self.outbox, head.stream, bytes);
                }
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
                // so more room changes something only on streams that stay open.
                let window = match head.stream {
                    0 => Some(&mut self.allowed.window),
                    number => {
                        self.stream(number).ok().and_then(|found| found.open.as_mut()).map(|open| &mut open.window)
                    }
                };
                if let Some(window) = window {
                    *window += grown;
                    ensure!(*window <= WINDOW_MAX, "a window larger than can be");
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
                setting::INITIAL_WINDOW_SIZE => {
                    // Open streams follow, below zero if need be (section 6.9.2).
                    let grown = i64::from(value) - self.allowed.stream_window;
                    self.allowed.stream_window = i64::from(value);
                    let open = self.streams.iter_mut().flatten().filter_map(|stream| stream.open.as_mut());
                    open.for_each(|open| open.window += grown);
                }
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
        let index = self.place(head.stream);
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
        let index = self.place(number);
        let stream = self.streams.get_mut(index).filter(|_| number % 2 == 1).and_then(Option::as_mut);
        stream.with_context(|| format!("a frame on stream {number}, where nothing waits"))
    }

    fn finish(&mut self, number: u32, on_reply: &mut impl FnMut(u32, Reply<'_>)) {
        let index = self.place(number);
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
    /// Hands on every whole message of an open stream, which has just got a
    /// frame of this many bytes. Returns by how much to open its window, if at all.
    fn take_messages(&mut self, frame_bytes: u32, on_reply: &mut impl FnMut(u32, Reply<'_>)) -> Result<Option<u32>> {
        let Some(open) = &mut self.open else { return Ok(None) };
        let mut at = 0;
        while let Some(message) = grpc::first_frame(&self.body[at..]) {
            on_reply(self.tag, Ok(message));
            at += message.len();
        }
        self.body.drain(..at);
        ensure!(self.body.len() <= REPLY_WINDOW as usize, "a message on a stream without end");
        open.received += frame_bytes;
        Ok((open.received >= STREAM_REFILL_BYTES).then(|| std::mem::take(&mut open.received)))
    }

    fn outcome(&self) -> Reply<'_> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match self.grpc_status.as_slice() {
            b"0" if self.open.is_some() => Err("the server ended the stream".to_owned()),
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

fn write_window_update(out: &mut Vec<u8>, stream: u32, bytes: u32) {
    Head { length: 4, kind: kind::WINDOW_UPDATE, flags: 0, stream }.write(out);
    out.extend_from_slice(&bytes.to_be_bytes());
}

#[cfg(test)]
mod tests;

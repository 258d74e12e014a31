//! gRPC's own framing inside a stream of HTTP/2 DATA frames.
//!
//! ```text
//! 0        1                5
//! ├────────┼────────────────┼──────────── … ┤
//! │ flag   │ length, big    │ message       │
//! │ 0 or 1 │ endian         │ (gzip if 1)   │
//! ```
//!
//! A message that arrives in one piece, as nearly all do, is handed on as a
//! slice of the piece. Nothing is reserved for a length that is only claimed.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::{Buf, Bytes, BytesMut};

use super::status::{Code, Status};

/// Bytes before every message.
pub const PREFIX_BYTES: usize = 5;

/// How a client compresses, as its `grpc-encoding` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Nothing may be compressed.
    Identity,
    /// Messages with flag 1 are gzip.
    Gzip,
}

impl Compression {
    /// Reads `grpc-encoding`; what we cannot undo is refused as grpc-go does.
    pub fn from_encoding(encoding: Option<&[u8]>) -> Result<Compression, Status> {
        match encoding {
            None => Ok(Compression::Identity),
            Some(b"gzip") => Ok(Compression::Gzip),
            Some(other) => {
                let other = String::from_utf8_lossy(other);
                let text = format!("grpc: Decompressor is not installed for grpc-encoding {other:?}");
                Err(Status::new(Code::Unimplemented, text))
            }
        }
    }
}

/// Cuts messages out of DATA frames.
#[derive(Debug)]
pub struct Decoder {
    compression: Compression,
    size_bytes_max: usize,
    /// The newest DATA frame, as far as it is not yet cut.
    piece: Bytes,
    /// The beginning of a message whose end has not come, prefix included.
    /// Not empty only while `piece` is.
    begun: BytesMut,
}

impl Decoder {
    /// Messages above `size_bytes_max` are refused, before and after inflating.
    pub fn new(compression: Compression, size_bytes_max: usize) -> Decoder {
        Decoder { compression, size_bytes_max, piece: Bytes::new(), begun: BytesMut::new() }
    }

    /// Gives the next DATA frame. Every message of the last one was taken.
    pub fn push(&mut self, piece: Bytes) {
        assert!(self.piece.is_empty(), "the last piece is used up");
        self.piece = piece;
    }

    /// The next whole message; `None` when more data is needed.
    pub fn take(&mut self) -> Result<Option<Bytes>, Status> {
        if self.begun.is_empty() {
            if let Some(header) = self.header(&self.piece)?
                && self.piece.len() >= header.end()
            {
                let mut framed = self.piece.split_to(header.end());
                framed.advance(PREFIX_BYTES);
                return self.finish(header, framed).map(Some);
            }
            self.begun.extend_from_slice(&self.piece);
            self.piece = Bytes::new();
            return Ok(None);
        }
        self.fill(PREFIX_BYTES);
        let Some(header) = self.header(&self.begun)? else { return Ok(None) };
        self.fill(header.end());
        if self.begun.len() < header.end() {
            return Ok(None);
        }
        let mut framed = std::mem::take(&mut self.begun).freeze();
        framed.advance(PREFIX_BYTES);
        self.finish(header, framed).map(Some)
    }

    /// Bytes of a message whose end has not come.
    pub fn begun_bytes(&self) -> usize {
        self.begun.len()
    }

    /// Whether the stream may end here: between messages, not inside one.
    pub fn is_between_messages(&self) -> bool {
        self.begun.is_empty() && self.piece.is_empty()
    }

    /// Moves bytes from `piece` until `begun` has `upto`, or `piece` is used up.
    fn fill(&mut self, upto: usize) {
        let wanted = upto.saturating_sub(self.begun.len()).min(self.piece.len());
        self.begun.extend_from_slice(&self.piece.split_to(wanted));
    }

    /// Reads and checks the prefix, if it is all there.
    fn header(&self, bytes: &[u8]) -> Result<Option<Header>, Status> {
        let Some((prefix, _)) = bytes.split_first_chunk::<PREFIX_BYTES>() else { return Ok(None) };
        let [flag, length @ ..] = *prefix;
        let length = u32::from_be_bytes(length) as usize;
        match (flag, self.compression) {
            (0, _) | (1, Compression::Gzip) => {}
            (1, Compression::Identity) => {
                let text = "grpc: compressed flag set with identity or empty encoding";
                return Err(Status::new(Code::Internal, text));
            }
            _ => {
                let text = format!("grpc: received unexpected payload format {flag}");
                return Err(Status::new(Code::Internal, text));
            }
        }
        if length > self.size_bytes_max {
            let max = self.size_bytes_max;
            let text = format!("grpc: received message larger than max ({length} vs. {max})");
            return Err(Status::new(Code::ResourceExhausted, text));
        }
        Ok(Some(Header { compressed: flag == 1, length }))
    }

    fn finish(&self, header: Header, message: Bytes) -> Result<Bytes, Status> {
        assert_eq!(message.len(), header.length);
        if header.compressed { inflate(&message, self.size_bytes_max) } else { Ok(message) }
    }
}

#[derive(Clone, Copy)]
struct Header {
    compressed: bool,
    length: usize,
}

impl Header {
    fn end(self) -> usize {
        PREFIX_BYTES + self.length
    }
}

fn inflate(message: &[u8], size_bytes_max: usize) -> Result<Bytes, Status> {
    let mut inflated = Vec::new();
    let limit = size_bytes_max as u64 + 1;
    flate2::read::GzDecoder::new(message).take(limit).read_to_end(&mut inflated).map_err(|error| {
        let text = format!("grpc: failed to decompress the received message: {error}");
        Status::new(Code::Internal, text)
    })?;
    if inflated.len() > size_bytes_max {
        let text = format!("grpc: received message after decompression larger than max {size_bytes_max}");
        return Err(Status::new(Code::ResourceExhausted, text));
    }
    Ok(Bytes::from(inflated))
}

/// What one connection holds of answers that the client has not yet taken.
#[derive(Clone, Debug, Default)]
pub struct Held(Arc<AtomicUsize>);

/// What one connection holds of messages whose end has not come: a client may begin one on each of its streams.
#[derive(Clone, Debug, Default)]
pub struct Begun(Arc<AtomicUsize>);

impl Begun {
    /// The sum, in bytes.
    pub fn bytes(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// One stream's part of it. Goes with the stream.
#[derive(Debug)]
pub struct BegunPart {
    all: Begun,
    bytes: usize,
}

impl BegunPart {
    /// A stream that has begun no message.
    pub fn new(all: Begun) -> BegunPart {
        BegunPart { all, bytes: 0 }
    }

    /// The stream now holds so many bytes; the connection's sum.
    pub fn set(&mut self, bytes: usize) -> usize {
        if bytes == self.bytes {
            // As after nearly every message: others' sums are left alone.
            return self.all.bytes();
        }
        self.all.0.fetch_add(bytes, Ordering::Relaxed);
        self.all.0.fetch_sub(self.bytes, Ordering::Relaxed);
        self.bytes = bytes;
        self.all.bytes()
    }
}

impl Drop for BegunPart {
    fn drop(&mut self) {
        self.set(0);
    }
}

/// The sum over all connections of this process, in bytes.
static HELD_BY_ALL: AtomicUsize = AtomicUsize::new(0);

/// What all connections of this process hold, in bytes.
pub fn held_by_all() -> usize {
    HELD_BY_ALL.load(Ordering::Relaxed)
}

impl Held {
    fn add(&self, bytes: usize) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
        HELD_BY_ALL.fetch_add(bytes, Ordering::Relaxed);
    }

    fn remove(&self, bytes: usize) {
        self.0.fetch_sub(bytes, Ordering::Relaxed);
        HELD_BY_ALL.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// The sum, in bytes.
    pub fn bytes(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// One outgoing message with its prefix, as a buffer that copies neither.
///
/// It counts in its connection's [`Held`] until the transport lets it go, which
/// is after its last byte is written or when its stream is reset.
#[derive(Debug)]
pub struct Framed {
    prefix: [u8; PREFIX_BYTES],
    /// Bytes of the prefix that are already gone.
    prefix_gone: usize,
    message: Bytes,
    counted: usize,
    held: Held,
}

impl Framed {
    /// Frames a message, which has fewer than 2^32 bytes.
    pub fn new(message: Bytes, held: &Held) -> Framed {
        let size_bytes = message.len();
        Framed::begin(size_bytes, message, held)
    }

    /// Frames the first piece of a message of `size_bytes`, which are fewer than 2^32.
    pub fn begin(size_bytes: usize, piece: Bytes, held: &Held) -> Framed {
        let length = u32::try_from(size_bytes).expect("a message is shorter than 4 GiB");
        let [a, b, c, d] = length.to_be_bytes();
        let counted = PREFIX_BYTES + piece.len();
        held.add(counted);
        Framed { prefix: [0, a, b, c, d], prefix_gone: 0, message: piece, counted, held: held.clone() }
    }

    /// A later piece of a message, or the body of an answer that is not gRPC: no prefix.
    pub fn bare(body: Bytes, held: &Held) -> Framed {
        let counted = body.len();
        held.add(counted);
        let prefix = [0; PREFIX_BYTES];
        Framed { prefix, prefix_gone: PREFIX_BYTES, message: body, counted, held: held.clone() }
    }
}

impl Drop for Framed {
    fn drop(&mut self) {
        self.held.remove(self.counted);
    }
}

impl Buf for Framed {
    fn remaining(&self) -> usize {
        PREFIX_BYTES - self.prefix_gone + self.message.len()
    }

    fn chunk(&self) -> &[u8] {
        let prefix = &self.prefix[self.prefix_gone..];
        if prefix.is_empty() { &self.message } else { prefix }
    }

    fn advance(&mut self, count: usize) {
        let of_prefix = count.min(PREFIX_BYTES - self.prefix_gone);
        self.prefix_gone += of_prefix;
        self.message.advance(count - of_prefix);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn frame(flag: u8, message: &[u8]) -> Vec<u8> {
        let mut bytes = vec![flag];
        bytes.extend((message.len() as u32).to_be_bytes());
        bytes.extend(message);
        bytes
    }

    /// However the bytes are cut into DATA frames, the same messages come out.
    #[test]
    fn every_cut_gives_the_same_messages() {
        let mut stream = frame(0, b"first");
        stream.extend(frame(0, b""));
        stream.extend(frame(0, b"the third one"));
        for size in 1..=stream.len() {
            let mut decoder = Decoder::new(Compression::Identity, 100);
            let mut messages = Vec::new();
            for piece in stream.chunks(size) {
                decoder.push(Bytes::copy_from_slice(piece));
                while let Some(message) = decoder.take().unwrap() {
                    messages.push(message);
                }
            }
            assert_eq!(messages, ["first", "", "the third one"], "cut at {size}");
            assert!(decoder.is_between_messages());
        }
    }

    fn refused(compression: Compression, bytes: Vec<u8>) -> Status {
        let mut decoder = Decoder::new(compression, 10);
        decoder.push(Bytes::from(bytes));
        decoder.take().unwrap_err()
    }

    #[test]
    fn bad_prefixes_are_refused() {
        let status = refused(Compression::Identity, frame(0, &[0; 11]));
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert_eq!(status.message(), "grpc: received message larger than max (11 vs. 10)");
        let status = refused(Compression::Identity, frame(1, b"x"));
        assert_eq!(status.message(), "grpc: compressed flag set with identity or empty encoding");
        let status = refused(Compression::Gzip, frame(7, b"x"));
        assert_eq!(status.message(), "grpc: received unexpected payload format 7");
        assert_eq!(refused(Compression::Gzip, frame(1, b"no gzip")).code(), Code::Internal);
    }

    #[test]
    fn a_message_that_has_only_begun_is_noticed() {
        let mut decoder = Decoder::new(Compression::Identity, 10);
        decoder.push(Bytes::from_static(&[0, 0, 0]));
        assert_eq!(decoder.take().unwrap(), None);
        assert!(!decoder.is_between_messages());
    }

    #[test]
    fn gzip_is_inflated_up_to_the_limit() {
        let gzip = |plain: &[u8]| {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Default::default());
            encoder.write_all(plain).unwrap();
            frame(1, &encoder.finish().unwrap())
        };
        let mut decoder = Decoder::new(Compression::Gzip, 100);
        decoder.push(Bytes::from(gzip(b"hello")));
        assert_eq!(decoder.take().unwrap().unwrap(), "hello");
        decoder.push(Bytes::from(frame(0, b"plain")));
        assert_eq!(decoder.take().unwrap().unwrap(), "plain");
        decoder.push(Bytes::from(gzip(&[0; 10_000])));
        assert_eq!(decoder.take().unwrap_err().code(), Code::ResourceExhausted);
    }

    #[test]
    fn a_framed_message_is_prefix_and_bytes_and_is_counted_while_it_lives() {
        let held = Held::default();
        let mut framed = Framed::new(Bytes::from_static(b"abc"), &held);
        assert_eq!(held.bytes(), 8);
        let mut copy = vec![0; 2];
        framed.copy_to_slice(&mut copy);
        assert_eq!(framed.remaining(), 6);
        copy.extend_from_slice(&framed.copy_to_bytes(6));
        assert_eq!(copy, b"\0\0\0\0\x03abc");
        drop(framed);
        assert_eq!(held.bytes(), 0);
    }
}

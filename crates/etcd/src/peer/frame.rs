//! How messages follow each other on the two streams, as etcd frames them.
//!
//! ```text
//! message   │ length u64 │ raftpb.Message │                    heartbeat of the link: MsgHeartbeat without from and to
//!
//! msgappv2  │ 0 │                                             heartbeat of the link
//!           │ 1 │ count u64 │ { size u64 │ raftpb.Entry }… │ commit u64 │
//!           │ 2 │ size u64 │ raftpb.Message │
//! ```
//!
//! Numbers are big-endian. Frame 1 is an append whose place is known: it begins where the last one ended, in the same term,
//! so both ends remember term and index. It names neither sender nor receiver; its entries are therefore the same bytes
//! for every follower, and [`SharedAppends`] keeps the last ones.
//!
//! A length is an announcement: it is checked against its limit and then awaited, never allocated.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message as _;
use raft::{Entry, Message, MessageKind};

use super::chunks::Chunks;
use super::wire::{self, WireError};

/// The largest message a stream may announce (etcd's limit).
pub const FRAME_BYTES_MAX: u64 = 512 * 1024 * 1024;
/// The largest message in front of a snapshot's body.
pub const SNAPSHOT_MESSAGE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// What an entry costs besides its bytes, when a frame's size is bounded.
const ENTRY_OVERHEAD_BYTES: u64 = 64;
/// From here on encoded entries are kept for the next follower, and sent without another copy.
const SHARED_BYTES_MIN: usize = 16 * 1024;

/// Which of the two streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StreamKind {
    /// Appends from leader to follower.
    MsgApp,
    /// Everything else.
    Message,
}

impl StreamKind {
    /// Both.
    pub const ALL: [StreamKind; 2] = [StreamKind::MsgApp, StreamKind::Message];

    /// Path without the dialler's id.
    pub fn path(self) -> &'static str {
        match self {
            StreamKind::MsgApp => "/raft/stream/msgapp",
            StreamKind::Message => "/raft/stream/message",
        }
    }

    /// The name in log records.
    pub fn title(self) -> &'static str {
        match self {
            StreamKind::MsgApp => "stream MsgApp v2",
            StreamKind::Message => "stream Message",
        }
    }
}

/// Why a stream cannot be read on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// More than the limit was announced.
    #[error("a frame of {announced} bytes is above the limit of {limit}")]
    TooLarge {
        /// Bytes announced.
        announced: u64,
        /// Bytes allowed.
        limit: u64,
    },
    /// A first byte that msgappv2 does not have.
    #[error("failed to parse type {0} in msgappv2 stream")]
    UnknownType(u8),
    /// What is in the frame is not a message.
    #[error(transparent)]
    Wire(#[from] WireError),
}

/// Buffers ready to be sent, in order. Small writes share one, large ones keep their own.
#[derive(Default)]
pub(super) struct Pieces {
    ready: VecDeque<Bytes>,
    open: BytesMut,
    len: usize,
}

impl Pieces {
    /// Bytes not yet popped.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn pop(&mut self) -> Option<Bytes> {
        if self.ready.is_empty() && !self.open.is_empty() {
            self.ready.push_back(self.open.split().freeze());
        }
        let piece = self.ready.pop_front()?;
        self.len -= piece.len();
        Some(piece)
    }

    fn write(&mut self, bytes: usize, fill: impl FnOnce(&mut BytesMut)) {
        let before = self.open.len();
        self.open.reserve(bytes);
        fill(&mut self.open);
        self.len += self.open.len() - before;
    }

    fn push(&mut self, piece: Bytes) {
        if piece.len() < SHARED_BYTES_MIN {
            return self.write(piece.len(), |open| open.put(piece));
        }
        if !self.open.is_empty() {
            self.ready.push_back(self.open.split().freeze());
        }
        self.len += piece.len();
        self.ready.push_back(piece);
    }
}

/// The entries of the last large append, encoded: a leader sends the same ones to every follower.
///
/// First index, last index and last term name them: two logs that agree on an entry agree on all before it.
#[derive(Default)]
pub(super) struct SharedAppends {
    last: Mutex<Option<(EntriesName, Bytes)>>,
}

type EntriesName = (u64, u64, u64);

impl SharedAppends {
    fn encoded(&self, entries: &[Entry]) -> Bytes {
        let size_bytes = entries.iter().map(|entry| 8 + entry.encoded_len()).sum::<usize>();
        let (Some(first), Some(last), true) = (entries.first(), entries.last(), size_bytes >= SHARED_BYTES_MIN) else {
            return encode_entries(entries, size_bytes);
        };
        let name = (first.index, last.index, last.term);
        let known = self.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((_, bytes)) = known.filter(|(known, _)| *known == name) {
            return bytes;
        }
        let bytes = encode_entries(entries, size_bytes);
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((name, bytes.clone()));
        bytes
    }
}

fn encode_entries(entries: &[Entry], size_bytes: usize) -> Bytes {
    let mut bytes = BytesMut::with_capacity(size_bytes);
    for entry in entries {
        let entry = wire::entry_to_wire(entry);
        bytes.put_u64(entry.encoded_len() as u64);
        entry.encode_raw(&mut bytes);
    }
    bytes.freeze()
}

/// The writing end of a stream.
pub(super) struct Encoder {
    kind: StreamKind,
    /// Where the last append of this stream ended.
    term: u64,
    index: u64,
}

impl Encoder {
    pub fn new(kind: StreamKind) -> Self {
        Encoder { kind, term: 0, index: 0 }
    }

    pub fn encode(&mut self, message: &Message, shared: &SharedAppends, out: &mut Pieces) {
        match self.kind {
            StreamKind::Message => write_message(message, out),
            StreamKind::MsgApp => self.encode_append(message, shared, out),
        }
    }

    fn encode_append(&mut self, message: &Message, shared: &SharedAppends, out: &mut Pieces) {
        let follows = message.kind == MessageKind::App
            && (message.index, message.log_term) == (self.index, self.term)
            && message.log_term == message.term;
        if follows {
            out.write(9, |open| {
                open.put_u8(1);
                open.put_u64(message.entries.len() as u64);
            });
            out.push(shared.encoded(&message.entries));
            out.write(8, |open| open.put_u64(message.commit));
            self.index += message.entries.len() as u64;
            return;
        }
        out.write(1, |open| open.put_u8(2));
        write_message(message, out);
        self.term = message.term;
        self.index = message.entries.last().map_or(message.index, |entry| entry.index);
    }

    /// What keeps an idle link known to be alive.
    pub fn heartbeat(&self, out: &mut Pieces) {
        match self.kind {
            StreamKind::MsgApp => out.write(1, |open| open.put_u8(0)),
            StreamKind::Message => write_message(&Message::new(MessageKind::Heartbeat, 0), out),
        }
    }
}

fn write_message(message: &Message, out: &mut Pieces) {
    let wire = wire::to_wire(message);
    let len = wire.encoded_len();
    out.write(8 + len, |open| {
        open.put_u64(len as u64);
        wire.encode_raw(open);
    });
}

/// A message with its length in front: what precedes a snapshot's body.
pub(super) fn framed(message: &Message) -> Bytes {
    let mut out = Pieces::default();
    write_message(message, &mut out);
    out.open.freeze()
}

/// What a stream brought.
#[derive(Debug, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "it lives for one turn of a loop; a box per message would cost more")]
pub(super) enum Received {
    /// The link is alive.
    Heartbeat,
    /// Something for raft.
    Message(Message),
}

/// Reads all messages of a stream that comes in these chunks: how many there
/// were, heartbeats of the link included, or what was wrong. For what feeds
/// the reader with anything.
///
/// # Errors
/// The words of the first error.
pub fn read_all(kind: StreamKind, chunks: impl IntoIterator<Item = Bytes>) -> Result<usize, String> {
    let mut decoder = Decoder::new(kind, 1, 2);
    let mut count = 0;
    for chunk in chunks {
        decoder.push(chunk);
        while decoder.next().map_err(|error| error.to_string())?.is_some() {
            count += 1;
        }
    }
    Ok(count)
}

/// The reading end of a stream.
pub(super) struct Decoder {
    chunks: Chunks,
    kind: StreamKind,
    local: u64,
    remote: u64,
    term: u64,
    index: u64,
    limit: u64,
    state: State,
}

enum State {
    /// Between frames.
    Idle,
    /// Type 2, or the message stream: the length is known.
    Message { size: u64 },
    /// Type 2: the length is awaited.
    MessageSize,
    /// Type 1: the count is awaited.
    Count,
    /// Type 1: this many entries are still to come; the bytes counted so far.
    Entries { left: u64, size: Option<u64>, counted: u64, message: Box<Message> },
}

impl Decoder {
    /// Reads what `remote` sends to `local`.
    pub fn new(kind: StreamKind, local: u64, remote: u64) -> Self {
        let chunks = Chunks::default();
        Decoder { chunks, kind, local, remote, term: 0, index: 0, limit: FRAME_BYTES_MAX, state: State::Idle }
    }

    /// Reads the one message in front of a snapshot's body.
    pub fn before_snapshot() -> Self {
        Decoder { limit: SNAPSHOT_MESSAGE_BYTES_MAX, ..Decoder::new(StreamKind::Message, 0, 0) }
    }

    pub fn push(&mut self, chunk: Bytes) {
        self.chunks.push(chunk);
    }

    /// What was received behind the last message.
    pub fn rest(mut self) -> Vec<Bytes> {
        self.chunks.drain().collect()
    }

    /// The next message, once all of it is here. After an error the stream is of no use.
    pub fn next(&mut self) -> Result<Option<Received>, FrameError> {
        loop {
            let before = self.chunks.len();
            match self.step()? {
                Some(received) => return Ok(Some(received)),
                None if self.chunks.len() == before => return Ok(None),
                None => {}
            }
        }
    }

    /// Reads one piece, if it is here.
    fn step(&mut self) -> Result<Option<Received>, FrameError> {
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Idle if self.kind == StreamKind::Message => self.read_size(),
            State::Idle => match self.chunks.take_u8() {
                None => Ok(None),
                Some(0) => Ok(Some(Received::Heartbeat)),
                Some(1) => self.wait(State::Count),
                Some(2) => self.wait(State::MessageSize),
                Some(other) => Err(FrameError::UnknownType(other)),
            },
            State::MessageSize => self.read_size(),
            State::Message { size } => self.read_message(size),
            State::Count => match self.chunks.take_u64() {
                None => self.wait(State::Count),
                Some(left) => {
                    self.check(left)?;
                    let mut message = Box::new(Message::new(MessageKind::App, self.local));
                    message.from = self.remote;
                    message.term = self.term;
                    message.log_term = self.term;
                    message.index = self.index;
                    self.wait(State::Entries { left, size: None, counted: 0, message })
                }
            },
            State::Entries { left, size, counted, message } => self.read_entries(left, size, counted, message),
        }
    }

    fn wait(&mut self, state: State) -> Result<Option<Received>, FrameError> {
        self.state = state;
        Ok(None)
    }

    fn check(&self, announced: u64) -> Result<(), FrameError> {
        let limit = self.limit;
        if announced > limit { Err(FrameError::TooLarge { announced, limit }) } else { Ok(()) }
    }

    fn read_size(&mut self) -> Result<Option<Received>, FrameError> {
        match self.chunks.take_u64() {
            None if self.kind == StreamKind::Message => self.wait(State::Idle),
            None => self.wait(State::MessageSize),
            Some(size) => {
                self.check(size)?;
                self.read_message(size)
            }
        }
    }

    fn read_message(&mut self, size: u64) -> Result<Option<Received>, FrameError> {
        let Some(bytes) = self.chunks.take(size as usize) else {
            return self.wait(State::Message { size });
        };
        let message = wire::decode(bytes)?;
        if message.kind == MessageKind::Heartbeat && message.from == 0 && message.to == 0 {
            return Ok(Some(Received::Heartbeat));
        }
        if self.kind == StreamKind::MsgApp {
            self.term = message.term;
            self.index = message.entries.last().map_or(message.index, |entry| entry.index);
        }
        Ok(Some(Received::Message(message)))
    }

    fn read_entries(
        &mut self,
        mut left: u64,
        mut size: Option<u64>,
        mut counted: u64,
        mut message: Box<Message>,
    ) -> Result<Option<Received>, FrameError> {
        while left > 0 {
            let Some(bytes_wanted) = size.or_else(|| self.chunks.take_u64()) else { break };
            if size.is_none() {
                self.check(bytes_wanted)?;
                counted += bytes_wanted + ENTRY_OVERHEAD_BYTES;
                self.check(counted)?;
            }
            let Some(bytes) = self.chunks.take(bytes_wanted as usize) else {
                size = Some(bytes_wanted);
                break;
            };
            size = None;
            left -= 1;
            self.index = self.index.wrapping_add(1);
            message.entries.push(wire::decode_entry(bytes)?);
        }
        let commit = if left == 0 { self.chunks.take_u64() } else { None };
        let Some(commit) = commit else {
            return self.wait(State::Entries { left, size, counted, message });
        };
        message.commit = commit;
        wire::check(&message)?;
        Ok(Some(Received::Message(*message)))
    }
}

#[cfg(test)]
mod tests;

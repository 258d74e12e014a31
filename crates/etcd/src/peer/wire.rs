//! Raft's messages as bytes: `raftpb`, by way of crate `proto`.
//!
//! Large entries' data is shared with the received buffer on the way in, and all is copied once, into the buffer that is sent, on the way
//! out. What a message must be for raft to take it without surprise (known kinds, contiguous appends) is checked here.

use bytes::Bytes;
use prost::Message as _;
use proto::raftpb;
use raft::{ConfState, Entry, EntryKind, Message, MessageKind, Snapshot, SnapshotMeta};

/// An entry of at most this many bytes is copied out of what was received: raft keeps entries for a while, and a small
/// one must not keep a whole read buffer with it.
const COPIED_BYTES_MAX: usize = 2048;

/// How long the context of a message may be, and the entry that is a read's. Members of etcd and ours use 8 to 16 bytes.
const CONTEXT_BYTES_MAX: usize = 1024;

/// Why received bytes are no message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// Not protobuf, or not this message.
    #[error("cannot decode {what}: {reason}")]
    Malformed {
        /// Entry or message.
        what: &'static str,
        /// The decoder's words.
        reason: String,
    },
    /// A kind that no version of etcd sends.
    #[error("unknown {what} {number}")]
    Unknown {
        /// Kind of what.
        what: &'static str,
        /// Its number.
        number: i32,
    },
    /// Entries of an append must follow its index one by one.
    #[error("append after index {index} carries entry {found} where {expected} belongs")]
    Gap {
        /// The message's index.
        index: u64,
        /// The index that belongs there.
        expected: u64,
        /// The index found.
        found: u64,
    },
    /// A message of a kind whose messages are all small, and this one is not: it may not take the room of what is counted.
    #[error("{what} of {bytes} bytes, where at most {most} belong")]
    Bulky {
        /// Which part of which message.
        what: String,
        /// Its length.
        bytes: usize,
        /// The most that is taken.
        most: usize,
    },
}

impl WireError {
    fn malformed(what: &'static str, error: prost::DecodeError) -> Self {
        WireError::Malformed { what, reason: error.to_string() }
    }
}

/// `raftpb.Entry` of an entry. Cheap: data is shared.
pub(super) fn entry_to_wire(entry: &Entry) -> raftpb::Entry {
    raftpb::Entry { r#type: entry.kind as i32, term: entry.term, index: entry.index, data: entry.data.clone() }
}

fn entry_from_wire(entry: raftpb::Entry) -> Result<Entry, WireError> {
    let kind = EntryKind::try_from(entry.r#type)
        .map_err(|unknown| WireError::Unknown { what: "entry type", number: unknown.0 })?;
    let data = if entry.data.len() <= COPIED_BYTES_MAX { Bytes::copy_from_slice(&entry.data) } else { entry.data };
    Ok(Entry { kind, term: entry.term, index: entry.index, data })
}

/// Reads one entry.
pub(super) fn decode_entry(bytes: Bytes) -> Result<Entry, WireError> {
    entry_from_wire(raftpb::Entry::decode(bytes).map_err(|error| WireError::malformed("entry", error))?)
}

/// `raftpb.Message` of a message. Cheap: data is shared.
pub(super) fn to_wire(message: &Message) -> raftpb::Message {
    raftpb::Message {
        r#type: message.kind as i32,
        to: message.to,
        from: message.from,
        term: message.term,
        log_term: message.log_term,
        index: message.index,
        entries: message.entries.iter().map(entry_to_wire).collect(),
        commit: message.commit,
        snapshot: message.snapshot.as_ref().map(snapshot_to_wire),
        reject: message.reject,
        reject_hint: message.reject_hint,
        context: message.context.clone(),
        vote: message.vote,
        responses: Vec::new(),
    }
}

/// The whole message in one buffer.
pub(super) fn encode(message: &Message) -> Bytes {
    Bytes::from(to_wire(message).encode_to_vec())
}

/// Reads one message.
pub(super) fn decode(bytes: Bytes) -> Result<Message, WireError> {
    let wire = raftpb::Message::decode(bytes).map_err(|error| WireError::malformed("message", error))?;
    let kind = MessageKind::try_from(wire.r#type)
        .map_err(|unknown| WireError::Unknown { what: "message type", number: unknown.0 })?;
    let message = Message {
        kind,
        to: wire.to,
        from: wire.from,
        term: wire.term,
        log_term: wire.log_term,
        index: wire.index,
        entries: wire.entries.into_iter().map(entry_from_wire).collect::<Result<_, _>>()?,
        commit: wire.commit,
        vote: wire.vote,
        // Members up to 3.6 send an empty one with every message.
        snapshot: wire.snapshot.filter(|_| kind == MessageKind::Snap).map(snapshot_from_wire),
        reject: wire.reject,
        reject_hint: wire.reject_hint,
        context: wire.context,
    };
    check(&message)?;
    Ok(message)
}

/// Whether a message has the form its kind has.
pub(super) fn check(message: &Message) -> Result<(), WireError> {
    check_size(message)?;
    if message.kind == MessageKind::App { check_append(message) } else { Ok(()) }
}

/// Only appends and proposals carry what is large, and how much of these waits is counted. Reads carry the number of a
/// request, which comes back in heartbeats, and votes a word.
fn check_size(message: &Message) -> Result<(), WireError> {
    let bulky = |what, bytes, most| match bytes <= most {
        true => Ok(()),
        false => Err(WireError::Bulky { what: format!("{what} of {:?}", message.kind), bytes, most }),
    };
    bulky("a context", message.context.len(), CONTEXT_BYTES_MAX)?;
    // An entry is more than its data.
    let bytes = message.entries.iter().map(|entry| 1 + entry.data.len()).sum();
    match message.kind {
        MessageKind::App | MessageKind::Prop => Ok(()),
        MessageKind::ReadIndex | MessageKind::ReadIndexResp => bulky("an entry", bytes, CONTEXT_BYTES_MAX),
        _ => bulky("entries", bytes, 0),
    }
}

/// An append's entries follow its index.
fn check_append(message: &Message) -> Result<(), WireError> {
    let mut expected = message.index;
    for entry in &message.entries {
        expected = expected.wrapping_add(1);
        if entry.index != expected {
            return Err(WireError::Gap { index: message.index, expected, found: entry.index });
        }
    }
    Ok(())
}

fn snapshot_to_wire(snapshot: &Snapshot) -> raftpb::Snapshot {
    let meta = &snapshot.meta;
    let conf_state = raftpb::ConfState {
        voters: meta.conf_state.voters.clone(),
        learners: meta.conf_state.learners.clone(),
        voters_outgoing: meta.conf_state.voters_outgoing.clone(),
        learners_next: meta.conf_state.learners_next.clone(),
        auto_leave: meta.conf_state.auto_leave,
    };
    let metadata = raftpb::SnapshotMetadata { conf_state: Some(conf_state), index: meta.index, term: meta.term };
    raftpb::Snapshot { data: snapshot.data.clone(), metadata: Some(metadata) }
}

fn snapshot_from_wire(snapshot: raftpb::Snapshot) -> Snapshot {
    let metadata = snapshot.metadata.unwrap_or_default();
    let conf_state = metadata.conf_state.unwrap_or_default();
    Snapshot {
        meta: SnapshotMeta {
            index: metadata.index,
            term: metadata.term,
            conf_state: ConfState {
                voters: conf_state.voters,
                learners: conf_state.learners,
                voters_outgoing: conf_state.voters_outgoing,
                learners_next: conf_state.learners_next,
                auto_leave: conf_state.auto_leave,
            },
        },
        data: snapshot.data,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(bytes: usize) -> Entry {
        Entry { kind: EntryKind::Normal, term: 1, index: 1, data: vec![7; bytes].into() }
    }

    #[test]
    fn only_appends_and_proposals_are_large() {
        let taken = |kind: MessageKind, context: usize, entries: Vec<Entry>| {
            let message = Message { context: vec![7; context].into(), entries, ..Message::new(kind, 2) };
            decode(encode(&message)).map(|_| ())
        };
        for kind in [MessageKind::App, MessageKind::Prop] {
            assert_eq!(taken(kind, 0, vec![entry(1 << 20)]), Ok(()), "{kind:?}");
        }
        for kind in [MessageKind::ReadIndex, MessageKind::ReadIndexResp] {
            assert_eq!(taken(kind, 0, vec![entry(16)]), Ok(()), "{kind:?}");
            assert!(taken(kind, 0, vec![entry(1024)]).is_err(), "{kind:?}");
            assert!(taken(kind, 0, vec![entry(0); 1025]).is_err(), "{kind:?}");
        }
        for kind in [MessageKind::Heartbeat, MessageKind::HeartbeatResp, MessageKind::Vote, MessageKind::App] {
            assert_eq!(taken(kind, 1024, Vec::new()), Ok(()), "{kind:?}");
            let words = taken(kind, 1025, Vec::new()).expect_err("too long").to_string();
            assert_eq!(words, format!("a context of {kind:?} of 1025 bytes, where at most 1024 belong"));
        }
        for kind in [MessageKind::Heartbeat, MessageKind::Vote, MessageKind::AppResp] {
            assert!(taken(kind, 0, vec![entry(0)]).is_err(), "{kind:?}");
        }
    }
}

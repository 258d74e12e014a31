//! The frames of the write-ahead log, byte by byte.
//!
//! | kind | body (little endian) |
//! |---|---|
//! | 1 identity | member id u64, cluster id u64 |
//! | 2 position | index u64, term u64: the log stands here; later entries follow it |
//! | 3 entry | index u64, term u64, entry kind u8, data |
//! | 4 hard state | term u64, vote u64, commit u64 |

use crate::Fault;
use crate::ids::{Index, MemberId, Term};
use bytes::{Buf, Bytes};
use disk::{DiskFile, SegmentWriter};
use raft::{Entry, EntryKind, HardState};

/// Who a log belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The member that writes it.
    pub member_id: MemberId,
    /// The cluster it is a member of.
    pub cluster_id: u64,
}

/// What one frame says.
pub(super) enum Frame<'a> {
    Identity(Identity),
    Position { index: Index, term: Term },
    Entry(&'a Entry),
    HardState(HardState),
}

/// What one frame said.
pub(super) enum Read {
    Identity(Identity),
    Position { index: Index, term: Term },
    Entry(Entry),
    HardState(HardState),
}

/// Appends all frames with one write.
pub(super) fn write<F: DiskFile>(writer: &mut SegmentWriter<F>, frames: &[Frame<'_>]) -> std::io::Result<()> {
    // Fixed-size parts first, so that the slices below can borrow them.
    let heads: Vec<[u8; 25]> = frames.iter().map(head).collect();
    let parts: Vec<(u8, [&[u8]; 2])> = frames
        .iter()
        .zip(&heads)
        .map(|(frame, head)| match frame {
            Frame::Identity(_) => (1, [&head[..16], &[][..]]),
            Frame::Position { .. } => (2, [&head[..16], &[][..]]),
            Frame::Entry(entry) => (3, [&head[..17], &entry.data[..]]),
            Frame::HardState(_) => (4, [&head[..24], &[][..]]),
        })
        .collect();
    let bodies: Vec<(u8, &[&[u8]])> = parts.iter().map(|(kind, body)| (*kind, &body[..])).collect();
    writer.append(&bodies)?;
    Ok(())
}

fn head(frame: &Frame<'_>) -> [u8; 25] {
    let mut bytes = [0; 25];
    let mut put = |slot: usize, value: u64| bytes[slot * 8..slot * 8 + 8].copy_from_slice(&value.to_le_bytes());
    match frame {
        Frame::Identity(identity) => {
            put(0, identity.member_id);
            put(1, identity.cluster_id);
        }
        Frame::Position { index, term } => {
            put(0, *index);
            put(1, *term);
        }
        Frame::Entry(entry) => {
            put(0, entry.index);
            put(1, entry.term);
            bytes[16] = entry.kind as u8;
        }
        Frame::HardState(state) => {
            put(0, state.term);
            put(1, state.vote);
            put(2, state.commit);
        }
    }
    bytes
}

/// Reads a frame's body back. The checksum held, so what does not parse was
/// written by something else than this program.
pub(super) fn read(kind: u8, mut body: Bytes) -> Result<Read, Fault> {
    let length = body.len();
    let wrong = || Fault::Corrupt(format!("frame of kind {kind} with {length} bytes is not one this version writes"));
    let fixed = match kind {
        1 | 2 => 16,
        3 => 17,
        4 => 24,
        _ => return Err(wrong()),
    };
    if length < fixed || (kind != 3 && length != fixed) {
        return Err(wrong());
    }
    Ok(match kind {
        1 => Read::Identity(Identity { member_id: body.get_u64_le(), cluster_id: body.get_u64_le() }),
        2 => Read::Position { index: body.get_u64_le(), term: body.get_u64_le() },
        3 => {
            let (index, term) = (body.get_u64_le(), body.get_u64_le());
            let kind = match body.get_u8() {
                0 => EntryKind::Normal,
                1 => EntryKind::ConfChange,
                2 => EntryKind::ConfChangeV2,
                _ => return Err(wrong()),
            };
            Read::Entry(Entry { kind, term, index, data: body })
        }
        _ => Read::HardState(HardState { term: body.get_u64_le(), vote: body.get_u64_le(), commit: body.get_u64_le() }),
    })
}

//! A segment that is written as a whole: what a sweep leaves of others, or a part of an installed snapshot.
//!
//! It holds changes of keys and nothing else, in frames of about [`FRAME_BYTES`]. It does not count before whoever writes it
//! has made it count: a sweep by giving it its name, a snapshot by the checkpoint behind its last part.

use std::sync::Arc;

use bytes::{BufMut, BytesMut};
use disk::segment::FRAME_HEADER_BYTES;
use disk::{Disk, LogKind, SegmentHeader, SegmentWriter};

use super::growing::Growing;
use super::item::{
    Change, ItemKind, PRELUDE_BYTES, Prelude, encode_change, encode_item, put_varint, tie_items, untie_item,
};
use super::log::place_of;
use super::segment::{Mark, Segment, note};
use super::writer::{FRAME_PART, append};
use crate::chain;
use crate::fault::Fault;
use crate::keys::Place;
use crate::reply::key_value::KeyValueRef;
use crate::revision::Revision;

/// A frame that has become so long is written.
const FRAME_BYTES: usize = 256 << 10;

/// How much may be written before it is synced.
const SYNC_BYTES: u64 = 2 << 20;

/// What a rewritten segment says of those it stands for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin {
    /// The chain value that the last of them ended with: what their successor starts from.
    pub(super) chain: u32,
    /// Nothing that a compaction to this revision drops is left in it.
    pub(super) cleaned: i64,
}

/// See the module's essay.
#[derive(Debug)]
pub(super) struct Part<D: Disk> {
    segment: SegmentWriter<D::File>,
    path: String,
    id: u32,
    chain_seed: u32,
    salt: u32,
    origin: Option<Origin>,
    body: BytesMut,
    /// Revisions, where their items begin in the body, and how long they are.
    waiting: Vec<(Revision, usize, usize)>,
    record_bytes: u64,
    /// What its records add to the hash chain, and what was left out.
    sum: u64,
    span: Option<(Revision, Revision)>,
    marks: Growing<Mark>,
}

impl<D: Disk> Part<D> {
    /// Begins a segment at `path`, which must not exist.
    pub(super) fn create(
        disk: &D,
        path: String,
        sequence: u64,
        chain_seed: u32,
        id: u32,
        origin: Option<Origin>,
    ) -> Result<Part<D>, Fault> {
        let header = SegmentHeader { kind: LogKind::REVISIONS, sequence, chain_seed };
        let segment = SegmentWriter::create(disk, &path, header).map_err(|error| Fault::disk(&path, error))?;
        let mut part = Part {
            segment,
            path,
            id,
            chain_seed,
            salt: header.salt(),
            origin,
            body: BytesMut::new(),
            waiting: Vec::new(),
            record_bytes: 0,
            sum: 0,
            span: None,
            marks: Growing::new(),
        };
        part.begin_body();
        if let Some(Origin { chain, cleaned }) = origin {
            encode_item(&mut part.body, ItemKind::Origin, |out| {
                put_varint(out, u64::from(chain));
                put_varint(out, cleaned as u64);
            });
        }
        Ok(part)
    }

    /// Bytes of the segment so far.
    pub(super) fn size_bytes(&self) -> u64 {
        self.segment.len() + self.body.len() as u64
    }

    /// Adds a change of a key. Returns its place.
    pub(super) fn change(
        &mut self,
        tombstone: bool,
        revision: Revision,
        previous: Option<Revision>,
        kv: &KeyValueRef<'_>,
    ) -> Result<Place, Fault> {
        let offset = self.segment.len() + FRAME_HEADER_BYTES;
        let (start, size, kv_start) = encode_change(&mut self.body, tombstone, revision, previous, kv);
        self.sum = self.sum.wrapping_add(chain::change(tombstone, revision, &self.body[kv_start..]));
        self.waiting.push((revision, start, size));
        self.flush_if(FRAME_BYTES)?;
        Ok(place_of(self.id, offset + start as u64, size, kv.lease != 0))
    }

    /// What the records so far add to the hash chain.
    pub(super) fn sum(&self) -> u64 {
        self.sum
    }

    /// Says what the records that were left out add to the hash chain. Once, and behind all that were not.
    pub(super) fn dropped(&mut self, sum: u64) {
        encode_item(&mut self.body, ItemKind::Dropped, |out| out.put_u64_le(sum));
        self.sum = self.sum.wrapping_add(sum);
    }

    /// Adds the item of a change as it was written before.
    pub(super) fn copy(&mut self, change: &Change<'_>, item: &[u8]) -> Result<(), Fault> {
        let revision = change.revision;
        self.sum = self.sum.wrapping_add(chain::change(change.tombstone, revision, change.kv));
        self.waiting.push((revision, self.body.len(), item.len()));
        let start = self.body.len();
        self.body.extend_from_slice(item);
        untie_item(&mut self.body[start..]);
        self.flush_if(FRAME_BYTES)
    }

    /// Makes what was written durable if it has become much, so that the end has little left to wait for.
    pub(super) fn sync_some(&mut self) -> Result<(), Fault> {
        if self.segment.len() - self.segment.synced() < SYNC_BYTES {
            return Ok(());
        }
        self.segment.sync().map_err(|error| Fault::disk(&self.path, error))
    }

    /// Writes what is left and makes it durable. Returns the chain value it ends with.
    pub(super) fn close(&mut self) -> Result<u32, Fault> {
        if self.body.len() > PRELUDE_BYTES || self.segment.is_empty() {
            self.flush()?;
        }
        self.segment.sync().map_err(|error| Fault::disk(&self.path, error))?;
        Ok(self.segment.chain())
    }

    /// Closes it and gives it to the readers. The name is the caller's.
    pub(super) fn finish(mut self) -> Result<Segment<D::File>, Fault> {
        self.close()?;
        Ok(Segment {
            id: self.id,
            path: self.path.into(),
            file: self.segment.file(),
            salt: self.salt,
            len: self.segment.len(),
            written: self.segment.len(),
            span: self.span,
            marks: self.marks,
            record_bytes: self.record_bytes,
            sum: self.sum,
            chain_seed: self.chain_seed,
            chain: self.origin.map_or(self.segment.chain(), |origin| origin.chain),
            cleaned: self.origin.map_or(crate::state::NEVER_COMPACTED, |origin| origin.cleaned),
        })
    }

    /// The path it is written at.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    fn begin_body(&mut self) {
        self.body.clear();
        self.body.resize(PRELUDE_BYTES, 0);
    }

    fn flush_if(&mut self, size: usize) -> Result<(), Fault> {
        if self.body.len() >= size { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), Fault> {
        // Where the store is, is not said here; a part is no moment of it.
        let prelude = Prelude { applied: 0, term: 0, revision: 0, compacted: 0 }.encode(self.body.len());
        self.body[..PRELUDE_BYTES].copy_from_slice(&prelude);
        tie_items(&mut self.body, self.salt, self.segment.len() + FRAME_HEADER_BYTES);
        let offset = append(&mut self.segment, &self.path, FRAME_PART, &self.body)?;
        let frame_end = self.segment.len();
        for (revision, start, size) in self.waiting.drain(..) {
            self.record_bytes += size as u64;
            note(&mut self.span, &mut self.marks, revision, offset + start as u64, frame_end);
        }
        self.begin_body();
        Ok(())
    }
}

impl<F> Segment<F> {
    /// The same segment under the name it was given.
    pub(super) fn renamed(mut self, path: String) -> Segment<F> {
        self.path = Arc::from(path);
        self
    }
}

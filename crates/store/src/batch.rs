//! The body of the frame that is being made: the changes of a batch of entries, in the order they happen.
//!
//! It is a part of a larger buffer that many bodies share, so a small batch costs no allocation of its own. Where the
//! frame will lie is known from the start; a record has its place before it is written, and can be read back from here by
//! the entries behind it.

use bytes::{Bytes, BytesMut};

use crate::chain;
use crate::event::{Event, EventKind, Events};
use crate::keys::Place;
use crate::reply::key_value::KeyValueRef;
use crate::revision::Revision;
use crate::revlog::item::{ItemKind, PRELUDE_BYTES, encode_change, encode_item, tie_items};
use crate::revlog::log::{Record, offset_of, place_of};

/// A change of a key that is in the body already.
#[derive(Clone, Copy, Debug)]
struct Written {
    tombstone: bool,
    created: bool,
    revision: Revision,
    previous: Option<Revision>,
    /// Where the item begins in the body.
    start: usize,
    /// Where its KeyValue begins, and where that ends.
    kv_start: usize,
    end: usize,
    key_bytes: usize,
}

/// See the module's essay.
#[derive(Debug)]
pub(crate) struct Batch {
    body: BytesMut,
    segment: u32,
    salt: u32,
    /// Where the body will begin in the segment.
    offset: u64,
    changes: Vec<Written>,
    /// What the changes add to the chain.
    sum: u64,
}

impl Batch {
    /// Begins a body in `buffer`, which is empty, to be written at `offset` of a segment with this number and salt.
    pub(crate) fn new(mut buffer: BytesMut, (segment, salt): (u32, u32), offset: u64) -> Batch {
        assert!(buffer.is_empty());
        buffer.resize(PRELUDE_BYTES, 0);
        Batch { body: buffer, segment, salt, offset, changes: Vec::new(), sum: 0 }
    }

    /// Adds a change of a key and tells its place.
    pub(crate) fn change(
        &mut self,
        tombstone: bool,
        revision: Revision,
        previous: Option<Revision>,
        kv: &KeyValueRef<'_>,
    ) -> Place {
        let (start, size, kv_start) = encode_change(&mut self.body, tombstone, revision, previous, kv);
        let (end, created, key_bytes) = (start + size, kv.version == 1, kv.key.len());
        self.sum = self.sum.wrapping_add(chain::change(tombstone, revision, &self.body[kv_start..]));
        self.changes.push(Written { tombstone, created, revision, previous, start, kv_start, end, key_bytes });
        place_of(self.segment, self.offset + start as u64, size, kv.lease != 0)
    }

    /// Adds a change of anything else.
    pub(crate) fn item(&mut self, kind: ItemKind, body: impl FnOnce(&mut BytesMut)) {
        encode_item(&mut self.body, kind, body);
    }

    /// The record at `place`, if it is in this batch: a copy, since the buffer still grows.
    pub(crate) fn record(&self, place: Place) -> Option<Record> {
        let start = offset_of(place).checked_sub(self.offset).filter(|_| place.segment == self.segment)? as usize;
        let item = self.body.get(start..start + place.size_bytes as usize)?;
        Record::new(Bytes::copy_from_slice(item))
    }

    /// The record of a revision, if it is in this batch: a copy too.
    pub(crate) fn find(&self, revision: Revision) -> Option<Record> {
        let at = self.changes.binary_search_by_key(&revision, |change| change.revision).ok()?;
        let Written { start, end, .. } = self.changes[at];
        Record::new(Bytes::copy_from_slice(&self.body[start..end]))
    }

    /// What the changes so far add to the chain.
    pub(crate) fn sum(&self) -> u64 {
        self.sum
    }

    /// Bytes of the body so far.
    pub(crate) fn size_bytes(&self) -> usize {
        self.body.len()
    }

    /// How many changes of keys there are.
    pub(crate) fn changes(&self) -> usize {
        self.changes.len()
    }

    /// Where the body will begin in the segment.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Revisions, where their items begin in the segment, and how long they are, in order.
    pub(crate) fn revisions(&self) -> impl Iterator<Item = (Revision, u64, usize)> + '_ {
        let written =
            |change: &Written| (change.revision, self.offset + change.start as u64, change.end - change.start);
        self.changes.iter().map(written)
    }

    /// Ends the body with its prelude. Returns it and what is left of the buffer.
    pub(crate) fn seal(&mut self, prelude: [u8; PRELUDE_BYTES]) -> (Bytes, BytesMut) {
        self.body[..PRELUDE_BYTES].copy_from_slice(&prelude);
        tie_items(&mut self.body, self.salt, self.offset);
        let mut rest = std::mem::take(&mut self.body);
        let body = rest.split().freeze();
        (body, rest)
    }

    /// The events of the batch, out of its sealed body.
    pub(crate) fn events(&self, body: &Bytes) -> Vec<Events> {
        self.changes
            .chunk_by(|left, right| left.revision.main == right.revision.main)
            .map(|changes| Events {
                revision: changes[0].revision.main,
                events: changes.iter().map(|change| change.event(body)).collect(),
            })
            .collect()
    }
}

impl Written {
    fn event(&self, body: &Bytes) -> Event {
        let kv = body.slice(self.kv_start..self.end);
        Event {
            kind: if self.tombstone { EventKind::Delete } else { EventKind::Put },
            key: key_of(&kv, self.key_bytes),
            kv,
            sub: self.revision.sub,
            created: self.created,
            previous: self.previous.filter(|_| !self.created),
        }
    }
}

/// The key in an encoded KeyValue, which begins with it: one byte of tag, its length, itself.
pub(crate) fn key_of(kv: &Bytes, key_bytes: usize) -> Bytes {
    if key_bytes == 0 {
        return Bytes::new();
    }
    let start = 1 + prost::length_delimiter_len(key_bytes);
    kv.slice(start..start + key_bytes)
}

//! The body of the frame that is being made: the changes of a batch of entries, in the order they happen.
//!
//! It is a part of a larger buffer that many bodies share, so a small batch costs no allocation of its own. Where the
//! frame will lie is known from the start; a record has its place before it is written, and can be read back from here by
//! the entries behind it.
//!
//! One entry can change every key there is. When a body has become long the changes go on in the body of a frame behind it;
//! those frames count only together, and [`Bodies`] keeps them in a row.

use bytes::{Bytes, BytesMut};
use disk::segment::FRAME_HEADER_BYTES;

use crate::chain;
use crate::event::{Event, EventKind, Events};
use crate::keys::Place;
use crate::reply::key_value::KeyValueRef;
use crate::revision::Revision;
use crate::revlog::item::{ItemKind, PRELUDE_BYTES, Prelude, encode_change, encode_item, tie_items};
use crate::revlog::log::{Record, offset_of, place_of};

/// A change of a key that is in the body already.
#[derive(Clone, Copy, Debug)]
struct Written {
    tombstone: bool,
    created: bool,
    revision: Revision,
    previous: Option<Revision>,
    /// Which of the bodies holds it.
    body: u32,
    /// Where the item begins in the body.
    start: usize,
    /// Where its KeyValue begins, and where that ends.
    kv_start: usize,
    end: usize,
    key_bytes: usize,
}

/// A body, and where it will begin in the segment.
#[derive(Debug)]
struct Body {
    offset: u64,
    bytes: BytesMut,
}

/// See the module's essay.
#[derive(Debug)]
pub(crate) struct Batch {
    /// Those that are long enough.
    full: Vec<Body>,
    /// The one behind them.
    last: Body,
    segment: u32,
    salt: u32,
    /// A body that has become so long is full.
    frame_bytes: usize,
    changes: Vec<Written>,
    /// What the changes add to the chain.
    sum: u64,
}

/// The bodies of a batch, as they are to be written, one after the other: at least one.
#[derive(Debug)]
pub(crate) struct Bodies {
    full: Vec<Bytes>,
    last: Bytes,
}

impl Bodies {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.full.len() + 1
    }

    /// The one with this number.
    pub(crate) fn get(&self, number: usize) -> &Bytes {
        self.full.get(number).unwrap_or(&self.last)
    }

    /// Bytes of all.
    pub(crate) fn size_bytes(&self) -> u64 {
        (0..self.len()).map(|number| self.get(number).len() as u64).sum()
    }
}

impl Batch {
    /// Begins a body in `buffer`, which is empty, to be written at `offset` of a segment with this number and salt. It is
    /// full when it has `frame_bytes`.
    pub(crate) fn new(mut buffer: BytesMut, (segment, salt): (u32, u32), offset: u64, frame_bytes: usize) -> Batch {
        assert!(buffer.is_empty());
        buffer.resize(PRELUDE_BYTES, 0);
        let last = Body { offset, bytes: buffer };
        Batch { full: Vec::new(), last, segment, salt, frame_bytes, changes: Vec::new(), sum: 0 }
    }

    /// Whether there is enough for a frame.
    pub(crate) fn is_full(&self) -> bool {
        !self.full.is_empty() || self.last.bytes.len() >= self.frame_bytes
    }

    /// The body that what follows belongs to.
    fn body(&mut self) -> &mut BytesMut {
        if self.last.bytes.len() >= self.frame_bytes {
            let offset = self.last.offset + self.last.bytes.len() as u64 + FRAME_HEADER_BYTES;
            let mut bytes = BytesMut::with_capacity(self.frame_bytes);
            bytes.resize(PRELUDE_BYTES, 0);
            let full = std::mem::replace(&mut self.last, Body { offset, bytes });
            self.full.push(full);
        }
        &mut self.last.bytes
    }

    /// Adds a change of a key and tells its place.
    pub(crate) fn change(
        &mut self,
        tombstone: bool,
        revision: Revision,
        previous: Option<Revision>,
        kv: &KeyValueRef<'_>,
    ) -> Place {
        let bytes = self.body();
        let (start, size, kv_start) = encode_change(bytes, tombstone, revision, previous, kv);
        let added = chain::change(tombstone, revision, &bytes[kv_start..]);
        let (body, end) = (self.full.len() as u32, start + size);
        let (created, key_bytes) = (kv.version == 1, kv.key.len());
        self.sum = self.sum.wrapping_add(added);
        self.changes.push(Written { tombstone, created, revision, previous, body, start, kv_start, end, key_bytes });
        place_of(self.segment, self.last.offset + start as u64, size, kv.lease != 0)
    }

    /// Adds a change of anything else.
    pub(crate) fn item(&mut self, kind: ItemKind, body: impl FnOnce(&mut BytesMut)) {
        encode_item(self.body(), kind, body);
    }

    /// The body with this number.
    fn numbered(&self, number: usize) -> &Body {
        self.full.get(number).unwrap_or(&self.last)
    }

    /// The record at `place`, if it is in this batch: a copy, since the buffer still grows.
    pub(crate) fn record(&self, place: Place) -> Option<Record> {
        if place.segment != self.segment {
            return None;
        }
        let offset = offset_of(place);
        let body = match offset >= self.last.offset {
            true => &self.last,
            false => &self.full[self.full.partition_point(|body| body.offset <= offset).checked_sub(1)?],
        };
        let start = (offset - body.offset) as usize;
        let item = body.bytes.get(start..start + place.size_bytes as usize)?;
        Record::new(Bytes::copy_from_slice(item))
    }

    /// The record of a revision, if it is in this batch: a copy too.
    pub(crate) fn find(&self, revision: Revision) -> Option<Record> {
        let at = self.changes.binary_search_by_key(&revision, |change| change.revision).ok()?;
        let Written { body, start, end, .. } = self.changes[at];
        Record::new(Bytes::copy_from_slice(&self.numbered(body as usize).bytes[start..end]))
    }

    /// What the changes so far add to the chain.
    pub(crate) fn sum(&self) -> u64 {
        self.sum
    }

    /// Bytes of all bodies so far.
    pub(crate) fn size_bytes(&self) -> usize {
        self.full.iter().map(|body| body.bytes.len()).sum::<usize>() + self.last.bytes.len()
    }

    /// How many changes of keys there are.
    pub(crate) fn changes(&self) -> usize {
        self.changes.len()
    }

    /// Where the body with this number will begin in the segment.
    pub(crate) fn offset(&self, number: usize) -> u64 {
        self.numbered(number).offset
    }

    /// Revisions in the body with this number, where their items begin in the segment, and how long they are, in order.
    pub(crate) fn revisions(&self, number: usize) -> impl Iterator<Item = (Revision, u64, usize)> + '_ {
        let start = self.changes.partition_point(|change| (change.body as usize) < number);
        let offset = self.offset(number);
        self.changes[start..]
            .iter()
            .take_while(move |change| change.body as usize == number)
            .map(move |change| (change.revision, offset + change.start as u64, change.end - change.start))
    }

    /// Ends the bodies: each says where the store is after the batch. Returns them and what is left of the buffer.
    pub(crate) fn seal(&mut self, prelude: Prelude) -> (Bodies, BytesMut) {
        let salt = self.salt;
        let end = |body: &mut Body| {
            let beginning = prelude.encode(body.bytes.len());
            body.bytes[..PRELUDE_BYTES].copy_from_slice(&beginning);
            tie_items(&mut body.bytes, salt, body.offset);
            std::mem::take(&mut body.bytes)
        };
        let full = self.full.iter_mut().map(|body| end(body).freeze()).collect();
        let mut rest = end(&mut self.last);
        let last = rest.split().freeze();
        (Bodies { full, last }, rest)
    }

    /// The events of the batch, out of its sealed bodies.
    pub(crate) fn events(&self, bodies: &Bodies) -> Vec<Events> {
        self.changes
            .chunk_by(|left, right| left.revision.main == right.revision.main)
            .map(|changes| Events {
                revision: changes[0].revision.main,
                events: changes.iter().map(|change| change.event(bodies.get(change.body as usize))).collect(),
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

//! The revision log as a view reads it: segments, and the newest bodies in memory.
//!
//! A record is found by its [`Place`] in one read, or by its revision: the segment by the revisions it spans, the
//! nearest mark before it by the segment's index, and from there by walking. The second way is how history is followed
//! (every record names the revision of the one before it, never its place, because a sweep moves records), and how a
//! record is found whose segment was rewritten after its place was noted.
//!
//! Reading never changes anything, takes no lock, and trusts nothing: each item that comes from the disk is verified.

use std::sync::Arc;

use bytes::Bytes;
use disk::DiskFile;

use super::item::{CHANGE_START_BYTES_MAX, Change, ITEM_HEADER_BYTES, Item, item_size, kv_start};
use super::resident::Resident;
use super::segment::Segment;
use super::walk::Walk;
use crate::fault::Fault;
use crate::keys::Place;
use crate::revision::Revision;

/// How much is read at once when one record is looked for by its revision.
const LOOK_BYTES: usize = 8 << 10;

/// Set in [`Place::offset`] when the record attaches its key to a lease, so that nobody reads a record only to learn that
/// there is none. Offsets are below 4 GiB.
const LEASED: u64 = 1 << 32;

/// The place of an item; `leased` when it attaches its key to a lease.
pub(crate) fn place_of(segment: u32, offset: u64, size: usize, leased: bool) -> Place {
    assert!(offset < LEASED, "a segment is shorter than 4 GiB");
    let offset = if leased { offset | LEASED } else { offset };
    Place { segment, offset, size_bytes: size as u32 }
}

/// Whether the record at `place` attaches its key to a lease.
pub(crate) fn is_leased(place: Place) -> bool {
    place.offset & LEASED != 0
}

/// Where the record at `place` begins in its segment.
pub(crate) fn offset_of(place: Place) -> u64 {
    place.offset & !LEASED
}

/// The verified item of a change of a key.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    item: Bytes,
}

impl Record {
    /// `item` has been verified and is a change of a key.
    pub(crate) fn new(item: Bytes) -> Option<Record> {
        let record = Record { item };
        record.decode().is_some().then_some(record)
    }

    fn decode(&self) -> Option<Change<'_>> {
        Item::decode_unchecked(&self.item)?.change()
    }

    pub(crate) fn change(&self) -> Change<'_> {
        match self.decode() {
            Some(change) => change,
            None => unreachable!("a record was decoded when it was made"),
        }
    }

    /// The encoded KeyValue, sharing the record's memory.
    pub(crate) fn kv(&self) -> Bytes {
        self.item.slice(self.change().kv_start..)
    }

    /// The part of the record that `part` borrows from it.
    pub(crate) fn share(&self, part: &[u8]) -> Bytes {
        if part.is_empty() { Bytes::new() } else { self.item.slice_ref(part) }
    }

    /// The item as it was written.
    pub(crate) fn item(&self) -> &[u8] {
        &self.item
    }

    /// Bytes of the whole item.
    pub(crate) fn size_bytes(&self) -> usize {
        self.item.len()
    }
}

/// Cloning is cheap, and a clone stays as it was.
#[derive(Debug)]
pub(crate) struct Log<F> {
    /// Segments that are no longer written to, in the order of their revisions.
    pub(crate) sealed: Arc<Vec<Arc<Segment<F>>>>,
    /// The one that is.
    pub(crate) active: Segment<F>,
    pub(crate) resident: Resident,
}

impl<F> Clone for Log<F> {
    fn clone(&self) -> Log<F> {
        Log { sealed: self.sealed.clone(), active: self.active.clone(), resident: self.resident.clone() }
    }
}

impl<F: DiskFile> Log<F> {
    /// The segments in the order of their revisions.
    pub(crate) fn segment(&self, at: usize) -> Option<&Segment<F>> {
        if at == self.sealed.len() { Some(&self.active) } else { self.sealed.get(at).map(Arc::as_ref) }
    }

    /// How many segments there are.
    pub(crate) fn segments(&self) -> usize {
        self.sealed.len() + 1
    }

    fn segment_of(&self, id: u32) -> Option<&Segment<F>> {
        if self.active.id == id {
            return Some(&self.active);
        }
        // Newest first: what is read again is mostly young.
        self.sealed.iter().rev().find(|segment| segment.id == id).map(Arc::as_ref)
    }

    /// The record of `revision`, which was written at `place`.
    pub(crate) fn record(&self, place: Place, revision: Revision) -> Result<Record, Fault> {
        let (offset, size) = (offset_of(place), place.size_bytes as usize);
        if let Some(mut body) = self.resident.from(place.segment, offset) {
            body.truncate(size);
            if let Some(record) = Record::new(body) {
                return Ok(record);
            }
        }
        if let Some(segment) = self.segment_of(place.segment) {
            let item = read_item(segment, offset, size)?;
            return match Record::new(item) {
                Some(record) if record.change().revision == revision => Ok(record),
                _ => Err(Fault::corrupt(
                    &segment.path,
                    offset,
                    format!("this is not the record of revision {revision:?}"),
                )),
            };
        }
        match self.find(revision)? {
            Some(record) => Ok(record),
            None => Err(Fault::corrupt(&self.active.path, 0, format!("the record of revision {revision:?} is gone"))),
        }
    }

    /// Length of the encoded KeyValue in the record of `revision`, which was written at `place`. Of a record on disk only
    /// the beginning is read, without its check: whoever reads the record finds out.
    pub(crate) fn kv_size(&self, place: Place, revision: Revision) -> Result<usize, Fault> {
        let (offset, size) = (offset_of(place), place.size_bytes as usize);
        if self.resident.from(place.segment, offset).is_none()
            && let Some(segment) = self.segment_of(place.segment)
        {
            let mut start = [0; CHANGE_START_BYTES_MAX];
            let start = &mut start[..size.min(CHANGE_START_BYTES_MAX)];
            let count = segment.file.read_at(offset, start).map_err(|error| Fault::disk(&segment.path, error))?;
            return match kv_start(&start[..count]) {
                Some(at) if at <= size => Ok(size - at),
                _ => Err(Fault::corrupt(&segment.path, offset, "a record does not begin as one")),
            };
        }
        Ok(self.record(place, revision)?.kv().len())
    }

    /// The record of `revision`; `None` when the log does not hold it (any more).
    pub(crate) fn find(&self, revision: Revision) -> Result<Option<Record>, Fault> {
        Ok(self.locate(revision)?.map(|(record, _)| record))
    }

    /// Walks over the log from a record that is not behind `revision`, reading so many bytes at once.
    pub(crate) fn walk_from(&self, revision: Revision, read_bytes: usize) -> Walk<F> {
        let before = |segment: &Segment<F>| segment.span.is_some_and(|(_, last)| last < revision);
        // A segment without records spans nothing; only the active one and a fresh one before it can be so.
        let mut at = self.sealed.partition_point(|segment| before(segment));
        while at < self.sealed.len() && self.sealed[at].span.is_none() {
            at += 1;
        }
        Walk::new(self.clone(), at, revision, read_bytes)
    }

    /// Walks over the log from the beginning of the segment at this position, or a record in it not behind `revision`.
    pub(crate) fn walk_in(&self, segment: usize, revision: Revision, read_bytes: usize) -> Walk<F> {
        Walk::new(self.clone(), segment, revision, read_bytes)
    }

    /// The record of `revision` and the id of the segment that holds it.
    pub(crate) fn locate(&self, revision: Revision) -> Result<Option<(Record, u32)>, Fault> {
        let mut walk = self.walk_from(revision, LOOK_BYTES);
        let Some(found) = walk.next_from(revision)? else { return Ok(None) };
        let id = self.segment(found.segment).map_or(self.active.id, |segment| segment.id);
        Ok((found.record.change().revision == revision).then_some((found.record, id)))
    }
}

/// Reads and verifies one item.
fn read_item<F: DiskFile>(segment: &Segment<F>, offset: u64, size: usize) -> Result<Bytes, Fault> {
    let mut bytes = vec![0; size];
    let count = segment.file.read_at(offset, &mut bytes).map_err(|error| Fault::disk(&segment.path, error))?;
    let whole = count == size && size >= ITEM_HEADER_BYTES && item_size(&bytes) == Some(size);
    if !whole || Item::decode(&bytes, segment.salt, offset).is_none() {
        return Err(Fault::corrupt(&segment.path, offset, "a record does not match its check, or belongs elsewhere"));
    }
    Ok(bytes.into())
}

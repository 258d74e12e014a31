//! The heads of one leaf as fixed-width records in one buffer.
//!
//! ```text
//!   record 0                         record 1                            padding
//!  ┌────┬───┬───────┬───────┬───┬───┬────┬─ ─
//!  │main│sub│created│version│segment│offset│size│ …                       8 bytes
//!  └────┴───┴───────┴───────┴───┴───┴────┴─ ─
//! ```
//!
//! Every column has the width, in bytes, that the largest number in this leaf needs: revisions of a young store take
//! three or four bytes rather than eight, `sub` usually none. All records of a leaf have the same [`Shape`], so a
//! changed head is a write at a computed offset. When a number outgrows its column the leaf is rewritten once with a
//! wider one; columns are not narrowed again, since that would rewrite leaves back and forth.
//!
//! A column is read and written as one masked eight-byte word, which is why the buffer ends with eight bytes of
//! padding. This module knows nothing of keys.

use std::ops::Range;

use super::head::{Head, Place};
use crate::revision::Revision;

/// Columns of a record, in this order: main, sub, created, version, segment, offset, size.
const COLUMNS: usize = 7;
const VERSION: usize = 3;
/// Lets a word be read at the last column of the last record.
const PADDING: usize = 8;

/// The largest number of `width` bytes, by width.
const MASKS: [u64; 9] =
    [0, 0xff, 0xffff, 0xff_ffff, 0xffff_ffff, 0xff_ffff_ffff, 0xffff_ffff_ffff, 0xff_ffff_ffff_ffff, u64::MAX];

type Row = [u64; COLUMNS];

fn row_of(head: &Head) -> Row {
    // Signed numbers keep their bits: a negative one (which etcd never writes) takes eight bytes and comes back whole.
    [
        head.modified.main as u64,
        u64::from(head.modified.sub),
        head.created as u64,
        head.version as u64,
        u64::from(head.place.segment),
        head.place.offset,
        u64::from(head.place.size_bytes),
    ]
}

fn head_of(row: Row) -> Head {
    let [main, sub, created, version, segment, offset, size_bytes] = row;
    Head {
        modified: Revision { main: main as i64, sub: sub as u32 },
        created: created as i64,
        version: version as i64,
        place: Place { segment: segment as u32, offset, size_bytes: size_bytes as u32 },
    }
}

/// The widths of the columns of one leaf, in bytes, and where each begins in a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Shape {
    widths: [u8; COLUMNS],
    starts: [u8; COLUMNS],
    stride: u8,
}

impl Shape {
    /// The narrowest shape that is at least as wide as `self` and holds `row`.
    fn with(self, row: &Row) -> Shape {
        let mut widths = self.widths;
        for (width, number) in widths.iter_mut().zip(row) {
            *width = (*width).max((64 - number.leading_zeros()).div_ceil(8) as u8);
        }
        Shape::new(widths)
    }

    fn union(self, other: Shape) -> Shape {
        let mut widths = self.widths;
        for (width, theirs) in widths.iter_mut().zip(other.widths) {
            *width = (*width).max(theirs);
        }
        Shape::new(widths)
    }

    fn new(widths: [u8; COLUMNS]) -> Shape {
        let mut starts = [0; COLUMNS];
        let mut stride = 0;
        for (start, width) in starts.iter_mut().zip(widths) {
            *start = stride;
            stride += width;
        }
        Shape { widths, starts, stride }
    }

    fn holds(&self, row: &Row) -> bool {
        row.iter().zip(self.widths).all(|(number, width)| *number <= MASKS[usize::from(width)])
    }
}

/// The packed heads of one leaf.
#[derive(Clone, Debug)]
pub(super) struct Records {
    shape: Shape,
    bytes: Vec<u8>,
}

impl Records {
    pub(super) fn new() -> Records {
        Records { shape: Shape::default(), bytes: vec![0; PADDING] }
    }

    /// Packs heads as narrowly as they allow.
    pub(super) fn pack(heads: &[Head]) -> Records {
        let shape = heads.iter().fold(Shape::default(), |shape, head| shape.with(&row_of(head)));
        let mut records = Records { shape, bytes: vec![0; heads.len() * usize::from(shape.stride) + PADDING] };
        for (at, head) in heads.iter().enumerate() {
            records.write(at, &row_of(head));
        }
        records
    }

    pub(super) fn get(&self, at: usize) -> Head {
        head_of(self.read(at))
    }

    /// Overwrites the record at `at` and returns what was there.
    pub(super) fn replace(&mut self, at: usize, head: &Head, count: usize) -> Head {
        let old = self.get(at);
        let row = row_of(head);
        self.make_room(&row, count);
        self.write(at, &row);
        old
    }

    /// Puts a record before the one at `at`. `count` is the number of records before the call.
    pub(super) fn insert(&mut self, at: usize, head: &Head, count: usize) {
        let row = row_of(head);
        self.make_room(&row, count);
        let stride = self.stride();
        let end = self.bytes.len();
        assert_eq!(end, count * stride + PADDING, "records and keys of a leaf are the same in number");
        self.bytes.reserve_exact(stride);
        self.bytes.resize(end + stride, 0);
        self.bytes.copy_within(at * stride..end, (at + 1) * stride);
        self.write(at, &row);
    }

    /// Takes the record at `at` out.
    pub(super) fn remove(&mut self, at: usize) -> Head {
        let old = self.get(at);
        let stride = self.stride();
        self.bytes.drain(at * stride..(at + 1) * stride);
        self.bytes.shrink_to_fit();
        old
    }

    /// A copy of the records in `range`.
    pub(super) fn slice(&self, range: Range<usize>) -> Records {
        let stride = self.stride();
        let mut bytes = Vec::with_capacity(range.len() * stride + PADDING);
        bytes.extend_from_slice(&self.bytes[range.start * stride..range.end * stride]);
        bytes.resize(bytes.len() + PADDING, 0);
        Records { shape: self.shape, bytes }
    }

    /// The records of `self` (`count` of them), then those of `other` (`others` of them).
    pub(super) fn joined(&self, count: usize, other: &Records, others: usize) -> Records {
        let shape = self.shape.union(other.shape);
        let mut joined = Records { shape, bytes: vec![0; (count + others) * usize::from(shape.stride) + PADDING] };
        for at in 0..count {
            joined.write(at, &self.read(at));
        }
        for at in 0..others {
            joined.write(count + at, &other.read(at));
        }
        joined
    }

    /// How many of the records in `range` are not tombstones.
    pub(super) fn live_in(&self, range: Range<usize>) -> usize {
        range.filter(|at| self.column(*at, VERSION) != 0).count()
    }

    /// How many records fit the buffer exactly, or `None` when records take no bytes at all.
    pub(super) fn count(&self) -> Option<usize> {
        (self.bytes.len() - PADDING).checked_div(self.stride())
    }

    /// Bytes held on the heap.
    pub(super) fn memory_bytes(&self) -> usize {
        self.bytes.len()
    }

    fn stride(&self) -> usize {
        usize::from(self.shape.stride)
    }

    /// Widens the columns, if they must be, so that `row` fits.
    fn make_room(&mut self, row: &Row, count: usize) {
        if self.shape.holds(row) {
            return;
        }
        let shape = self.shape.with(row);
        let mut wider = Records { shape, bytes: vec![0; count * usize::from(shape.stride) + PADDING] };
        for at in 0..count {
            wider.write(at, &self.read(at));
        }
        *self = wider;
    }

    fn column(&self, at: usize, column: usize) -> u64 {
        let start = at * self.stride() + usize::from(self.shape.starts[column]);
        word(&self.bytes[start..]) & MASKS[usize::from(self.shape.widths[column])]
    }

    fn read(&self, at: usize) -> Row {
        let start = at * self.stride();
        let record = &self.bytes[start..start + self.stride() + PADDING];
        let mut row = [0; COLUMNS];
        for (column, number) in row.iter_mut().enumerate() {
            *number =
                word(&record[usize::from(self.shape.starts[column])..]) & MASKS[usize::from(self.shape.widths[column])];
        }
        row
    }

    fn write(&mut self, at: usize, row: &Row) {
        let stride = self.stride();
        let start = at * stride;
        let record = &mut self.bytes[start..start + stride + PADDING];
        for (column, number) in row.iter().enumerate() {
            let start = usize::from(self.shape.starts[column]);
            let mask = MASKS[usize::from(self.shape.widths[column])];
            // What follows the column in the word belongs to its neighbours and stays.
            let mixed = (word(&record[start..]) & !mask) | (number & mask);
            record[start..start + 8].copy_from_slice(&mixed.to_le_bytes());
        }
    }
}

fn word(bytes: &[u8]) -> u64 {
    match bytes.first_chunk() {
        Some(chunk) => u64::from_le_bytes(*chunk),
        None => unreachable!("records end with eight bytes of padding"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(number: u64) -> Head {
        head_of([number, number & 0xffff_ffff, number, number, number & 0xffff_ffff, number, number & 0xffff_ffff])
    }

    #[test]
    fn every_width_comes_back_whole_and_columns_widen_under_way() {
        let mut records = Records::new();
        let mut expected = Vec::new();
        for bits in 0..=64u32 {
            let number = if bits == 0 { 0 } else { u64::MAX >> (64 - bits) };
            let at = (bits as usize * 7) % (expected.len() + 1);
            records.insert(at, &head(number), expected.len());
            expected.insert(at, head(number));
        }
        for (at, head) in expected.iter().enumerate() {
            assert_eq!(records.get(at), *head);
        }
        assert_eq!(Records::pack(&expected).bytes, records.bytes);
    }

    #[test]
    fn a_replaced_record_leaves_its_neighbours_alone() {
        let heads: Vec<Head> = (1..=20).map(|n| head(n * 1000)).collect();
        let mut records = Records::pack(&heads);
        let narrow = records.bytes.len();
        assert_eq!(records.replace(7, &head(5), heads.len()), heads[7]);
        assert_eq!(records.bytes.len(), narrow, "a number that fits does not move anything");
        assert_eq!(records.replace(8, &head(1 << 40), heads.len()), heads[8]);
        assert!(records.bytes.len() > narrow);
        for (at, old) in heads.iter().enumerate() {
            let now = match at {
                7 => head(5),
                8 => head(1 << 40),
                _ => *old,
            };
            assert_eq!(records.get(at), now);
        }
    }

    #[test]
    fn slices_joins_and_removals_keep_the_order() {
        let heads: Vec<Head> = (0..10).map(|n| head(n * n * 77)).collect();
        let records = Records::pack(&heads);
        let (low, high) = (records.slice(0..3), records.slice(3..10));
        let mut joined = high.joined(7, &low, 3);
        for at in 0..10 {
            assert_eq!(joined.get(at), heads[(at + 3) % 10]);
        }
        assert_eq!(joined.live_in(0..10), 9);
        assert_eq!(joined.live_in(7..8), 0);
        assert_eq!(joined.remove(7), heads[0]);
        assert_eq!(joined.get(7), heads[1]);
        assert_eq!(joined.count(), Some(9));
    }
}

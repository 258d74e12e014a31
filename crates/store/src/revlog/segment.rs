//! One segment of the revision log as its readers know it: a file, how far it may be read, and where revisions lie in it.
//!
//! The index of a segment is sparse: one mark for every few KiB of records, in memory, rebuilt on restart. Between two
//! marks a reader walks. That is the price of holding so little: about half a percent of the log.

use std::sync::Arc;

use super::growing::Growing;
use crate::revision::Revision;

/// A mark stands at the first record after so many bytes.
const MARK_EVERY_BYTES: u64 = 4 << 10;

/// A record whose place in the segment is known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    pub(crate) revision: Revision,
    /// Where its item begins, in bytes from the start of the file.
    pub(crate) at: u32,
    /// Where the frame that holds it ends.
    pub(crate) frame_end: u32,
}

/// A segment. Cloning is cheap, and a clone stays as it was while the owner appends.
#[derive(Debug)]
pub(crate) struct Segment<F> {
    /// A number no other segment has had since the store was opened. Places name segments by it.
    pub(crate) id: u32,
    pub(crate) path: Arc<str>,
    pub(crate) file: Arc<F>,
    /// What ties frames and items to this segment.
    pub(crate) salt: u32,
    /// Bytes that may be read.
    pub(crate) len: u64,
    /// How many of them are in the file; the frames behind are among the resident bodies, whole.
    pub(crate) written: u64,
    /// The first and the last change of a key in it.
    pub(crate) span: Option<(Revision, Revision)>,
    pub(crate) marks: Growing<Mark>,
    /// Bytes of the changes of keys in it, dead or alive; all else is frames and what only counted for a while.
    pub(crate) record_bytes: u64,
    /// What its records, and those a sweep has left out of it, add to the hash chain.
    pub(crate) sum: u64,
    /// The chain value it starts from.
    pub(crate) chain_seed: u32,
    /// The chain value its successor starts from; 0 as long as it has none.
    pub(crate) chain: u32,
    /// A sweep has left nothing in it that a compaction to this revision drops; -1 for a segment as it was written.
    pub(crate) cleaned: i64,
}

impl<F> Clone for Segment<F> {
    fn clone(&self) -> Segment<F> {
        Segment {
            id: self.id,
            path: self.path.clone(),
            file: self.file.clone(),
            salt: self.salt,
            len: self.len,
            written: self.written,
            span: self.span,
            marks: self.marks.clone(),
            record_bytes: self.record_bytes,
            sum: self.sum,
            chain_seed: self.chain_seed,
            chain: self.chain,
            cleaned: self.cleaned,
        }
    }
}

impl<F> Segment<F> {
    /// Takes note of the record of `revision` and `size_bytes` at `at`, in the frame that ends at `frame_end`. Records come
    /// in order.
    pub(crate) fn note(&mut self, revision: Revision, at: u64, size_bytes: usize, frame_end: u64) {
        self.record_bytes += size_bytes as u64;
        note(&mut self.span, &mut self.marks, revision, at, frame_end);
    }

    /// The last mark that is not behind `revision`, or else the first one. `None` when the segment holds no record.
    pub(crate) fn mark_before(&self, revision: Revision) -> Option<Mark> {
        let above = self.marks.partition_point(|mark| mark.revision <= revision);
        (self.marks.len() > 0).then(|| *self.marks.get(above.saturating_sub(1)))
    }
}

/// See [`Segment::note`].
pub(super) fn note(
    span: &mut Option<(Revision, Revision)>,
    marks: &mut Growing<Mark>,
    revision: Revision,
    at: u64,
    frame_end: u64,
) {
    let first = match *span {
        None => revision,
        Some((first, last)) => {
            assert!(last < revision, "revisions of the log ascend");
            first
        }
    };
    *span = Some((first, revision));
    if marks.last().is_none_or(|mark| at >= u64::from(mark.at) + MARK_EVERY_BYTES) {
        marks.push(Mark { revision, at: at as u32, frame_end: frame_end as u32 });
    }
}

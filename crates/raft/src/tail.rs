//! The tail of the log: every entry after the last compaction, in memory.
//!
//! ```text
//!   compacted │ before.index+1 ........ durable ........ taken ........ last
//!             │ ◀── held here, in order, without holes ─────────────────────▶
//! ```
//!
//! `taken` is what has been given to the Log to write, `durable` what the Log holds *and no write under way can change*.
//! When entries are replaced, the caller must cut the claims of writes under way too (see `writes`): a late "done" for the
//! replaced entries must not make their successors durable. The tail knows nothing of commit; `Raft` guards that.

use std::collections::VecDeque;
use std::ops::RangeInclusive;

use crate::{Entry, Index, Term};

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Tail {
    /// Position (and term) just before the first entry.
    before: (Index, Term),
    entries: VecDeque<Entry>,
    /// Positions of the entries that change the configuration.
    changes: VecDeque<Index>,
    taken: Index,
    durable: Index,
    /// Payload bytes held.
    bytes: usize,
}

impl Tail {
    /// A tail read back from disk. The entries must follow `before` without a hole and with terms that never fall.
    pub(crate) fn new(before: (Index, Term), entries: Vec<Entry>) -> Tail {
        let last = before.0 + entries.len() as u64;
        let mut tail = Tail::empty(before);
        tail.extend(entries);
        tail.taken = last;
        tail.durable = last;
        tail
    }

    fn empty(before: (Index, Term)) -> Tail {
        Tail {
            before,
            entries: VecDeque::new(),
            changes: VecDeque::new(),
            taken: before.0,
            durable: before.0,
            bytes: 0,
        }
    }

    /// The lowest index held.
    pub(crate) fn first(&self) -> Index {
        self.before.0 + 1
    }

    pub(crate) fn last_index(&self) -> Index {
        self.before.0 + self.entries.len() as u64
    }

    pub(crate) fn last_term(&self) -> Term {
        self.entries.back().map_or(self.before.1, |entry| entry.term)
    }

    pub(crate) fn durable(&self) -> Index {
        self.durable
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    fn at(&self, index: Index) -> Option<&Entry> {
        let offset = index.checked_sub(self.first())?;
        self.entries.get(usize::try_from(offset).ok()?)
    }

    /// The term at `index`; `None` when it is compacted away or beyond the end.
    pub(crate) fn term(&self, index: Index) -> Option<Term> {
        if index == self.before.0 {
            return Some(self.before.1);
        }
        self.at(index).map(|entry| entry.term)
    }

    pub(crate) fn matches(&self, index: Index, term: Term) -> bool {
        self.term(index) == Some(term)
    }

    /// Adds entries at the end.
    pub(crate) fn extend(&mut self, entries: impl IntoIterator<Item = Entry>) {
        let mut last_term = self.last_term();
        for entry in entries {
            assert_eq!(entry.index, self.last_index() + 1, "log entries must follow each other without a hole");
            assert!(entry.term >= last_term, "terms never fall along a log: {} after {last_term}", entry.term);
            last_term = entry.term;
            self.bytes += entry.data.len();
            if entry.kind.is_change() {
                self.changes.push_back(entry.index);
            }
            self.entries.push_back(entry);
        }
    }

    /// Removes everything from `from` on, durable or not.
    pub(crate) fn truncate(&mut self, from: Index) {
        assert!(from >= self.first(), "entries before {} are compacted and cannot be replaced", self.first());
        while self.last_index() >= from {
            let entry = self.entries.pop_back().expect("the last index lies above the first");
            self.bytes -= entry.data.len();
        }
        while self.changes.back().is_some_and(|change| *change >= from) {
            self.changes.pop_back();
        }
        self.taken = self.taken.min(from - 1);
        self.durable = self.durable.min(from - 1);
    }

    /// Forgets everything and starts anew after a snapshot. What is durable afterwards stays at most `keep_durable`.
    pub(crate) fn restart(&mut self, before: (Index, Term), keep_durable: Index) {
        let durable = self.durable.min(keep_durable);
        *self = Tail::empty(before);
        self.durable = durable;
    }

    /// Forgets entries up to and including `index`.
    pub(crate) fn compact(&mut self, index: Index) {
        assert!(index <= self.durable, "only durable entries may be compacted");
        while self.before.0 < index {
            let entry = self.entries.pop_front().expect("compaction stays within the log");
            self.bytes -= entry.data.len();
            self.before = (entry.index, entry.term);
        }
        while self.changes.front().is_some_and(|change| *change <= index) {
            self.changes.pop_front();
        }
    }

    /// Entries from `from` on: as many as fit in `bytes_max` of encoded length, but at least one if there is any.
    pub(crate) fn batch(&self, from: Index, bytes_max: usize) -> Vec<Entry> {
        assert!(from >= self.first(), "entry {from} is compacted");
        let start = (from - self.first()) as usize;
        if start >= self.entries.len() {
            return Vec::new();
        }
        let mut bytes = 0;
        let count = self
            .entries
            .range(start..)
            .take_while(|entry| {
                let fits_alone = bytes == 0;
                bytes += entry.encoded_len();
                fits_alone || bytes <= bytes_max
            })
            .count();
        self.entries.range(start..start + count).cloned().collect()
    }

    /// A copy of every entry in the range, which must be held.
    pub(crate) fn slice(&self, range: RangeInclusive<Index>) -> Vec<Entry> {
        if range.is_empty() {
            return Vec::new();
        }
        assert!(*range.start() >= self.first(), "entry {} is compacted", range.start());
        assert!(*range.end() <= self.last_index(), "entry {} does not exist", range.end());
        let start = (range.start() - self.first()) as usize;
        let end = (range.end() - self.first()) as usize;
        self.entries.range(start..=end).cloned().collect()
    }

    /// Whether something waits to be given to the Log.
    pub(crate) fn has_untaken(&self) -> bool {
        self.taken < self.last_index()
    }

    /// What the Log must write next; from now on it counts as given.
    pub(crate) fn take(&mut self) -> Vec<Entry> {
        let entries = self.slice(self.taken + 1..=self.last_index());
        self.taken = self.last_index();
        entries
    }

    /// The Log holds everything up to `index`.
    pub(crate) fn durable_to(&mut self, index: Index) {
        assert!(index <= self.taken, "the Log cannot hold entry {index}: it was given entries up to {}", self.taken);
        self.durable = self.durable.max(index);
    }

    /// The highest position at or below `index` whose term is at most `term`, and its term: the best guess where another
    /// log, in which `index` has `term`, may agree with this one. A zero term means "not known here".
    pub(crate) fn conflict_hint(&self, index: Index, term: Term) -> (Index, Term) {
        if index > self.last_index() || index < self.before.0 {
            return (index, 0);
        }
        let not_above = self.entries.partition_point(|entry| entry.term <= term) as u64;
        let guess = index.min(self.before.0 + not_above);
        if guess == self.before.0 && self.before.1 > term {
            return (guess.saturating_sub(1), 0);
        }
        (guess, self.term(guess).expect("the guess lies within the log"))
    }

    /// Whether an entry after `after` and up to `to` changes the configuration.
    pub(crate) fn has_change(&self, after: Index, to: Index) -> bool {
        let next = self.changes.partition_point(|change| *change <= after);
        self.changes.get(next).is_some_and(|change| *change <= to)
    }

    /// The payload bytes of entries after `after` and up to `to` that were made in `term`.
    pub(crate) fn payload(&self, after: Index, to: Index, term: Term) -> usize {
        let start = after.max(self.before.0) - self.before.0;
        let end = to.clamp(self.before.0 + start, self.last_index()) - self.before.0;
        let range = self.entries.range(start as usize..end as usize);
        range.filter(|entry| entry.term == term).map(|entry| entry.data.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EntryKind;
    use bytes::Bytes;

    fn entry(index: Index, term: Term) -> Entry {
        Entry { kind: EntryKind::Normal, term, index, data: Bytes::from_static(b"12345678") }
    }

    fn tail(terms: &[Term]) -> Tail {
        let entries = terms.iter().zip(1..).map(|(term, index)| entry(index, *term)).collect();
        Tail::new((0, 0), entries)
    }

    #[test]
    fn terms_and_ends() {
        let tail = Tail::new((10, 2), vec![entry(11, 2), entry(12, 3)]);
        assert_eq!((tail.first(), tail.last_index(), tail.last_term()), (11, 12, 3));
        assert_eq!(tail.term(9), None);
        assert_eq!(tail.term(10), Some(2));
        assert_eq!(tail.term(12), Some(3));
        assert_eq!(tail.term(13), None);
        assert_eq!((tail.durable(), tail.has_untaken()), (12, false));
    }

    #[test]
    fn truncating_takes_durability_back() {
        let mut tail = tail(&[1, 1, 1]);
        tail.truncate(2);
        tail.extend([entry(2, 2), entry(3, 2)]);
        assert_eq!(tail.durable(), 1);
        assert_eq!(tail.take().len(), 2);
        assert!(!tail.has_untaken());
        tail.durable_to(3);
        assert_eq!(tail.durable(), 3);
        assert_eq!(tail.bytes(), 24);
    }

    #[test]
    fn batches_hold_at_least_one_entry() {
        let tail = tail(&[1, 1, 1]);
        let one = tail.at(1).unwrap().encoded_len();
        assert_eq!(tail.batch(1, 0).len(), 1);
        assert_eq!(tail.batch(1, 2 * one).len(), 2);
        assert_eq!(tail.batch(2, usize::MAX).len(), 2);
        assert_eq!(tail.batch(4, usize::MAX).len(), 0);
    }

    #[test]
    fn compaction_keeps_the_last_position() {
        let mut tail = tail(&[1, 2, 3]);
        tail.compact(2);
        assert_eq!((tail.first(), tail.term(2), tail.term(1)), (3, Some(2), None));
        tail.compact(1);
        assert_eq!(tail.first(), 3, "compacting backwards does nothing");
        tail.compact(3);
        assert_eq!((tail.last_index(), tail.last_term(), tail.bytes()), (3, 3, 0));
    }

    #[test]
    fn conflict_hints() {
        // The examples of etcd's stepLeader.
        let leader = tail(&[1, 3, 3, 3, 5, 5, 5, 5, 5]);
        assert_eq!(leader.conflict_hint(6, 2), (1, 1));
        let follower = tail(&[1, 3, 3, 4, 4, 5, 5, 5, 6]);
        assert_eq!(follower.conflict_hint(8, 3), (3, 3));
        assert_eq!(follower.conflict_hint(12, 3), (12, 0));
        assert_eq!(follower.conflict_hint(9, 6), (9, 6));
        assert_eq!(follower.conflict_hint(9, 0), (0, 0));
        let mut compacted = tail(&[2, 2, 4, 4]);
        compacted.compact(2);
        assert_eq!(compacted.conflict_hint(4, 3), (2, 2));
        assert_eq!(compacted.conflict_hint(4, 1), (1, 0));
        assert_eq!(compacted.conflict_hint(1, 1), (1, 0));
    }

    #[test]
    fn changes_are_found_without_looking_at_entries() {
        let mut tail = tail(&[1, 1]);
        let mut change = entry(3, 1);
        change.kind = EntryKind::ConfChange;
        tail.extend([change, entry(4, 1)]);
        assert!(tail.has_change(0, 4) && tail.has_change(2, 3));
        assert!(!tail.has_change(3, 4) && !tail.has_change(0, 2));
        tail.truncate(3);
        assert!(!tail.has_change(0, 9));
    }

    #[test]
    fn payload_counts_one_term() {
        let tail = tail(&[1, 2, 2, 2]);
        assert_eq!(tail.payload(0, 3, 2), 16);
        assert_eq!(tail.payload(3, 9, 2), 8);
        assert_eq!(tail.payload(4, 4, 2), 0);
    }
}

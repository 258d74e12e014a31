//! What raft's proof rests on, looked at where it happens: what the driver has made durable, which it knows by itself, against
//! what members say, count and lose.
//!
//! - What is durable is there after a restart: entries, the term and the vote.
//! - No vote and no acknowledgement leaves before what it says is durable.
//! - A leader counts an entry as committed when it is of its own term and durable at a majority of the voters of the
//!   configuration that it has applied by then; nothing is handed to Store that no leader has counted so.
//! - Who comes to lead holds every entry that leaders of lower terms have counted.
//! - Entries of the same index and term are the same.

use crate::record::Record;
use disk::SimDisk;
use member::boot;
use member::core::Core;
use raft::{Append, EntryKind, HardState, Message, MessageKind, Role};
use std::collections::BTreeMap;
use store::Entry;

/// What is known of all logs.
#[derive(Debug, Default)]
pub struct Logs {
    /// By member.
    kept: BTreeMap<u64, Kept>,
    /// What has been counted as committed, from index 1 on: the entry's term, and that of the leader that counted.
    decided: Vec<(u64, u64)>,
    /// Entries by index and term.
    entries: BTreeMap<(u64, u64), (EntryKind, bytes::Bytes)>,
}

/// What the log of one member holds durably.
#[derive(Debug, Default)]
pub struct Kept {
    /// The position before the first entry, and the terms of those from there on.
    before: u64,
    terms: Vec<u64>,
    term: u64,
    vote: u64,
    /// The first index that a write may have changed which came to no end.
    torn_from: Option<u64>,
}

impl Kept {
    fn last(&self) -> u64 {
        self.before + self.terms.len() as u64
    }

    /// Whether it holds this entry. What is behind a snapshot was committed.
    fn holds(&self, index: u64, term: u64) -> bool {
        index <= self.before || self.terms.get((index - self.before - 1) as usize) == Some(&term)
    }

    fn take_in(&mut self, batch: &[Append]) {
        for append in batch {
            if let Some(snapshot) = &append.snapshot {
                (self.before, self.terms) = (snapshot.index, Vec::new());
            }
            if let Some(first) = append.entries.first() {
                assert!(
                    first.index > self.before && first.index <= self.last() + 1,
                    "a log ends at {} and goes on at {}: what lies between was never made durable",
                    self.last(),
                    first.index
                );
                self.terms.truncate((first.index - self.before - 1) as usize);
                self.terms.extend(append.entries.iter().map(|entry| entry.term));
            }
            if let Some(HardState { term, vote, .. }) = append.hard_state {
                (self.term, self.vote) = (term, vote);
            }
        }
    }
}

/// A cluster begins with so many entries that nobody has to agree on.
pub fn begins(record: &mut Record, entries: usize) {
    record.raft.decided = vec![(1, 0); entries];
}

/// A write of the log begins.
pub fn writes(record: &mut Record, member: u64, batch: &[Append]) {
    let first = |append: &Append| match &append.snapshot {
        Some(_) => Some(0),
        None => append.entries.first().map(|entry| entry.index),
    };
    let kept = record.raft.kept.entry(member).or_default();
    kept.torn_from = batch.iter().filter_map(first).min().or(Some(u64::MAX));
}

/// It has come to its end: all of it is on the disk, or nothing.
///
/// # Panics
/// When an entry is another one than elsewhere at the same index and term.
pub fn wrote(record: &mut Record, member: u64, batch: &[Append], all: bool) {
    let Logs { kept, entries, .. } = &mut record.raft;
    let kept = kept.entry(member).or_default();
    kept.torn_from = None;
    // A write that need not be durable says only how far is committed.
    if !all || !batch.iter().any(|append| append.must_sync) {
        return;
    }
    kept.take_in(batch);
    for entry in batch.iter().flat_map(|append| &append.entries) {
        let known = entries.entry((entry.index, entry.term)).or_insert_with(|| (entry.kind, entry.data.clone()));
        assert!(
            known.0 == entry.kind && known.1 == entry.data,
            "{member:x} has another entry at index {} of term {} than others",
            entry.index,
            entry.term
        );
    }
}

/// The log of a member has said that a batch is durable.
///
/// # Panics
/// When its disk says otherwise.
pub fn is_durable(member: u64, disk: &SimDisk) {
    let unsynced = disk.unsynced_in(boot::dirs::LOG);
    assert_eq!(unsynced, 0, "the log of {member:x} says that all it has written is durable, and it is not");
}

/// A process of a member has started, on what its disk held.
///
/// # Panics
/// When something is gone that was durable.
pub fn reborn(record: &mut Record, member: u64, core: &Core) {
    let status = core.raft_status();
    let before = record.raft.kept.remove(&member).unwrap_or_default();
    let sure = before.last().min(before.torn_from.map_or(u64::MAX, |from| from.saturating_sub(1)));
    for index in status.first.max(before.before + 1)..=sure {
        let (is, was) = (core.term_at(index), before.terms[(index - before.before - 1) as usize]);
        assert_eq!(is, Some(was), "{member:x} has lost the entry at index {index} of its log, which was durable");
    }
    let vote_kept = status.term == before.term && (before.vote == 0 || status.vote == before.vote);
    assert!(
        status.term > before.term || vote_kept,
        "{member:x} has lost what was durable: term {} and vote {:x}, now {} and {:x}",
        before.term,
        before.vote,
        status.term,
        status.vote
    );
    let terms = (status.first..=status.last).map(|index| core.term_at(index).expect("it is in memory")).collect();
    let kept = Kept { before: status.first - 1, terms, term: status.term, vote: status.vote, torn_from: None };
    record.raft.kept.insert(member, kept);
}

/// A message leaves.
///
/// # Panics
/// When it says what is not durable.
pub fn says(record: &Record, member: u64, message: &Message) {
    let Some(kept) = record.raft.kept.get(&member) else { return };
    let voted = match message.kind {
        MessageKind::VoteResp if !message.reject => message.to,
        MessageKind::Vote => member,
        MessageKind::AppResp if !message.reject => {
            let last = kept.last();
            assert!(
                message.index <= last,
                "{member:x} acknowledges {} and its log is durable up to {last}",
                message.index
            );
            return;
        }
        _ => return,
    };
    assert!(
        kept.term > message.term || (kept.term, kept.vote) == (message.term, voted),
        "{member:x} votes for {voted:x} in term {} before that is durable: term {}, vote {:x}",
        message.term,
        kept.term,
        kept.vote
    );
}

/// A member has done something. If it leads, and counts more as committed than anybody did, that is looked at.
///
/// # Panics
/// When it may not.
pub fn counts(record: &mut Record, core: &Core) {
    let (status, known) = (core.status(), record.raft.decided.len() as u64);
    let commit = status.commit;
    if commit <= known || status.role != Role::Leader {
        return;
    }
    let status = core.raft_status();
    let term = status.term;
    assert_eq!(
        core.term_at(commit),
        Some(term),
        "{:x} leads term {term} and counts the entry at {commit} as committed, which is of another term",
        status.id
    );
    let holds = |id: &&u64| record.raft.kept.get(id).is_some_and(|kept| kept.holds(commit, term));
    let copies = status.voters.iter().filter(holds).count();
    assert!(
        2 * copies > status.voters.len(),
        "{:x} leads term {term} and counts the entry at {commit} as committed: {copies} of {} voters hold it durably",
        status.id,
        status.voters.len()
    );
    let terms = (known + 1..=commit).map(|index| (core.term_at(index).expect("it leads and holds it"), term));
    record.raft.decided.extend(terms);
}

/// A member comes to lead.
///
/// # Panics
/// When it lacks something that a leader of a lower term has counted as committed.
pub fn leads(record: &Record, core: &Core) {
    let status = core.raft_status();
    let Some(place) = record.raft.decided.iter().rposition(|(_, by)| *by < status.term) else { return };
    let (index, (term, _)) = (place as u64 + 1, record.raft.decided[place]);
    assert!(
        index < status.first || core.term_at(index) == Some(term),
        "{:x} comes to lead term {} without the entry at {index} of term {term}, which was committed",
        status.id,
        status.term
    );
}

/// A member hands an entry to its Store.
///
/// # Panics
/// When no leader has counted it as committed.
pub fn hands_on(record: &Record, member: usize, entry: &Entry) {
    let counted = record.raft.decided.get(entry.index as usize - 1).map(|(term, _)| *term);
    assert_eq!(
        counted,
        Some(entry.term),
        "member {member} hands the entry at {} of term {} to Store: that is not what a leader has counted as committed",
        entry.index,
        entry.term
    );
}

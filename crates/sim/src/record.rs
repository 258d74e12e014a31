//! What was committed, asked, answered and told, for the checkers.

use crate::check::ends::Ends;
use crate::check::raft::{self, Logs};
use crate::check::room::Waiting;
use bytes::Bytes;
use prost::Message;
use proto::etcdserverpb::{InternalRaftRequest, RangeRequest};
use std::collections::{BTreeMap, BTreeSet};
use store::chain::Link;
use store::{Entry, EntryKind, Header, Refusal};

/// Everything that the promises are about.
#[derive(Debug, Default)]
pub struct Record {
    /// Committed entries by index, as the first member to know them saw them.
    pub committed: BTreeMap<u64, Entry>,
    /// Where a request was committed, by its id.
    pub index_of: BTreeMap<u64, u64>,
    /// Answers to writes by request id.
    pub answers: BTreeMap<u64, Answer>,
    /// Answered reads.
    pub reads: Vec<Read>,
    /// What watches were told.
    pub watches: Vec<Watched>,
    /// Compactions that watches were cancelled for.
    pub cancelled_for: BTreeSet<i64>,
    /// The highest revision that a stream of watches spoke of.
    pub spoken_of: i64,
    /// The highest index that some client knows to be committed.
    pub known: u64,
    /// (term, leader) pairs seen.
    pub leaders: BTreeMap<u64, u64>,
    /// When each lease was granted, or renewed, and its TTL: (at, seconds).
    pub leases: BTreeMap<i64, (u64, i64)>,
    /// The shortest tick that a member's clock has had: so much faster than time it runs.
    pub fastest_tick: u64,
    /// Leases whose end some member has applied.
    pub ended: BTreeSet<i64>,
    /// The request that has ended a lease: the first committed that wants to.
    pub ended_by: BTreeMap<i64, u64>,
    /// Revocations that clients have asked for.
    pub revocations: BTreeSet<u64>,
    /// What raft's proof rests on.
    pub raft: Logs,
    /// How leases ended.
    pub ends: Ends,
    /// The hash chain after each entry, as the first member to apply it had it.
    pub links: BTreeMap<u64, Link>,
    /// The most that ever waited inside a member.
    pub most_waiting: Waiting,
    /// Counters for the figures.
    pub counts: Counts,
}

/// How much a run did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests sent by clients.
    pub asked: u64,
    /// Requests that a member named by a CORRUPT alarm has refused.
    pub refused_as_corrupt: u64,
    /// Requests with an answer.
    pub answered: u64,
    /// Faults that have had an effect, beside the weather's; known at the end.
    pub faults: u64,
    /// Losses of power and killed processes.
    pub crashes: u64,
    /// Partitions over which something was lost; known at the end.
    pub partitions: u64,
    /// Snapshots sent between members.
    pub snapshots: u64,
    /// Leaders elected.
    pub elections: u64,
    /// Events told to watches.
    pub events: u64,
    /// Answers to watches that asked how far their stream was.
    pub progress: u64,
    /// Members replaced because their disk was lost.
    pub replaced: u64,
    /// Leases renewed.
    pub renewals: u64,
    /// Leases revoked by clients.
    pub revoked: u64,
    /// Bounds that were met.
    pub met: Met,
}

/// How often a bound was met: what is gathered was cut there, or more was turned away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Met {
    /// Batches for Store.
    pub batches: u64,
    /// Frames of the revision log beyond the first of a batch.
    pub frames: u64,
    /// Ticks at which Core kept more for members that lag than it should, and had to let go.
    pub tails: u64,
    /// Proposals turned away since too many waited for a leader.
    pub held: u64,
    /// Looks of Hub at history.
    pub slices: u64,
}

impl Met {
    /// Takes others in.
    pub fn add(&mut self, other: &Met) {
        let Met { batches, frames, tails, held, slices } = *other;
        self.batches += batches;
        self.frames += frames;
        self.tails += tails;
        self.held += held;
        self.slices += slices;
    }
}

/// A write's answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The highest index known committed when it was asked.
    pub known_before: u64,
    /// Who answers, and in which term.
    pub header: Header,
    /// The message as it leaves, or the refusal.
    pub outcome: Result<Bytes, Refusal>,
}

/// A read's answer.
#[derive(Clone, Debug)]
pub struct Read {
    /// What was asked.
    pub request: RangeRequest,
    /// The highest index known committed when it was asked; 0 for a
    /// serializable read, which may be stale.
    pub known_before: u64,
    /// The index of the View that answered.
    pub applied: u64,
    /// Who answers, and in which term.
    pub header: Header,
    /// The message as it leaves, or the refusal.
    pub outcome: Result<Bytes, Refusal>,
}

/// What one watch was told, across reconnections.
#[derive(Clone, Debug, Default)]
pub struct Watched {
    /// First key.
    pub key: Bytes,
    /// As in a range request.
    pub range_end: Bytes,
    /// Runs of contiguous watching: (first revision owed, events).
    pub runs: Vec<Run>,
    /// Whether it asked for previous values.
    pub previous: bool,
    /// Whether it asked for no puts.
    pub no_put: bool,
    /// Whether it asked for no deletions.
    pub no_delete: bool,
}

/// A run of contiguous watching.
#[derive(Clone, Debug, Default)]
pub struct Run {
    /// The first revision it was owed.
    pub from: i64,
    /// All up to here has been told, as the stream itself said.
    pub upto: i64,
    /// In order: revision and the encoded event.
    pub events: Vec<(i64, Told)>,
}

/// One event as told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// A deletion?
    pub delete: bool,
    /// Encoded KeyValue.
    pub kv: Bytes,
    /// Encoded previous KeyValue.
    pub previous: Option<Bytes>,
}

impl Record {
    /// A member knows an entry to be committed: every member the same one at an
    /// index.
    ///
    /// # Panics
    /// When two members differ: the first promise of all is broken.
    pub fn commits(&mut self, member: usize, entry: &Entry) {
        if let Some(first) = self.committed.get(&entry.index) {
            assert!(
                first.term == entry.term && first.kind == entry.kind && first.data == entry.data,
                "member {member} commits another entry at index {} (term {}) than others did (term {})",
                entry.index,
                entry.term,
                first.term
            );
            return;
        }
        raft::hands_on(self, member, entry);
        if entry.kind == EntryKind::Normal
            && !entry.data.is_empty()
            && let Ok(request) = InternalRaftRequest::decode(entry.data.clone())
            && let Some(header) = request.header
        {
            let first = *self.index_of.entry(header.id).or_insert(entry.index);
            assert_eq!(first, entry.index, "request {:x} is in the log twice", header.id);
            if let Some(revoke) = request.lease_revoke {
                self.ended_by.entry(revoke.id).or_insert(header.id);
            }
        }
        self.committed.insert(entry.index, entry.clone());
    }

    /// A member leads.
    ///
    /// # Panics
    /// When another one has led in the same term.
    pub fn leads(&mut self, term: u64, leader: u64) {
        match self.leaders.insert(term, leader) {
            Some(other) => assert_eq!(other, leader, "two leaders in term {term}"),
            None => self.counts.elections += 1,
        }
    }
}

//! Consensus as a value.
//!
//! A [`Raft`] is one member's part in keeping one log equal everywhere. It is a value: messages, ticks and numbers go in
//! through its methods, [`Raft::take`] brings work out, and nothing else happens. It never does IO, never looks at a clock,
//! never asks the system for randomness (a seed is given at birth), and never looks inside an entry.
//!
//! ```text
//!     tick ─┐                             ┌─▶ messages   to peers, may be lost
//!     step ─┤      ┌────────────────┐     ├─▶ appends    to the Log  ──┐
//!  propose ─┼─────▶│      Raft      │─take┼─▶ committed  to the Store ─┼─┐
//!     read ─┤      └────────────────┘     ├─▶ restore    to the Store ─┤ │
//!           │        ▲            ▲       └─▶ reads, soft              │ │
//!           │        │ appended ◀─┼─────────────── a mark, durable ────┘ │
//!           │        └─ applied ◀─┴─────────────── an index, applied ────┘
//! ```
//!
//! It speaks etcd's raft (v3.7): the kinds of messages, their fields and their meaning are etcd's, so that members of both
//! can share a cluster. Storage is asynchronous and that is the only mode: a leader sends entries to its peers and to its
//! own Log at once, and counts its own copy when the Log says so.
//!
//! What always holds, and is asserted:
//!
//! * applied ≤ handed out ≤ min(commit, durable), and commit ≤ last.
//! * Term and commit never fall; a committed entry is never replaced.
//! * What promises something leaves only after the promise is durable: acknowledgements, votes and vote requests. (etcd
//!   sends vote requests earlier. Waiting makes it impossible that a member that crashes in between campaigns twice in one
//!   term and makes two different entries with equal index and term.)
//! * An entry counts as durable only while no write under way could change it (see `writes`).
//!
//! The files: `message` (words), `tail` (the log in memory), `writes` (writes under way), `voters` and `quorum` (who
//! decides), `role` (what each role holds), `election`, `replication` (leader), `follower`, `change` (membership),
//! `progress` (one peer as the leader sees it), `read` (linearizable reads), `step` (the door for messages),
//! `contradiction` (what no correct member says), `output`, `status`.

mod change;
mod contradiction;
mod election;
mod follower;
mod message;
mod output;
mod progress;
mod quorum;
mod read;
mod replication;
mod role;
mod status;
mod step;
mod tail;
mod voters;
mod writes;

use std::collections::VecDeque;

use bytes::Bytes;

pub use contradiction::Contradiction;
pub use message::{
    CAMPAIGN_TRANSFER, ConfState, Entry, EntryKind, HardState, Index, MemberId, Message, MessageKind, NO_MEMBER,
    Snapshot, SnapshotMeta, Term, UnknownNumber,
};
pub use output::{Append, AppendMark, Output, ReadReady, SoftState};
pub use progress::Stream;
pub use read::READS_WAITING_MAX;
pub use role::Role;
pub use status::{PeerStatus, Status};
pub use step::{DropReason, ProposeError, Refused};
pub use voters::{ChangeError, ChangeKind, ConfChange, Transition};

use read::{Contexts, ReadRequest};
use role::State;
use tail::Tail;
use voters::Voters;
use writes::Writes;

/// What a member is told at birth and never changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Config {
    /// This member. Not zero, and not one of etcd's two reserved ids at the very top.
    pub id: MemberId,
    /// Ticks without a leader before an election is considered; the real limit is drawn from `election_ticks..2 * election_ticks`.
    pub election_ticks: u32,
    /// Ticks between heartbeats. Less than `election_ticks`.
    pub heartbeat_ticks: u32,
    /// Encoded bytes of entries in one append message, unless a single entry is larger.
    pub message_bytes_max: usize,
    /// Append messages sent to one peer and not yet acknowledged.
    pub inflight_messages_max: usize,
    /// Payload bytes in those messages; the message that reaches it may pass it.
    pub inflight_bytes_max: usize,
    /// Payload bytes a leader appends ahead of what it has applied; a single proposal may always pass.
    pub uncommitted_bytes_max: usize,
    /// Ask whether an election could be won before disturbing anyone.
    pub pre_vote: bool,
    /// A leader that does not hear a quorum steps down, and votes are refused while a leader is heard.
    pub check_quorum: bool,
    /// A commit alone is not sent at once: it goes with the next entries, with a heartbeat, or when the driver says so
    /// ([`Raft::tell_commits`]). Whoever has handed on a proposal is told at once, and so is everyone while the leader's
    /// own disk lags.
    pub lazy_commits: bool,
    /// The source of all chance in this value.
    pub seed: u64,
}

impl Config {
    /// etcd's limits and switches for member `id`: 10 election ticks to 1 heartbeat tick, 1 MiB messages, 512 in flight.
    pub fn new(id: MemberId, seed: u64) -> Config {
        Config {
            id,
            election_ticks: 10,
            heartbeat_ticks: 1,
            message_bytes_max: 1024 * 1024,
            inflight_messages_max: 512,
            inflight_bytes_max: 512 * 1024 * 1024,
            uncommitted_bytes_max: usize::MAX,
            pre_vote: true,
            check_quorum: true,
            lazy_commits: false,
            seed,
        }
    }

    fn check(&self) {
        assert!(self.id != NO_MEMBER, "a member's id is not zero");
        assert!(self.id < MemberId::MAX - 1, "the two highest ids are reserved");
        assert!(self.heartbeat_ticks > 0, "heartbeats need at least one tick");
        assert!(self.election_ticks > self.heartbeat_ticks, "an election must take longer than a heartbeat");
        assert!(self.inflight_messages_max > 0, "at least one message must be allowed in flight");
        assert!(self.inflight_bytes_max >= self.message_bytes_max, "one message must be allowed in flight");
    }
}

/// What a member finds on its disk at birth. The caller has checked it; contradictions end in an assertion.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Restored {
    /// As last written; the commit may lag behind `applied`.
    pub hard_state: HardState,
    /// The position just before the first entry, and the configuration **at `applied`**.
    pub snapshot: SnapshotMeta,
    /// Every entry after that position, durable.
    pub entries: Vec<Entry>,
    /// What the Store holds: at least the snapshot's index, at most the last entry's.
    pub applied: Index,
}

/// One member's part in consensus. See the crate.
#[derive(Debug)]
pub struct Raft {
    config: Config,
    chance: fastrand::Rng,
    term: Term,
    vote: MemberId,
    state: State,
    voters: Voters,
    tail: Tail,
    writes: Writes,
    commit: Index,
    /// The last entry given to the Store.
    handed: Index,
    applied: Index,
    /// A snapshot on its way through the Log, with the append that carries it, once taken.
    snapshot: Option<(Snapshot, Option<u64>)>,
    /// While the Store has not installed everything up to here, this member does not campaign. Zero: nothing is awaited.
    restoring: Index,
    /// Change entries given to the Store whose outcome has not come back through `apply_change`.
    owed_changes: VecDeque<Index>,
    /// Where the present configuration comes from: the last change applied, or a snapshot.
    configured_at: Index,
    /// Somebody counts on entries here up to this index; see `contradiction`.
    doubted: Index,
    election_elapsed: u32,
    election_limit: u32,
    contexts: Contexts,
    messages: Vec<Message>,
    reads: Vec<ReadReady>,
    told_soft: SoftState,
}

impl Raft {
    /// A member as it is after its disk was read: a follower that knows no leader.
    ///
    /// The hard state's term may lag behind the last entry's (a torn last write); the vote of such a term cannot have
    /// been cast. The commit is the highest of what hard state, snapshot and `applied` say.
    pub fn new(config: Config, restored: Restored) -> Raft {
        config.check();
        let Restored { hard_state, snapshot, entries, applied } = restored;
        let tail = Tail::new((snapshot.index, snapshot.term), entries);
        let commit = hard_state.commit.max(snapshot.index).max(applied);
        assert!(commit <= tail.last_index(), "committed up to {commit}, but the log ends at {}", tail.last_index());
        assert!(applied >= snapshot.index, "applied {applied} lies before the log's beginning {}", snapshot.index);
        let lost_term = hard_state.term < tail.last_term();
        let mut raft = Raft {
            config,
            chance: fastrand::Rng::with_seed(config.seed),
            term: hard_state.term.max(tail.last_term()),
            vote: if lost_term { NO_MEMBER } else { hard_state.vote },
            state: State::Follower { leader: NO_MEMBER },
            voters: Voters::from_state(&snapshot.conf_state),
            tail,
            writes: Writes::new(hard_state),
            commit,
            handed: applied,
            applied,
            snapshot: None,
            restoring: 0,
            owed_changes: VecDeque::new(),
            configured_at: applied,
            doubted: 0,
            election_elapsed: 0,
            election_limit: 0,
            contexts: Contexts::default(),
            messages: Vec::new(),
            reads: Vec::new(),
            told_soft: SoftState { leader: NO_MEMBER, role: Role::Follower },
        };
        raft.draw_election_limit();
        raft
    }

    /// Proposes normal entries, all or none, in this order. A follower hands them on to the leader and hears no more of it.
    ///
    /// # Errors
    /// See [`ProposeError`]; nothing was proposed then.
    pub fn propose(&mut self, data: Vec<Bytes>) -> Result<(), ProposeError> {
        let entries = data.into_iter().map(|data| Entry { data, ..Entry::default() }).collect();
        self.offer(NO_MEMBER, entries)
    }

    /// Asks for a read round. The answer comes as [`ReadReady`] with the same context, or never (messages get lost, leaders
    /// change): the caller asks again after a while and after every change of leader, with another context.
    ///
    /// A context must not be empty and must never be used again, by no member of the cluster; that the caller keeps this
    /// for itself is asserted.
    ///
    /// # Errors
    /// [`ProposeError`]; the context counts as used.
    pub fn read(&mut self, context: Bytes) -> Result<(), ProposeError> {
        self.contexts.note(&context);
        self.ask(ReadRequest { from: self.config.id, context })
    }

    /// The Log has this append and all before it. Marks may be skipped, repeated and late.
    pub fn appended(&mut self, mark: AppendMark) {
        let done = self.writes.done(mark.sequence);
        self.tail.durable_to(done.durable);
        self.messages.extend(done.held.messages);
        self.count_own_copy();
        if let Some(term) = done.held.own_vote {
            self.count_own_vote(term);
        }
    }

    /// The Store has applied everything up to `index`. Changes among it must have come through
    /// [`Raft::apply_change`] before. Lower numbers than before change nothing.
    pub fn applied(&mut self, index: Index) {
        assert!(index <= self.handed, "the Store has applied {index}, but was given entries up to {}", self.handed);
        if index <= self.applied {
            return;
        }
        while let Some(change) = self.owed_changes.pop_front_if(|change| *change <= index) {
            assert!(
                change <= self.configured_at,
                "the change at {change} must be made known before it counts as applied"
            );
        }
        self.free_uncommitted(self.applied, index);
        self.applied = index;
        if self.restoring <= index {
            self.restoring = 0;
        }
        self.leave_joint_if_due();
    }

    /// The snapshot that was taken and that the Store has not installed yet; 0 if there is none.
    pub fn restoring(&self) -> Index {
        self.restoring
    }

    /// Forgets entries up to and including `index`, which must be applied. Members that still need them get a snapshot.
    pub fn compact(&mut self, index: Index) {
        assert!(index <= self.applied, "entry {index} is not applied and cannot be compacted");
        self.tail.compact(index);
    }

    /// Adds all pending work to `out`, which the driver has emptied since the last time.
    pub fn take(&mut self, out: &mut Output) {
        self.flush();
        self.take_append(out);
        let free = self.writes.settle();
        assert!(free.own_vote.is_none(), "a vote is always written before it counts");
        self.messages.extend(free.messages);
        self.hand_out(out);
        out.messages.append(&mut self.messages);
        out.reads.append(&mut self.reads);
        let soft = self.soft_state();
        if soft != self.told_soft {
            self.told_soft = soft;
            out.soft = Some(soft);
        }
    }

    /// Whether [`Raft::take`] would bring anything out.
    pub fn has_work(&self) -> bool {
        !self.messages.is_empty()
            || !self.reads.is_empty()
            || self.wants_flush()
            || self.wants_append()
            || self.restore_is_ready()
            || (self.snapshot.is_none() && self.commit.min(self.tail.durable()) > self.handed)
            || (!self.writes.held.is_empty() && self.writes.is_clear())
            || self.soft_state() != self.told_soft
    }

    /// The configuration as it is now.
    pub fn conf_state(&self) -> ConfState {
        self.voters.state()
    }

    /// The term of the entry at `index`, while it (or a neighbour that remembers it) is in memory.
    pub fn term_of(&self, index: Index) -> Option<Term> {
        self.tail.term(index)
    }

    fn soft_state(&self) -> SoftState {
        SoftState { leader: self.leader(), role: self.state.role() }
    }

    fn leader(&self) -> MemberId {
        self.state.leader(self.config.id)
    }

    fn hard_state(&self) -> HardState {
        HardState { term: self.term, vote: self.vote, commit: self.commit }
    }

    fn wants_append(&self) -> bool {
        let snapshot_waits = matches!(self.snapshot, Some((_, None)));
        self.tail.has_untaken() || snapshot_waits || self.hard_state() != self.writes.told
    }

    /// Everything new since the last append, as one write.
    fn take_append(&mut self, out: &mut Output) {
        if !self.wants_append() {
            return;
        }
        let told = self.writes.told;
        let now = self.hard_state();
        assert!(now.term >= told.term && now.commit >= told.commit, "term and commit never fall: {told:?} to {now:?}");
        assert!(now.commit <= self.tail.last_index(), "no entry is committed that does not exist");
        let entries = self.tail.take();
        let new_snapshot = matches!(self.snapshot, Some((_, None)));
        let must_sync = !entries.is_empty() || new_snapshot || (now.term, now.vote) != (told.term, told.vote);
        let mark = self.writes.begin(self.tail.last_index(), self.tail.last_term(), must_sync);
        let mut snapshot = None;
        if new_snapshot && let Some((content, sequence)) = &mut self.snapshot {
            *sequence = Some(mark.sequence);
            snapshot = Some(content.meta.clone());
        }
        self.writes.told = now;
        let hard_state = (now != told).then_some(now);
        out.appends.push(Append { mark, entries, hard_state, snapshot, must_sync });
    }

    fn restore_is_ready(&self) -> bool {
        matches!(self.snapshot, Some((_, Some(sequence))) if self.writes.is_done(sequence))
    }

    /// What the Store may have: nobody answers for what its own disk does not hold.
    fn hand_out(&mut self, out: &mut Output) {
        if self.restore_is_ready()
            && let Some((snapshot, _)) = self.snapshot.take()
        {
            assert!(out.restore.is_none() && out.committed.is_empty(), "the driver empties an output before the next");
            assert!(snapshot.meta.index > self.handed, "a snapshot never takes the Store back");
            self.handed = snapshot.meta.index;
            out.restore = Some(snapshot);
        }
        let ready = self.commit.min(self.tail.durable());
        if self.snapshot.is_some() || ready <= self.handed {
            return;
        }
        let entries = self.tail.slice(self.handed + 1..=ready);
        let changes = entries.iter().filter(|entry| entry.kind.is_change());
        self.owed_changes.extend(changes.map(|entry| entry.index));
        self.handed = ready;
        out.committed.extend(entries);
    }

    /// Notes that everything up to `index` is committed. Lower numbers change nothing.
    fn commit_to(&mut self, index: Index) {
        if index <= self.commit {
            return;
        }
        let last = self.tail.last_index();
        assert!(
            index <= last,
            "the leader says {index} is committed here, but the log ends at {last}: was it lost or damaged?"
        );
        self.commit = index;
    }

    /// Puts a message on its way, or keeps it until what it promises is durable.
    fn send(&mut self, mut message: Message) {
        use MessageKind::*;
        if message.from == NO_MEMBER {
            message.from = self.config.id;
        }
        let carries_own_term = matches!(message.kind, Vote | VoteResp | PreVote | PreVoteResp);
        assert_eq!(message.term != 0, carries_own_term, "only votes carry a term of their own");
        if !carries_own_term && !message.kind.is_termless() {
            message.term = self.term;
        }
        assert!(message.to != self.config.id && message.to != NO_MEMBER, "messages go to other members");
        match message.kind {
            AppResp | Vote | VoteResp | PreVoteResp => self.writes.held.messages.push(message),
            _ => self.messages.push(message),
        }
    }
}

//! Core decides: raft, the proposals and reads that wait for it, and what may
//! be handed on.
//!
//! Core takes [`Input`]s and gives [`Outputs`]. It never looks inside a
//! command, never touches a disk and knows no clock: a tick is a heartbeat
//! interval. What goes to Store never exceeds min(commit, durable): nobody
//! answers for what its own disk does not hold (etcd #14370).

mod aside;
mod bounds;
mod entry;
mod proposals;
mod reads;

use crate::ids::{IdMaker, Index, MemberId, ReadId, RequestId, Term};
use crate::limits;
use bytes::Bytes;
use raft::{AppendMark, ConfChange, ConfState, Message, MessageKind, Raft, Refused, Restored, Role, SnapshotMeta};
use std::collections::VecDeque;

pub use bounds::Bounds;
pub use entry::understood;
pub use proposals::Proposal;

/// What Core is told at birth.
#[derive(Clone, Debug)]
pub struct Config {
    /// raft's own settings.
    pub raft: raft::Config,
    /// Entries kept in memory behind the applied ones, for members that lag.
    pub catch_up_entries: u64,
    /// Ticks after which an unanswered read round is asked again (etcd: 500 ms).
    pub read_retry_ticks: u32,
    /// Ticks that a proposal may wait for a leader.
    pub hold_ticks: u32,
    /// Bytes of entries that may wait for Store; what comes on top of that was in the log by then.
    pub backlog_bytes_max: u64,
    /// How much is gathered and kept.
    pub bounds: Bounds,
    /// Another number at each start, drawn by chance: read rounds of two lives
    /// never share a number.
    pub birth: u64,
}

/// What Core may be told.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "messages are most of what comes; a box for each would cost more")]
pub enum Input {
    /// A heartbeat interval has passed.
    Tick,
    /// From another member.
    Message(Message),
    /// From a client, or from Keeper.
    Propose(Proposal),
    /// A configuration change, encoded as raftpb.
    ProposeChange(RequestId, raft::EntryKind, Bytes),
    /// A linearizable read wants to know how far it must wait.
    Read(ReadId),
    /// Log is durable up to this mark.
    Appended(AppendMark),
    /// Store has applied up to here.
    Applied(Applied),
    /// Store's own log is durable up to here, so ours may forget.
    Synced(Index),
    /// A message to this member could not be sent.
    Unreachable(MemberId),
    /// A snapshot to this member has been sent, or has failed.
    SnapshotSent(MemberId, bool),
    /// Hand leadership over.
    Transfer(MemberId),
    /// Become leader if possible.
    Campaign,
    /// Nothing else has come for a moment: others shall hear of commits that
    /// were put off.
    TellCommits,
}

/// What Store says after a batch.
#[derive(Clone, Debug, Default)]
pub struct Applied {
    /// The last index of the batch.
    pub index: Index,
    /// Configuration changes in it, in order: every conf-change entry has one,
    /// a refused one is the empty change.
    pub changes: Vec<ConfChange>,
}

/// One job for Store, in order.
#[derive(Debug)]
pub enum Apply {
    /// Committed entries.
    Entries(Vec<store::Entry>),
    /// Replace everything by the snapshot file of this position.
    Restore(SnapshotMeta),
}

/// Why a read or a proposal is turned back by this member, just now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TurnedBack {
    /// Nobody leads.
    NoLeader,
    /// The leader changed while a read round was under way.
    LeaderChanged,
    /// Too much is committed and not yet applied, or waits to be proposed.
    TooMany,
    /// Only the leader may, and this member is not.
    NotLeader,
    /// How far a read must wait is known, but Store does not get there.
    NotApplied,
}

/// A message that no correct member sends, and why it was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strange {
    /// Who sent it, as it says.
    pub from: MemberId,
    /// What it was.
    pub kind: MessageKind,
    /// What is wrong with it.
    pub why: Refused,
}

/// Work that Core gives away; cleared by the driver after each round.
#[derive(Debug, Default)]
pub struct Outputs {
    /// To other members, may go at once.
    pub messages: Vec<Message>,
    /// To Log, in order.
    pub appends: Vec<raft::Append>,
    /// To Store, in order.
    pub applies: Vec<Apply>,
    /// Reads that may be answered from the present View.
    pub reads: Vec<ReadId>,
    /// Reads that failed.
    pub failed_reads: Vec<(ReadId, TurnedBack)>,
    /// Proposals that were not proposed.
    pub turned_back: Vec<(RequestId, TurnedBack)>,
    /// Log may forget entries up to here.
    pub release: Option<Index>,
    /// Messages worth a word to the operator.
    pub strange: Vec<Strange>,
    /// Positions of snapshots that came and were not taken: their files are of
    /// no use, one receipt of each.
    pub unwanted_snapshots: Vec<Index>,
}

impl Outputs {
    /// Nothing to hand on.
    pub fn is_empty(&self) -> bool {
        // As in every driver: one more is missed here.
        let Outputs {
            messages,
            appends,
            applies,
            reads,
            failed_reads,
            turned_back,
            release,
            strange,
            unwanted_snapshots,
        } = self;
        messages.is_empty()
            && appends.is_empty()
            && applies.is_empty()
            && reads.is_empty()
            && failed_reads.is_empty()
            && turned_back.is_empty()
            && release.is_none()
            && strange.is_empty()
            && unwanted_snapshots.is_empty()
    }
}

/// Copied numbers that others see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// This member.
    pub id: MemberId,
    /// Who leads; 0 if nobody is known to.
    pub leader: MemberId,
    /// It is known, and has said nothing for longer than any voter would wait.
    pub leader_is_silent: bool,
    /// What this member is.
    pub role: Role,
    /// Whether it only learns.
    pub is_learner: bool,
    /// The present term.
    pub term: Term,
    /// Highest committed index.
    pub commit: Index,
    /// Highest applied index.
    pub applied: Index,
    /// Times another leader has been seen.
    pub leader_changes: u64,
    /// Proposals waiting for a leader.
    pub held: usize,
    /// Bytes of them.
    pub held_bytes: usize,
}

/// The decider of one member.
pub struct Core {
    raft: Raft,
    config: Config,
    ticks: u64,
    output: raft::Output,
    /// Configuration as of each applied change; peers and status read it.
    conf_state: ConfState,
    leader: MemberId,
    leader_changes: u64,
    applied: Index,
    handed: Index,
    proposals: proposals::Held,
    aside: aside::Aside,
    reads: reads::Reads,
    /// Sizes of entries that are handed on, to bound the tail in memory.
    tail: VecDeque<(Index, u64)>,
    tail_bytes: u64,
    /// Sizes of entries that Store has and has not applied.
    backlog: VecDeque<(Index, u64)>,
    backlog_bytes: u64,
    compacted: Index,
    synced: Index,
    batch: Vec<Bytes>,
    strange: Vec<Strange>,
    unwanted_snapshots: Vec<Index>,
    /// A commit that the log need not hurry to write.
    deferred: Option<raft::Append>,
    /// A tick has come since the last take.
    ticked: bool,
    /// How far the log was durable, and since which tick it is no further.
    stuck: (Index, u64),
}

impl Core {
    /// A member as its two logs left it.
    pub fn new(config: Config, restored: Restored) -> Core {
        let applied = restored.applied;
        let compacted = restored.snapshot.index;
        let mut tail = VecDeque::new();
        let mut tail_bytes = 0;
        for entry in restored.entries.iter().take_while(|entry| entry.index <= applied) {
            tail_bytes += entry.data.len() as u64;
            tail.push_back((entry.index, entry.data.len() as u64));
        }
        let raft = Raft::new(config.raft, restored);
        let conf_state = raft.conf_state();
        Core {
            reads: reads::Reads::new(IdMaker::new(config.raft.id, config.birth), config.read_retry_ticks),
            proposals: proposals::Held::default(),
            aside: aside::Aside::default(),
            conf_state,
            leader: 0,
            leader_changes: 0,
            applied,
            handed: applied,
            tail,
            tail_bytes,
            backlog: VecDeque::new(),
            backlog_bytes: 0,
            compacted,
            synced: applied,
            output: raft::Output::default(),
            batch: Vec::new(),
            strange: Vec::new(),
            unwanted_snapshots: Vec::new(),
            deferred: None,
            ticked: false,
            stuck: (0, 0),
            ticks: 0,
            raft,
            config,
        }
    }

    /// Takes one input. What it causes comes out of [`Core::take`].
    pub fn step(&mut self, input: Input) {
        match input {
            Input::Tick => self.tick(),
            Input::Message(message) => self.hear(message),
            Input::Propose(proposal) => self.proposals.wait(proposal, self.ticks),
            Input::ProposeChange(id, kind, data) => {
                if self.raft.propose_change(kind, data).is_err() {
                    self.proposals.turn_back(id, TurnedBack::NoLeader);
                }
            }
            Input::Read(id) => self.reads.ask(id, self.ticks),
            Input::Appended(mark) => self.raft.appended(mark),
            Input::Applied(applied) => self.applied(applied),
            Input::Synced(index) => {
                assert!(index >= self.synced, "Store's durable position went back: {} then {index}", self.synced);
                self.synced = index;
            }
            Input::Unreachable(id) => self.raft.report_unreachable(id),
            Input::SnapshotSent(id, ok) => self.raft.report_snapshot(id, ok),
            Input::Transfer(to) => self.raft.transfer_leader(to),
            Input::Campaign => self.raft.campaign(),
            Input::TellCommits => self.raft.tell_commits(),
        }
    }

    /// What raft refuses is malformed, contradicts what is known or is not for
    /// us; a peer cannot make this member stop by sending it.
    fn hear(&mut self, message: Message) {
        let brings_entries =
            matches!(message.kind, MessageKind::App | MessageKind::Prop) && !message.entries.is_empty();
        if brings_entries && self.is_behind() {
            // As if the network had lost it: a leader sends it again, whoever proposed is told that time is up.
            return;
        }
        if message.kind == MessageKind::Prop && self.raft.is_transferring() {
            return self.aside.put(message, self.ticks, &self.config.bounds);
        }
        let (from, kind) = (message.from, message.kind);
        let snapshot = message.snapshot.as_ref().map(|snapshot| snapshot.meta.index);
        let stepped = self.raft.step(message);
        self.unwanted_snapshots.extend(snapshot.filter(|&index| index != self.raft.restoring()));
        let Err(why) = stepped else { return };
        // Members that come and go, and leaders that change, explain these.
        let is_usual = matches!(why, Refused::Proposal(_) | Refused::UnknownPeer);
        if !is_usual && self.strange.len() < limits::REFUSED_TOLD_MAX {
            self.strange.push(Strange { from, kind, why });
        }
    }

    /// Moves all that is ready into `outputs`. Call once after a run of
    /// [`Core::step`]: batching happens here.
    pub fn take(&mut self, outputs: &mut Outputs) {
        // First, so that reads which waited for a leader go to the one that has
        // just appeared and are not taken for rounds of the one before.
        self.notice_leader();
        self.propose_waiting(outputs);
        self.reads.start(&mut self.raft, self.ticks);
        self.raft.take(&mut self.output);
        let raft::Output { messages, appends, committed, restore, reads, .. } = &mut self.output;
        outputs.messages.append(messages);
        defer_commits(&mut self.deferred, appends, &mut outputs.appends);
        if std::mem::take(&mut self.ticked) {
            outputs.appends.extend(self.deferred.take());
        }
        for ready in reads.drain(..) {
            self.reads.confirmed(&ready.context, ready.index);
        }
        if let Some(snapshot) = restore.take() {
            let meta = snapshot.meta;
            assert!(
                meta.index > self.handed,
                "a snapshot at {} behind what was handed on ({})",
                meta.index,
                self.handed
            );
            self.handed = meta.index;
            self.conf_state = meta.conf_state.clone();
            self.compacted = meta.index;
            self.tail.clear();
            self.tail_bytes = 0;
            outputs.applies.push(Apply::Restore(meta));
        }
        let entries: Vec<raft::Entry> = std::mem::take(committed);
        self.hand_on(entries, outputs);
        self.reads.release(self.applied, &mut outputs.reads);
        outputs.failed_reads.append(&mut self.reads.failed);
        self.compact(outputs);
        outputs.turned_back.append(&mut self.proposals.turned_back);
        outputs.strange.append(&mut self.strange);
        outputs.unwanted_snapshots.append(&mut self.unwanted_snapshots);
    }

    /// Numbers for others to see.
    pub fn status(&self) -> Status {
        let id = self.raft.id();
        Status {
            id,
            leader: self.raft.leader_id(),
            leader_is_silent: self.raft.leader_is_silent(),
            role: self.raft.role(),
            is_learner: self.conf_state.learners.contains(&id),
            term: self.raft.term(),
            commit: self.raft.commit(),
            applied: self.applied,
            leader_changes: self.leader_changes,
            held: self.proposals.waiting(),
            held_bytes: self.proposals.waiting_bytes(),
        }
    }

    /// Whether reads are confirmed and wait only for Store to apply.
    pub fn waits_for_applied(&self) -> bool {
        self.reads.wait_for_applied()
    }

    /// Whether others have not heard of a commit yet: [`Input::TellCommits`] is
    /// due if nothing else comes soon.
    pub fn owes_commits(&self) -> bool {
        self.raft.owes_commits()
    }

    /// raft's own, longer status.
    pub fn raft_status(&self) -> raft::Status {
        self.raft.status()
    }

    /// The term of an entry that is still in memory.
    pub fn term_at(&self, index: Index) -> Option<Term> {
        self.raft.term_of(index)
    }

    /// The configuration as applied.
    pub fn conf_state(&self) -> &ConfState {
        &self.conf_state
    }

    fn tick(&mut self) {
        self.ticks += 1;
        self.raft.tick();
        self.hand_over_if_stuck();
        self.proposals.expire(self.ticks, self.config.hold_ticks);
        self.aside.expire(self.ticks, self.config.hold_ticks);
        self.reads.tick(self.ticks, self.config.hold_ticks);
        self.ticked = true;
    }

    /// A leader whose own disk makes no progress can answer nobody, and holds
    /// all that it is sent. After an election timeout of that it hands over to
    /// the member that has most.
    fn hand_over_if_stuck(&mut self) {
        if self.raft.role() != Role::Leader {
            self.stuck = (0, self.ticks);
            return;
        }
        let status = self.raft.status();
        let (durable, since) = self.stuck;
        if status.durable == status.last || status.durable != durable {
            self.stuck = (status.durable, self.ticks);
            return;
        }
        if self.ticks - since < u64::from(self.config.raft.election_ticks) {
            return;
        }
        let heir = status.peers.iter().filter(|(id, peer)| **id != status.id && !peer.learner && peer.recent_active);
        if let Some((&heir, _)) = heir.max_by_key(|(_, peer)| peer.matched) {
            self.raft.transfer_leader(heir);
        }
        self.stuck = (durable, self.ticks);
    }

    fn applied(&mut self, applied: Applied) {
        assert!(applied.index >= self.applied, "applied went back: {} then {}", self.applied, applied.index);
        assert!(applied.index <= self.handed, "applied {} was never handed on ({})", applied.index, self.handed);
        self.applied = applied.index;
        while let Some((_, size)) = self.backlog.pop_front_if(|(index, _)| *index <= applied.index) {
            self.backlog_bytes -= size;
        }
        for change in applied.changes {
            self.conf_state = self.raft.apply_change(change);
        }
        self.raft.applied(applied.index);
    }

    /// Proposes what waits, or says why not.
    fn propose_waiting(&mut self, outputs: &mut Outputs) {
        while self.raft.leader_id() != 0
            && !self.raft.is_transferring()
            && let Some(message) = self.aside.next()
        {
            self.hear(message);
        }
        if self.proposals.is_empty() {
            return;
        }
        if self.raft.commit().saturating_sub(self.applied) > limits::APPLY_BACKLOG_MAX || self.is_behind() {
            self.proposals.refuse_all(TurnedBack::TooMany);
            return;
        }
        // Soon somebody leads, and that is who is to have them.
        if self.raft.leader_id() == 0 || self.raft.is_transferring() {
            self.proposals.hold(self.config.bounds.held, self.config.bounds.held_bytes);
            return;
        }
        let leads = (self.raft.role() == Role::Leader).then_some(self.raft.term());
        // In messages of a size that a peer takes.
        while self.proposals.take_some(leads, self.config.raft.message_bytes_max, &mut self.batch) {
            if self.raft.propose(std::mem::take(&mut self.batch)).is_err() {
                // Too much is uncommitted.
                outputs.turned_back.append(&mut self.proposals.dropped());
                self.proposals.refuse_all(TurnedBack::TooMany);
                return;
            }
            self.proposals.proposed();
        }
    }

    /// Whether Store has so much to do that it must not get more.
    fn is_behind(&self) -> bool {
        self.backlog_bytes > self.config.backlog_bytes_max
    }

    fn notice_leader(&mut self) {
        let leader = self.raft.leader_id();
        if leader != self.leader {
            if leader != 0 {
                self.leader_changes += 1;
                self.reads.leader_changed();
            }
            self.leader = leader;
        }
    }

    fn hand_on(&mut self, entries: Vec<raft::Entry>, outputs: &mut Outputs) {
        if entries.is_empty() {
            return;
        }
        let bounds = self.config.bounds;
        let mut batch = Vec::with_capacity(entries.len().min(bounds.apply_batch));
        let mut bytes = 0;
        for entry in entries {
            assert_eq!(entry.index, self.handed + 1, "entries are handed on once and in order");
            self.handed = entry.index;
            let size = entry.data.len() as u64;
            self.tail.push_back((entry.index, size));
            self.tail_bytes += size;
            self.backlog.push_back((entry.index, size));
            self.backlog_bytes += size;
            bytes += entry.data.len();
            batch.push(entry::store_entry(entry));
            if batch.len() == bounds.apply_batch || bytes >= bounds.apply_batch_bytes {
                outputs.applies.push(Apply::Entries(std::mem::take(&mut batch)));
                bytes = 0;
            }
        }
        if !batch.is_empty() {
            outputs.applies.push(Apply::Entries(batch));
        }
    }

    /// Forgets entries that Store holds durably and that are more than
    /// `catch_up_entries` (or too many bytes) behind.
    fn compact(&mut self, outputs: &mut Outputs) {
        let durable = self.synced.min(self.applied);
        let mut target = durable.min(self.applied.saturating_sub(self.config.catch_up_entries));
        if self.tail_bytes > self.config.bounds.tail_bytes {
            target = target.max(self.within_bytes(durable));
        }
        // Forgetting is cheap per entry but not per call: let some gather.
        let step = (self.config.catch_up_entries / 8).clamp(1, 512);
        if target < self.compacted + step {
            return;
        }
        while self.tail.front().is_some_and(|&(index, _)| index <= target) {
            let (_, size) = self.tail.pop_front().expect("there is a front");
            self.tail_bytes -= size;
        }
        self.raft.compact(target);
        self.compacted = target;
        outputs.release = Some(target);
    }

    /// The lowest index to forget, up to `durable`, so that the rest of the
    /// tail fits its bytes.
    fn within_bytes(&self, durable: Index) -> Index {
        let mut bytes = self.tail_bytes;
        let mut target = 0;
        for &(index, size) in &self.tail {
            if bytes <= self.config.bounds.tail_bytes || index > durable {
                break;
            }
            bytes -= size;
            target = index;
        }
        target
    }
}

/// Passes appends on, but keeps one that says only how far is committed for
/// the next that says more: a lost commit is found again, and a write of its
/// own costs two hand-offs for every put.
fn defer_commits(deferred: &mut Option<raft::Append>, appends: &mut Vec<raft::Append>, out: &mut Vec<raft::Append>) {
    for append in appends.drain(..) {
        if append.entries.is_empty() && append.snapshot.is_none() && !append.must_sync {
            *deferred = Some(append);
        } else {
            out.extend(deferred.take());
            out.push(append);
        }
    }
}

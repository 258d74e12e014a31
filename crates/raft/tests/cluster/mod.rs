//! A cluster in memory: members with disks and state machines, a network, and the promises of raft checked at every step.
//!
//! Nothing happens by itself: tests (or a seeded scheduler) decide which message arrives, which write is done, which entry
//! is applied and who crashes. Everything a member says is checked against what its disk holds at that moment.

#![allow(dead_code)] // Every test file uses its part.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use raft::*;

/// What a member finds again after a crash.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    pub hard_state: HardState,
    /// The position before the first entry. What the Store needs to begin there is kept beside it.
    pub before: (Index, Term),
    pub conf_state: ConfState,
    pub entries: Vec<Entry>,
}

impl Disk {
    pub fn last(&self) -> Index {
        self.before.0 + self.entries.len() as u64
    }

    pub fn term(&self, index: Index) -> Option<Term> {
        if index == self.before.0 {
            return Some(self.before.1);
        }
        let at = index.checked_sub(self.before.0 + 1)?;
        self.entries.get(at as usize).map(|entry| entry.term)
    }

    pub fn write(&mut self, append: &Append) {
        if let Some(snapshot) = &append.snapshot {
            self.before = (snapshot.index, snapshot.term);
            self.conf_state = snapshot.conf_state.clone();
            self.entries.clear();
        }
        if let Some(first) = append.entries.first() {
            assert!(first.index > self.before.0 && first.index <= self.last() + 1, "a hole in the log on disk");
            self.entries.truncate((first.index - self.before.0 - 1) as usize);
            self.entries.extend(append.entries.iter().cloned());
        }
        if let Some(hard_state) = append.hard_state {
            self.hard_state = hard_state;
        }
        assert_eq!(append.mark.index, self.last());
        assert!(self.hard_state.commit <= self.last());
    }

    fn compact(&mut self, index: Index, conf_state: ConfState) {
        self.conf_state = conf_state;
        let term = self.term(index).expect("compaction stays within the log");
        self.entries.drain(..(index - self.before.0) as usize);
        self.before = (index, term);
    }
}

/// Work for the state machine.
#[derive(Clone, Debug)]
pub enum Work {
    Entry(Entry),
    Restore(Snapshot),
}

pub struct Member {
    pub raft: Raft,
    pub config: Config,
    pub disk: Disk,
    /// Given to the Log and not written.
    pub waiting: VecDeque<Append>,
    /// Given to the Store and not applied.
    pub to_apply: VecDeque<Work>,
    pub applied: Index,
    /// The configuration after an index; survives like the Store does.
    pub configured: BTreeMap<Index, ConfState>,
    pub data: BTreeMap<Index, Entry>,
    pub reads: Vec<ReadReady>,
    pub soft: SoftState,
    pub incarnation: u64,
    /// Writes stay in `waiting` until told otherwise.
    pub hold_log: bool,
    pub hold_store: bool,
}

impl Member {
    /// The Store becomes what the cluster was at `index`.
    fn install(&mut self, committed: &BTreeMap<Index, (Term, Bytes)>, index: Index, conf_state: ConfState) {
        for (index, (term, data)) in committed.range(..=index) {
            let entry = Entry { kind: EntryKind::Normal, term: *term, index: *index, data: data.clone() };
            self.data.entry(*index).or_insert(entry);
        }
        self.configured.insert(index, conf_state);
        self.applied = index;
    }
}

#[derive(Default)]
pub struct Cluster {
    pub members: BTreeMap<MemberId, Member>,
    pub network: VecDeque<Message>,
    /// Messages from the first to the second are lost.
    pub cut: BTreeSet<(MemberId, MemberId)>,
    /// What any member has given to its Store.
    pub committed: BTreeMap<Index, (Term, Bytes)>,
    written: BTreeMap<(Index, Term), (Term, Bytes)>,
    leaders: BTreeMap<Term, (MemberId, u64)>,
    reads: BTreeMap<Bytes, Index>,
    next_context: u64,
    /// Every message that was ever sent, in words; for transcripts.
    pub transcript: Vec<String>,
}

pub fn config(id: MemberId) -> Config {
    Config { pre_vote: true, check_quorum: true, ..Config::new(id, id * 7919) }
}

impl Cluster {
    /// Members `1..=size`, all voters, bootstrapped as etcd does: each finds its first entries committed.
    pub fn new(size: u64) -> Cluster {
        Cluster::with(size, |_| {})
    }

    pub fn with(size: u64, adjust: impl Fn(&mut Config)) -> Cluster {
        let mut cluster = Cluster::default();
        for id in 1..=size {
            let mut config = config(id);
            adjust(&mut config);
            let entries = (1..=size)
                .map(|voter| Entry {
                    kind: EntryKind::ConfChange,
                    term: 1,
                    index: voter,
                    data: encode(&ConfChange::simple(ChangeKind::AddVoter, voter)),
                })
                .collect();
            let hard_state = HardState { term: 1, vote: 0, commit: size };
            cluster.add(config, Disk { hard_state, entries, ..Disk::default() });
        }
        cluster.settle();
        cluster
    }

    /// A member that knows nothing.
    pub fn add_empty(&mut self, id: MemberId) {
        self.add(config(id), Disk::default());
        self.pump(id);
    }

    fn add(&mut self, config: Config, disk: Disk) {
        let raft = Raft::new(config, restored(&disk, 0, ConfState::default()));
        for pair in disk.entries.windows(2) {
            self.written.insert((pair[1].index, pair[1].term), (pair[0].term, pair[1].data.clone()));
        }
        let member = Member {
            raft,
            config,
            disk,
            waiting: VecDeque::new(),
            to_apply: VecDeque::new(),
            applied: 0,
            configured: BTreeMap::from([(0, ConfState::default())]),
            data: BTreeMap::new(),
            reads: Vec::new(),
            soft: SoftState { leader: 0, role: Role::Follower },
            incarnation: 0,
            hold_log: false,
            hold_store: false,
        };
        self.members.insert(config.id, member);
    }

    pub fn ids(&self) -> Vec<MemberId> {
        self.members.keys().copied().collect()
    }

    pub fn member(&mut self, id: MemberId) -> &mut Member {
        self.members.get_mut(&id).unwrap()
    }

    pub fn status(&self, id: MemberId) -> Status {
        self.members[&id].raft.status()
    }

    /// Does something to a raft and takes what comes out.
    pub fn on<T>(&mut self, id: MemberId, act: impl FnOnce(&mut Raft) -> T) -> T {
        let result = act(&mut self.member(id).raft);
        self.pump(id);
        result
    }

    pub fn propose(&mut self, id: MemberId, data: &str) -> Result<(), ProposeError> {
        let data = Bytes::copy_from_slice(data.as_bytes());
        self.on(id, |raft| raft.propose(vec![data]))
    }

    pub fn change(&mut self, id: MemberId, change: &ConfChange) {
        let simple = change.transition == Transition::Auto && change.changes.len() == 1;
        let kind = if simple { EntryKind::ConfChange } else { EntryKind::ConfChangeV2 };
        let _ = self.on(id, |raft| raft.propose_change(kind, encode(change)));
    }

    /// Starts a read whose answer must not be older than anything any member has shown so far.
    pub fn read(&mut self, id: MemberId) -> Result<Bytes, ProposeError> {
        self.next_context += 1;
        let context = Bytes::copy_from_slice(&self.next_context.to_be_bytes());
        let floor = self.committed.keys().next_back().copied().unwrap_or(0);
        self.reads.insert(context.clone(), floor);
        self.on(id, |raft| raft.read(context.clone())).map(|()| context)
    }

    /// Takes all work out of a member and checks it.
    pub fn pump(&mut self, id: MemberId) {
        let mut out = Output::default();
        let member = self.members.get_mut(&id).unwrap();
        if !member.raft.has_work() {
            member.raft.take(&mut out);
            assert!(out.is_empty(), "work without has_work: {out:?}");
            return;
        }
        member.raft.take(&mut out);
        assert!(!member.raft.has_work(), "take leaves nothing behind");
        for message in &out.messages {
            check_promise(member, message);
            self.transcript.push(describe(message));
        }
        for append in &out.appends {
            let mut before = append.snapshot.as_ref().map(|meta| meta.term);
            for entry in &append.entries {
                let term = before.or_else(|| member.raft.term_of(entry.index - 1));
                before = Some(entry.term);
                let (Some(term), true) = (term, entry.index > 1) else { continue };
                let known = self.written.entry((entry.index, entry.term)).or_insert((term, entry.data.clone()));
                assert_eq!(*known, (term, entry.data.clone()), "logs differ at {}/{}", entry.index, entry.term);
            }
        }
        if let Some(snapshot) = out.restore {
            assert!(member.to_apply.iter().all(|work| index_of(work) < snapshot.meta.index));
            member.to_apply.push_back(Work::Restore(snapshot));
        }
        let mut expected = member.to_apply.back().map_or(member.applied, index_of);
        for entry in out.committed {
            expected += 1;
            assert_eq!(entry.index, expected, "committed entries come out once and in order");
            assert!(
                member.disk.last() >= entry.index && member.disk.term(entry.index) == Some(entry.term),
                "not on disk"
            );
            let shown = (entry.term, entry.data.clone());
            let known = self.committed.entry(entry.index).or_insert_with(|| shown.clone());
            assert_eq!(*known, shown, "two members commit different entries at {}", entry.index);
            member.to_apply.push_back(Work::Entry(entry));
        }
        for read in out.reads {
            let floor = self.reads[&read.context];
            assert!(read.index >= floor, "a stale read: {} when {floor} was visible", read.index);
            member.reads.push(read);
        }
        if let Some(soft) = out.soft {
            member.soft = soft;
            if soft.role == Role::Leader {
                let status = member.raft.status();
                let known = *self.leaders.entry(status.term).or_insert((id, member.incarnation));
                assert_eq!(known, (id, member.incarnation), "two leaders in term {}", status.term);
                for (index, (term, _)) in self.committed.range(status.first..) {
                    assert_eq!(member.raft.term_of(*index), Some(*term), "leader {id} lacks committed entry {index}");
                }
            }
        }
        member.waiting.extend(out.appends);
        self.network.extend(out.messages);
    }

    /// Writes the next append to disk without telling raft.
    pub fn write(&mut self, id: MemberId) -> Option<AppendMark> {
        let member = self.member(id);
        let append = member.waiting.pop_front()?;
        member.disk.write(&append);
        Some(append.mark)
    }

    /// Writes the next append and tells raft.
    pub fn write_and_tell(&mut self, id: MemberId) -> bool {
        let Some(mark) = self.write(id) else {
            return false;
        };
        self.on(id, |raft| raft.appended(mark));
        true
    }

    /// Applies the next piece of work.
    pub fn apply(&mut self, id: MemberId) -> bool {
        let member = self.members.get_mut(&id).unwrap();
        let Some(work) = member.to_apply.pop_front() else {
            return false;
        };
        member.applied = index_of(&work);
        match work {
            Work::Entry(entry) => {
                if entry.kind.is_change() {
                    let state = member.raft.apply_change(decode(&entry.data));
                    member.configured.insert(entry.index, state);
                }
                member.data.insert(entry.index, entry);
            }
            Work::Restore(snapshot) => {
                member.install(&self.committed, snapshot.meta.index, snapshot.meta.conf_state);
            }
        }
        let applied = member.applied;
        self.on(id, |raft| raft.applied(applied));
        true
    }

    /// Delivers the message at this place in the network.
    pub fn deliver(&mut self, at: usize) {
        let message = self.network.remove(at).unwrap();
        let to = message.to;
        if self.cut.contains(&(message.from, to)) || !self.members.contains_key(&to) {
            return;
        }
        let _ = self.on(to, |raft| raft.step(message));
    }

    /// Lets everything happen that does not need time to pass.
    pub fn settle(&mut self) {
        for _ in 0..100_000 {
            let mut busy = false;
            for id in self.ids() {
                self.pump(id);
                while !self.members[&id].hold_log && self.write_and_tell(id) {
                    busy = true;
                }
                while !self.members[&id].hold_store && self.apply(id) {
                    busy = true;
                }
            }
            while !self.network.is_empty() {
                self.deliver(0);
                busy = true;
            }
            if !busy {
                return;
            }
        }
        panic!("the cluster does not come to rest");
    }

    pub fn tick(&mut self) {
        for id in self.ids() {
            self.on(id, Raft::tick);
        }
    }

    /// Ticks, settling after each.
    pub fn run(&mut self, ticks: u32) {
        for _ in 0..ticks {
            self.tick();
            self.settle();
        }
    }

    pub fn elect(&mut self, id: MemberId) {
        self.on(id, Raft::campaign);
        self.settle();
        assert_eq!(self.status(id).role, Role::Leader, "{id} was not elected");
    }

    pub fn leader(&self) -> Option<MemberId> {
        let leading = |member: &&Member| member.raft.status().role == Role::Leader;
        let leader = self.members.values().filter(leading).max_by_key(|member| member.raft.status().term);
        leader.map(|member| member.config.id)
    }

    pub fn isolate(&mut self, id: MemberId) {
        for other in self.ids() {
            self.cut.insert((id, other));
            self.cut.insert((other, id));
        }
    }

    pub fn heal(&mut self) {
        self.cut.clear();
    }

    /// The process ends and starts again. `kept` of the writes under way have reached the disk, and the Store has what it
    /// had at `applied` or before.
    pub fn crash(&mut self, id: MemberId, kept: usize, applied: Index) {
        for _ in 0..kept {
            self.write(id);
        }
        let member = self.members.get_mut(&id).unwrap();
        member.waiting.clear();
        member.to_apply.clear();
        let applied = applied.min(member.applied);
        member.applied = applied;
        member.data.retain(|index, _| *index <= applied);
        member.configured.retain(|index, _| *index <= applied);
        if applied < member.disk.before.0 {
            member.install(&self.committed, member.disk.before.0, member.disk.conf_state.clone());
        }
        let applied = member.applied;
        let state = member.configured.values().next_back().cloned().unwrap_or_default();
        member.incarnation += 1;
        let seed = member.config.seed + member.incarnation;
        member.raft = Raft::new(Config { seed, ..member.config }, restored(&member.disk, applied, state));
        member.soft = SoftState { leader: 0, role: Role::Follower };
        self.pump(id);
    }

    /// Drops entries up to `index` from memory and disk.
    pub fn compact(&mut self, id: MemberId, index: Index) {
        let member = self.member(id);
        if index > member.disk.before.0 && index <= member.applied {
            let state = member.configured.range(..=index).next_back().map(|(_, state)| state.clone());
            member.raft.compact(index);
            member.disk.compact(index, state.unwrap_or_default());
        }
    }

    /// The commands a member has applied, without the empty ones and the changes.
    pub fn commands(&self, id: MemberId) -> Vec<String> {
        let entries = self.members[&id].data.values();
        let normal = entries.filter(|entry| !entry.kind.is_change() && !entry.data.is_empty());
        normal.map(|entry| String::from_utf8_lossy(&entry.data).into_owned()).collect()
    }
}

/// What the cluster has said since the last call.
pub fn said(cluster: &mut Cluster) -> Vec<String> {
    std::mem::take(&mut cluster.transcript)
}

/// A message as a peer would send it.
pub fn message(kind: MessageKind, from: MemberId, to: MemberId, term: Term) -> Message {
    Message { from, term, ..Message::new(kind, to) }
}

pub fn entry(index: Index, term: Term, data: &str) -> Entry {
    Entry { kind: EntryKind::Normal, term, index, data: Bytes::copy_from_slice(data.as_bytes()) }
}

/// One member of voters `1..=size` with this log, everything before it applied and nothing else known.
pub fn lone(id: MemberId, size: u64, hard_state: HardState, terms: &[Term]) -> Raft {
    let conf_state = ConfState { voters: (1..=size).collect(), ..ConfState::default() };
    let entries = terms.iter().zip(1..).map(|(term, index)| entry(index, *term, "x")).collect();
    let snapshot = SnapshotMeta { index: 0, term: 0, conf_state };
    Raft::new(config(id), Restored { hard_state, snapshot, entries, applied: 0 })
}

/// Takes all work, and writes and applies at once. Returns the messages that leave.
pub fn take_all(raft: &mut Raft) -> Vec<Message> {
    let mut messages = Vec::new();
    while raft.has_work() {
        let mut out = Output::default();
        raft.take(&mut out);
        messages.append(&mut out.messages);
        if let Some(append) = out.appends.last() {
            raft.appended(append.mark);
        }
        if let Some(last) = out.committed.last() {
            raft.applied(last.index);
        }
    }
    messages
}

fn restored(disk: &Disk, applied: Index, conf_state: ConfState) -> Restored {
    Restored {
        hard_state: disk.hard_state,
        snapshot: SnapshotMeta { index: disk.before.0, term: disk.before.1, conf_state },
        entries: disk.entries.clone(),
        applied,
    }
}

pub fn index_of(work: &Work) -> Index {
    match work {
        Work::Entry(entry) => entry.index,
        Work::Restore(snapshot) => snapshot.meta.index,
    }
}

/// What a message promises must be on disk when it leaves.
fn check_promise(member: &Member, message: &Message) {
    let disk = &member.disk;
    match message.kind {
        MessageKind::Vote => {
            assert!(disk.hard_state.term >= message.term, "asks for votes before its own is durable");
        }
        MessageKind::VoteResp if !message.reject => {
            assert!(disk.hard_state.term >= message.term);
            if disk.hard_state.term == message.term {
                assert_eq!(disk.hard_state.vote, message.to, "grants a vote that is not durable");
            }
        }
        MessageKind::AppResp if !message.reject && message.index > 0 => {
            let later_term = member.raft.status().term > message.term;
            assert!(later_term || disk.last() >= message.index, "acknowledges what its disk does not hold");
        }
        _ => {}
    }
}

/// A change as this test suite writes it into entries.
pub fn encode(change: &ConfChange) -> Bytes {
    let mut bytes = Vec::new();
    if *change != ConfChange::leave_joint() {
        bytes.push(change.transition as u8);
        for (kind, id) in &change.changes {
            bytes.push(*kind as u8);
            bytes.push(*id as u8);
        }
    }
    Bytes::from(bytes)
}

pub fn decode(bytes: &[u8]) -> ConfChange {
    let Some((transition, rest)) = bytes.split_first() else {
        return ConfChange::leave_joint();
    };
    let kind = |number: u8| ChangeKind::try_from(i32::from(number)).unwrap();
    ConfChange {
        transition: Transition::try_from(i32::from(*transition)).unwrap(),
        changes: rest.chunks(2).map(|pair| (kind(pair[0]), MemberId::from(pair[1]))).collect(),
    }
}

/// One line a message, in etcd's order of facts.
pub fn describe(message: &Message) -> String {
    let Message { kind, from, to, term, log_term, index, commit, .. } = message;
    let mut line = format!("{from}->{to} {kind:?} term={term} log={log_term}/{index}");
    if message.reject {
        line += &format!(" rejected hint={}", message.reject_hint);
    }
    if *commit > 0 {
        line += &format!(" commit={commit}");
    }
    if !message.entries.is_empty() {
        let entries: Vec<String> = message.entries.iter().map(|e| format!("{}/{}", e.term, e.index)).collect();
        line += &format!(" entries=[{}]", entries.join(" "));
    }
    if let Some(snapshot) = &message.snapshot {
        line += &format!(" snapshot={}/{}", snapshot.meta.term, snapshot.meta.index);
    }
    line
}

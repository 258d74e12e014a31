//! Whatever arrives, a member goes on: random messages in every role, with fields that are likely, unlikely and impossible.
//!
//! What must hold besides: what is committed here stays as it is, however contradictory the message; terms and commit never
//! fall; a message that was refused has changed nothing, and holds up nobody.
//!
//! A forged vote, acknowledgement or append that contradicts nothing is followed like a true one: against that only TLS helps.

mod cluster;

use bytes::Bytes;
use cluster::{Cluster, message};
use fastrand::Rng;
use raft::*;
use std::collections::BTreeMap;

const SEEDS: u64 = 400;
const MESSAGES: usize = 150;
/// The member that hears strange things.
const VICTIM: MemberId = 1;

/// A number near what is real, or at the end of all numbers.
fn number(chance: &mut Rng, real: u64) -> u64 {
    match chance.u32(0..12) {
        0 => 0,
        1 => u64::MAX,
        2 => u64::MAX - chance.u64(0..3),
        3 => (1 << 62) - 1 + chance.u64(0..3),
        4 => chance.u64(..),
        5 => real.saturating_sub(chance.u64(0..8)),
        _ => (real + chance.u64(0..5)).saturating_sub(2),
    }
}

fn member(chance: &mut Rng) -> MemberId {
    match chance.u32(0..20) {
        0 => 0,
        1 => u64::MAX,
        2 => 9,
        3 => VICTIM,
        _ => chance.u64(2..=3),
    }
}

fn ids(chance: &mut Rng) -> Vec<MemberId> {
    (0..chance.usize(0..5)).map(|_| member(chance)).collect()
}

fn entries(chance: &mut Rng, after: Index, log_term: Term, status: &Status) -> Vec<Entry> {
    let mut term = log_term;
    let mut entries = Vec::new();
    for number_of in 0..chance.u64(0..4) {
        let sound = chance.u32(0..6) > 0;
        let index = if sound { after.wrapping_add(1 + number_of) } else { number(chance, status.last) };
        term = match chance.u32(0..6) {
            0 => number(chance, status.term),
            1 => term.saturating_add(1).min(status.term),
            _ => term,
        };
        let kind = [EntryKind::Normal, EntryKind::Normal, EntryKind::ConfChange, EntryKind::ConfChangeV2];
        // The data of changes is read by the state machine, which the tests play; it takes what it cannot read as refused.
        entries.push(Entry { kind: kind[chance.usize(0..4)], term, index, data: Bytes::from_static(b"") });
    }
    entries
}

fn strange(chance: &mut Rng, raft: &Raft) -> Message {
    let status = raft.status();
    // Mostly what leaders and followers say to each other: candidates would end every leadership at once.
    let kind = match chance.u32(0..10) {
        0 => MessageKind::try_from(chance.u8(0..24)).unwrap(),
        1 => [MessageKind::Prop, MessageKind::ReadIndex, MessageKind::ReadIndexResp][chance.usize(0..3)],
        2..6 => [MessageKind::App, MessageKind::Heartbeat, MessageKind::Snap][chance.usize(0..3)],
        6..9 => [MessageKind::AppResp, MessageKind::HeartbeatResp][chance.usize(0..2)],
        _ => [MessageKind::VoteResp, MessageKind::PreVoteResp][chance.usize(0..2)],
    };
    let near = if chance.bool() { status.last } else { status.commit };
    let index = number(chance, near);
    let known = raft.term_of(index).filter(|_| chance.u32(0..4) > 0);
    let log_term = known.unwrap_or_else(|| number(chance, status.term));
    let term = match kind {
        MessageKind::Prop | MessageKind::ReadIndex => chance.u64(0..8).saturating_sub(6),
        _ => number(chance, status.term),
    };
    // Terms that leap are seldom, or every run would soon be at the end of them.
    let term = match chance.u32(0..60) {
        0 => term,
        1 => term.min(status.term + 1),
        _ if matches!(kind, MessageKind::Prop | MessageKind::ReadIndex) => term,
        _ => term.min(status.term),
    };
    let mut strange = Message {
        from: member(chance),
        to: if chance.u32(0..30) > 0 { VICTIM } else { member(chance) },
        term,
        log_term,
        index,
        entries: entries(chance, index, log_term, &status),
        commit: number(chance, status.commit),
        vote: member(chance),
        reject: chance.bool(),
        reject_hint: number(chance, status.last),
        context: match chance.u32(0..4) {
            0 => Bytes::new(),
            1 => Bytes::from_static(CAMPAIGN_TRANSFER),
            2 => Bytes::copy_from_slice(&number(chance, 3).to_le_bytes()),
            _ => Bytes::from_static(b"odd"),
        },
        ..Message::new(kind, VICTIM)
    };
    if kind == MessageKind::Snap && chance.u32(0..8) > 0 {
        let sound = chance.bool();
        let conf_state = ConfState {
            voters: if sound { vec![1, 2, 3] } else { ids(chance) },
            learners: if sound { vec![] } else { ids(chance) },
            voters_outgoing: if sound { vec![] } else { ids(chance) },
            learners_next: if sound { vec![] } else { ids(chance) },
            auto_leave: !sound && chance.bool(),
        };
        let meta = SnapshotMeta { index: number(chance, status.last), term: number(chance, status.term), conf_state };
        strange.snapshot = Some(Snapshot { meta, data: Bytes::new() });
    }
    strange
}

/// What a refused message must leave alone. Whether a peer was heard lately is not a promise.
fn shown(raft: &Raft) -> Status {
    let mut status = raft.status();
    status.peers.values_mut().for_each(|peer| peer.recent_active = false);
    status
}

/// Log, Store and the end of the world outside: writes, applies, and checks what is committed.
#[derive(Default)]
struct Outside {
    committed: BTreeMap<Index, (Term, EntryKind)>,
    applied: Index,
}

impl Outside {
    fn settle(&mut self, raft: &mut Raft) {
        while raft.has_work() {
            let mut out = Output::default();
            raft.take(&mut out);
            assert!(out.messages.iter().all(|sent| sent.to != VICTIM && sent.to != NO_MEMBER));
            if let Some(append) = out.appends.last() {
                raft.appended(append.mark);
            }
            if let Some(snapshot) = out.restore {
                assert!(snapshot.meta.index > self.applied, "a snapshot takes the state back");
                self.applied = snapshot.meta.index;
                raft.applied(self.applied);
            }
            for entry in out.committed {
                assert_eq!(entry.index, self.applied + 1, "entries come once and in order");
                self.applied = entry.index;
                if entry.kind.is_change() {
                    raft.apply_change(ConfChange::refused());
                }
                self.committed.insert(entry.index, (entry.term, entry.kind));
                raft.applied(entry.index);
            }
        }
    }

    /// What was given to the Store is still what the log says.
    fn check(&self, raft: &Raft) {
        for (index, (term, _)) in &self.committed {
            let known = raft.term_of(*index);
            assert!(known.is_none() || known == Some(*term), "committed entry {index} was replaced");
        }
    }
}

fn born(role: Role, seed: u64) -> Raft {
    let mut raft = cluster::lone(VICTIM, 3, HardState { term: 2, vote: 0, commit: 2 }, &[1, 1, 2, 2]);
    let mut outside = Outside::default();
    if role != Role::Follower {
        raft.campaign();
        outside.settle(&mut raft);
    }
    if matches!(role, Role::Candidate | Role::Leader) {
        raft.step(Message { term: 3, ..message(MessageKind::PreVoteResp, 2, VICTIM, 3) }).unwrap();
        outside.settle(&mut raft);
    }
    if role == Role::Leader {
        raft.step(message(MessageKind::VoteResp, 2, VICTIM, 3)).unwrap();
        outside.settle(&mut raft);
        if seed.is_multiple_of(2) {
            let last = raft.status().last;
            raft.step(Message { index: last, ..message(MessageKind::AppResp, 2, VICTIM, 3) }).unwrap();
        }
    }
    assert_eq!(raft.status().role, role);
    raft
}

#[test]
fn a_member_survives_whatever_it_is_told() {
    let mut taken = BTreeMap::<MessageKind, usize>::new();
    let (mut contradictions, mut roles) = (0, BTreeMap::<Role, usize>::new());
    for seed in 0..SEEDS {
        let mut chance = Rng::with_seed(seed);
        let role = [Role::Follower, Role::PreCandidate, Role::Candidate, Role::Leader][seed as usize % 4];
        let mut raft = born(role, seed);
        let mut outside = Outside { applied: raft.status().applied, ..Outside::default() };
        let prompt = chance.bool();
        for _ in 0..MESSAGES {
            let strange = strange(&mut chance, &raft);
            let (kind, before) = (strange.kind, shown(&raft));
            match raft.step(strange.clone()) {
                Ok(()) => *taken.entry(kind).or_default() += 1,
                Err(Refused::Proposal(_)) => {}
                Err(refused) => {
                    contradictions += usize::from(matches!(refused, Refused::Contradiction(_)));
                    assert_eq!(shown(&raft), before, "seed {seed}: {refused} changed something: {strange:?}");
                }
            }
            let after = raft.status();
            assert!(after.term >= before.term && after.commit >= before.commit, "seed {seed}: term or commit fell");
            *roles.entry(after.role).or_default() += 1;
            // Also while writes are under way.
            if prompt || chance.u32(0..5) == 0 {
                outside.settle(&mut raft);
            }
            match chance.u32(0..20) {
                0 => raft.tick(),
                1 => drop(raft.propose(vec![Bytes::from_static(b"ours")])),
                2 => raft.campaign(),
                3 if prompt => raft.compact(raft.status().applied.saturating_sub(1)),
                _ => {}
            }
            outside.check(&raft);
        }
        outside.settle(&mut raft);
    }
    // It was a test of something.
    for kind in
        ["App", "AppResp", "Vote", "VoteResp", "Snap", "Heartbeat", "HeartbeatResp", "TimeoutNow", "ReadIndexResp"]
    {
        let count = taken.iter().find(|(taken, _)| format!("{taken:?}") == kind).map_or(0, |(_, count)| *count);
        assert!(count > 50, "{kind} was taken {count} times: {taken:?}");
    }
    assert!(contradictions > 1_000, "{contradictions} contradictions");
    assert!(roles.len() == 4 && roles.values().all(|count| *count > 500), "{roles:?}");
}

/// A message that contradicts what `id` knows.
fn contradiction(chance: &mut Rng, cluster: &Cluster, id: MemberId) -> Message {
    let status = cluster.status(id);
    let (stranger, term, last) = (9, status.term, status.last);
    let conf_state = cluster.members[&id].raft.conf_state();
    let lacks_voters = ConfState { voters: vec![], ..conf_state.clone() };
    let snap = |meta| Message {
        snapshot: Some(Snapshot { meta, data: Bytes::new() }),
        ..message(MessageKind::Snap, stranger, id, term + 1)
    };
    match chance.u32(0..7) {
        0 => Message { commit: last + 1, ..message(MessageKind::Heartbeat, stranger, id, term + 1) },
        1 => message(MessageKind::Heartbeat, stranger, id, term),
        2 => Message { index: last + 1, ..message(MessageKind::AppResp, 1 + id % 3, id, u64::MAX) },
        3 => Message { index: 1, log_term: term + 1, ..message(MessageKind::App, stranger, id, term + 1) },
        4 => snap(SnapshotMeta { index: last + 5, term, conf_state: lacks_voters }),
        5 => snap(SnapshotMeta { index: status.commit, term: term + 1, conf_state }),
        _ => {
            let entries = vec![cluster::entry(last + 7, term, "gap")];
            Message { index: last, log_term: term, entries, ..message(MessageKind::App, stranger, id, term + 1) }
        }
    }
}

/// What contradicts is refused and costs nothing: no leader, no entry, no promise.
#[test]
fn a_cluster_at_work_is_not_held_up_by_contradictions() {
    for seed in 0..20 {
        let mut chance = Rng::with_seed(seed);
        let mut cluster = Cluster::new(3);
        cluster.elect(1);
        cluster.run(2);
        let term = cluster.status(1).term;
        for round in 0..60 {
            for id in cluster.ids() {
                let said = contradiction(&mut chance, &cluster, id);
                let refused = cluster.on(id, |raft| raft.step(said.clone()));
                assert!(refused.is_err(), "seed {seed}: {id} has taken {said:?}");
            }
            cluster.propose(1, &format!("{round}")).unwrap();
            cluster.settle();
        }
        cluster.run(2);
        for id in cluster.ids() {
            assert_eq!((cluster.commands(id).len(), cluster.status(id).term), (60, term), "seed {seed}: {id}");
        }
    }
}

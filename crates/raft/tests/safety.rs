//! Many seeds of chaos: messages lost, doubled, delayed and overtaken, writes slow, members crashing with whatever their
//! disk had, logs compacted, members coming and going. The promises are checked at every step by the cluster; afterwards the
//! faults end and the cluster must come back to life.

mod cluster;

use cluster::Cluster;
use fastrand::Rng;
use raft::*;

struct Chaos {
    seeds: std::ops::Range<u64>,
    steps: u32,
    voters: u64,
    strangers: u64,
}

/// What a whole test has seen, to be sure that it tests something.
#[derive(Default)]
struct Seen {
    commits: usize,
    reads: usize,
    terms: u64,
    rejections: usize,
    snapshots: usize,
    changes: usize,
    joint: usize,
    deadlocks: usize,
}

fn run(chaos: &Chaos) -> Seen {
    let mut seen = Seen::default();
    for seed in chaos.seeds.clone() {
        let mut chance = Rng::with_seed(seed);
        let (pre_vote, check_quorum) = (chance.bool(), chance.bool());
        let mut cluster = Cluster::with(chaos.voters, |config| {
            config.pre_vote = pre_vote;
            config.check_quorum = check_quorum;
            config.seed = config.id * 1000 + seed;
            config.message_bytes_max = 64;
            config.inflight_messages_max = 3;
        });
        for id in chaos.voters + 1..=chaos.voters + chaos.strangers {
            cluster.add_empty(id);
        }
        // Some runs are calm, some are wild.
        let wildness = chance.u32(1..8);
        for step in 0..chaos.steps {
            match chance.u32(0..200) < wildness {
                true => one_fault(&mut cluster, &mut chance),
                false => one_step(&mut cluster, &mut chance, step, chaos.strangers > 0),
            }
        }
        count(&mut seen, &cluster);
        match comes_back_to_life(&mut cluster) {
            true => {}
            false if nobody_could_win(&cluster) => seen.deadlocks += 1,
            false => {
                let statuses: Vec<Status> = cluster.ids().iter().map(|id| cluster.status(*id)).collect();
                panic!("seed {seed}: the cluster stays dead: {statuses:#?}");
            }
        }
    }
    let seeds = (chaos.seeds.end - chaos.seeds.start) as usize;
    assert!(seen.commits > seeds * 20, "chaos leaves room for progress: {} commits in {seeds} runs", seen.commits);
    assert!(seen.reads > seeds * 5, "chaos leaves room for reads: {} in {seeds} runs", seen.reads);
    assert!(seen.terms > seeds as u64 * 4, "leaders change: {} terms in {seeds} runs", seen.terms);
    assert!(seen.rejections > seeds * 5, "logs differ: {} rejections in {seeds} runs", seen.rejections);
    assert!(seen.snapshots > seeds / 2, "logs are compacted: {} snapshots in {seeds} runs", seen.snapshots);
    seen
}

fn count(seen: &mut Seen, cluster: &Cluster) {
    let said = |words: &[&str]| cluster.transcript.iter().filter(|line| words.iter().all(|w| line.contains(w))).count();
    seen.commits += cluster.committed.len();
    seen.reads += cluster.members.values().map(|member| member.reads.len()).sum::<usize>();
    seen.terms += cluster.members.values().map(|member| member.raft.status().term).max().unwrap_or(0);
    seen.rejections += said(&["AppResp", "rejected"]);
    seen.snapshots += said(&[" Snap "]);
    let longest = cluster.members.values().max_by_key(|member| member.applied).unwrap();
    seen.changes += longest.configured.len();
    seen.joint += longest.configured.values().filter(|state| !state.voters_outgoing.is_empty()).count();
}

fn any(cluster: &Cluster, chance: &mut Rng) -> MemberId {
    let ids = cluster.ids();
    ids[chance.usize(..ids.len())]
}

/// Work as it goes, only slow and in a strange order.
fn one_step(cluster: &mut Cluster, chance: &mut Rng, step: u32, changes: bool) {
    let id = any(cluster, chance);
    match chance.u32(0..1000) {
        0..460 if !cluster.network.is_empty() => {
            let wild = chance.u32(0..4) == 0;
            let at = if wild { chance.usize(..cluster.network.len()) } else { 0 };
            cluster.deliver(at);
        }
        0..700 => write_some(cluster, chance, id),
        700..800 => drop(cluster.apply(id)),
        800..890 => cluster.on(id, Raft::tick),
        890..950 => {
            let leader = cluster.leader().filter(|_| chance.bool()).unwrap_or(id);
            let _ = cluster.propose(leader, &format!("{step}"));
        }
        950..975 => drop(cluster.read(id)),
        975..982 => {
            let applied = cluster.members[&id].applied;
            cluster.compact(id, applied.saturating_sub(chance.u64(0..3)));
        }
        982..985 => {
            let to = any(cluster, chance);
            cluster.on(id, |raft| raft.transfer_leader(to));
        }
        985..988 => report(cluster, chance, id),
        _ if changes => propose_change(cluster, chance),
        _ => {}
    }
}

fn one_fault(cluster: &mut Cluster, chance: &mut Rng) {
    let id = any(cluster, chance);
    match chance.u32(0..20) {
        0..4 => {
            let kept = chance.usize(..cluster.members[&id].waiting.len() + 1);
            let applied = cluster.members[&id].applied.saturating_sub(chance.u64(0..4));
            cluster.crash(id, kept, applied);
        }
        4..8 if !cluster.network.is_empty() => {
            let at = chance.usize(..cluster.network.len());
            cluster.network.remove(at);
        }
        8..12 if !cluster.network.is_empty() => {
            let double = cluster.network[chance.usize(..cluster.network.len())].clone();
            cluster.network.push_back(double);
        }
        12 => cluster.isolate(id),
        13 => {
            let other = any(cluster, chance);
            cluster.cut.insert((id, other));
        }
        14..17 => cluster.heal(),
        17 => cluster.on(id, Raft::campaign),
        18 => cluster.on(id, Raft::forget_leader),
        _ => report(cluster, chance, id),
    }
}

fn report(cluster: &mut Cluster, chance: &mut Rng, id: MemberId) {
    let to = any(cluster, chance);
    let ok = chance.bool();
    cluster.on(id, |raft| raft.report_snapshot(to, ok));
    cluster.on(id, |raft| raft.report_unreachable(to));
}

/// The Log writes a few appends and acknowledges all of them, or only the last, and an old one again.
fn write_some(cluster: &mut Cluster, chance: &mut Rng, id: MemberId) {
    let mut marks = Vec::new();
    for _ in 0..chance.u32(1..4) {
        marks.extend(cluster.write(id));
    }
    if chance.bool() {
        marks.drain(..marks.len().saturating_sub(1));
    }
    for mark in &marks {
        cluster.on(id, |raft| raft.appended(*mark));
    }
    if let Some(first) = marks.first() {
        cluster.on(id, |raft| raft.appended(*first));
    }
}

fn propose_change(cluster: &mut Cluster, chance: &mut Rng) {
    let kinds =
        [ChangeKind::AddVoter, ChangeKind::AddVoter, ChangeKind::AddLearner, ChangeKind::Remove, ChangeKind::Update];
    let count = [1, 1, 2, 3][chance.usize(..4)];
    let changes = (0..count).map(|_| (kinds[chance.usize(..kinds.len())], any(cluster, chance))).collect();
    let transitions = [Transition::Auto, Transition::Auto, Transition::JointImplicit];
    let transition = transitions[chance.usize(..3)];
    let id = cluster.leader().unwrap_or(1);
    cluster.change(id, &ConfChange { transition, changes });
}

/// The protocol's own dead end, in etcd as well: voters left behind wait for the votes of members that have longer logs, while
/// those have already applied that they are voters no more and do not campaign.
fn nobody_could_win(cluster: &Cluster) -> bool {
    let last = |id: &MemberId| {
        let raft = &cluster.members[id].raft;
        let index = raft.status().last;
        (raft.term_of(index).unwrap(), index)
    };
    let could_win = |id: &MemberId| {
        let state = cluster.members[id].raft.conf_state();
        let wins = |voters: &[MemberId]| {
            let yes = voters.iter().filter(|voter| last(id) >= last(voter)).count();
            voters.is_empty() || yes > voters.len() / 2
        };
        let may = state.voters.contains(id) || state.voters_outgoing.contains(id);
        may && wins(&state.voters) && wins(&state.voters_outgoing)
    };
    !cluster.ids().iter().any(could_win)
}

fn comes_back_to_life(cluster: &mut Cluster) -> bool {
    cluster.heal();
    for round in 0..60 {
        for id in cluster.ids() {
            // Who sends snapshots always says how it ended.
            for to in cluster.ids() {
                cluster.on(id, |raft| raft.report_snapshot(to, false));
            }
        }
        cluster.settle();
        cluster.run(10);
        let Some(leader) = cluster.leader() else { continue };
        let _ = cluster.propose(leader, &format!("alive {round}"));
        let answer = cluster.read(leader);
        cluster.run(2);
        let status = cluster.status(leader);
        let state = cluster.members[&leader].raft.conf_state();
        let all_there =
            status.voters.iter().chain(&status.learners).all(|id| cluster.members[id].applied == status.last);
        let answered =
            answer.is_ok_and(|context| cluster.members[&leader].reads.iter().any(|read| read.context == context));
        if all_there && answered && state.voters_outgoing.is_empty() {
            return true;
        }
    }
    false
}

#[test]
fn three_members() {
    let seen = run(&Chaos { seeds: 0..150, steps: 4000, voters: 3, strangers: 0 });
    assert_eq!(seen.deadlocks, 0);
}

#[test]
fn five_members() {
    let seen = run(&Chaos { seeds: 1000..1080, steps: 6000, voters: 5, strangers: 0 });
    assert_eq!(seen.deadlocks, 0);
}

#[test]
fn members_come_and_go() {
    let seen = run(&Chaos { seeds: 2000..2150, steps: 5000, voters: 3, strangers: 2 });
    assert!(seen.changes > 150 * 5, "the configuration changes: {} times", seen.changes);
    assert!(seen.joint > 100, "some of it in joint steps: {}", seen.joint);
    assert!(seen.deadlocks < 5, "dead ends are rare: {}", seen.deadlocks);
}

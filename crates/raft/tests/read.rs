//! Stories of linearizable reads: an answer proves that the one who gave it led after the question.

mod cluster;

use bytes::Bytes;
use cluster::*;
use raft::MessageKind::*;
use raft::*;

fn answered(cluster: &Cluster, id: MemberId, context: &Bytes) -> Option<Index> {
    let read = cluster.members[&id].reads.iter().find(|read| read.context == *context);
    read.map(|read| read.index)
}

#[test]
fn leader_and_followers_read_what_is_committed() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.propose(1, "a").unwrap();
    cluster.settle();
    for id in cluster.ids() {
        let context = cluster.read(id).unwrap();
        assert_eq!(answered(&cluster, id, &context), None);
        cluster.settle();
        assert_eq!(answered(&cluster, id, &context), Some(5));
    }
}

#[test]
fn one_heartbeat_round_serves_all_that_wait() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.settle();
    let raft = &mut cluster.member(1).raft;
    for number in 0..100u64 {
        raft.read(Bytes::copy_from_slice(&number.to_be_bytes())).unwrap();
    }
    let mut out = Output::default();
    raft.take(&mut out);
    assert_eq!(out.messages.len(), 2);
    assert!(out.messages.iter().all(|m| m.kind == Heartbeat && m.context[..] == 100u64.to_le_bytes()));
    let answer = Message { context: out.messages[0].context.clone(), ..message(HeartbeatResp, 2, 1, 2) };
    raft.step(answer).unwrap();
    let mut out = Output::default();
    raft.take(&mut out);
    assert_eq!(out.reads.len(), 100);
}

#[test]
fn a_deposed_leader_answers_nothing() {
    let mut cluster = Cluster::with(3, |config| config.check_quorum = false);
    cluster.elect(1);
    cluster.isolate(1);
    cluster.run(40);
    let leader = cluster.leader().unwrap();
    assert_ne!(leader, 1);
    cluster.propose(leader, "new").unwrap();
    cluster.settle();
    let context = cluster.read(1).unwrap();
    cluster.run(5);
    assert_eq!(answered(&cluster, 1, &context), None);
    cluster.heal();
    cluster.run(5);
    assert_eq!(answered(&cluster, 1, &context), None, "the read is lost with the leadership");
}

/// etcd issue 20418: an answer to an earlier heartbeat arrives late, when another has become leader in between.
#[test]
fn a_late_answer_never_confirms_a_newer_read() {
    let mut cluster = Cluster::with(3, |config| config.check_quorum = false);
    cluster.elect(1);
    let first = cluster.read(1).unwrap();
    // The heartbeats arrive, the answers are delayed.
    let beats = cluster.network.len();
    for _ in 0..beats {
        cluster.deliver(0);
    }
    let late: Vec<Message> = cluster.network.drain(..).collect();
    assert!(late.iter().all(|m| m.kind == HeartbeatResp));
    // Another leader commits something.
    cluster.isolate(1);
    cluster.run(40);
    let leader = cluster.leader().unwrap();
    cluster.propose(leader, "new").unwrap();
    cluster.settle();
    // The old leader is asked again, then the late answers come (twice).
    let second = cluster.read(1).unwrap();
    cluster.network.clear();
    for answer in late.iter().chain(&late) {
        cluster.on(1, |raft| raft.step(answer.clone())).unwrap();
    }
    assert!(answered(&cluster, 1, &first).is_some(), "the first read was asked before the change of leader");
    assert_eq!(answered(&cluster, 1, &second), None);
}

#[test]
fn answers_of_another_term_confirm_nothing() {
    let mut raft = lone(1, 3, HardState { term: 1, ..HardState::default() }, &[1]);
    let lead = |raft: &mut Raft, term| {
        raft.campaign();
        raft.step(message(PreVoteResp, 2, 1, term)).unwrap();
        take_all(raft);
        raft.step(message(VoteResp, 2, 1, term)).unwrap();
        take_all(raft);
        let last = raft.status().last;
        raft.step(Message { index: last, ..message(AppResp, 2, 1, term) }).unwrap();
        take_all(raft);
        assert_eq!((raft.status().role, raft.status().commit), (Role::Leader, last));
    };
    lead(&mut raft, 2);
    raft.read(Bytes::from_static(b"one")).unwrap();
    let context = take_all(&mut raft)[0].context.clone();
    raft.step(message(Heartbeat, 3, 1, 3)).unwrap();
    take_all(&mut raft);
    lead(&mut raft, 4);
    raft.read(Bytes::from_static(b"two")).unwrap();
    assert_eq!(take_all(&mut raft)[0].context, context, "positions begin anew in each leadership");
    raft.step(Message { context: context.clone(), ..message(HeartbeatResp, 2, 1, 2) }).unwrap();
    let mut out = Output::default();
    raft.take(&mut out);
    assert!(out.reads.is_empty(), "the answer belongs to term 2");
    raft.step(Message { context, ..message(HeartbeatResp, 2, 1, 4) }).unwrap();
    raft.take(&mut out);
    assert_eq!(out.reads.len(), 1);
}

#[test]
fn a_new_leader_holds_reads_until_it_knows_what_is_committed() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.propose(1, "a").unwrap();
    cluster.settle();
    cluster.isolate(1);
    for id in [2, 3] {
        cluster.on(id, Raft::forget_leader);
        cluster.member(id).hold_log = true;
    }
    cluster.on(2, Raft::campaign);
    for _ in 0..20 {
        // Only the election's writes are let through.
        for id in [2, 3] {
            if cluster.status(2).role != Role::Leader {
                cluster.write_and_tell(id);
            }
        }
        cluster.settle();
    }
    assert_eq!(cluster.status(2).role, Role::Leader);
    let at_leader = cluster.read(2).unwrap();
    let at_follower = cluster.read(3).unwrap();
    cluster.run(3);
    assert_eq!(answered(&cluster, 2, &at_leader), None);
    for id in [2, 3] {
        cluster.member(id).hold_log = false;
    }
    cluster.settle();
    assert_eq!(answered(&cluster, 2, &at_leader), Some(cluster.status(2).last), "held back, not dropped");
    assert_eq!(answered(&cluster, 3, &at_follower), Some(cluster.status(2).last));
}

#[test]
fn a_single_voter_answers_alone_but_not_before_its_first_commit() {
    let mut cluster = Cluster::new(1);
    cluster.member(1).hold_log = true;
    cluster.on(1, Raft::campaign);
    cluster.write_and_tell(1);
    assert_eq!(cluster.status(1).role, Role::Leader);
    let early = cluster.read(1).unwrap();
    cluster.settle();
    // The commit on disk may be older than what was shown before a crash.
    assert_eq!(answered(&cluster, 1, &early), None);
    cluster.member(1).hold_log = false;
    cluster.settle();
    assert_eq!(answered(&cluster, 1, &early), Some(2));
    let context = cluster.read(1).unwrap();
    assert_eq!(answered(&cluster, 1, &context), Some(2));
}

#[test]
fn a_removed_leader_does_not_answer_for_the_only_voter_left() {
    let mut cluster = Cluster::new(2);
    cluster.elect(1);
    cluster.change(1, &ConfChange::simple(ChangeKind::Remove, 1));
    cluster.settle();
    assert_eq!(cluster.status(1).voters, [2]);
    cluster.isolate(1);
    if let Ok(context) = cluster.read(1) {
        cluster.run(3);
        assert_eq!(answered(&cluster, 1, &context), None);
    }
    assert_eq!(cluster.status(1).voters, [2]);
}

#[test]
fn reads_that_wait_for_a_removed_member_are_answered() {
    let mut cluster = Cluster::new(2);
    cluster.elect(1);
    cluster.change(1, &ConfChange::simple(ChangeKind::Remove, 2));
    // The change is committed by both; before it is applied, a read is asked for and its heartbeat is lost.
    cluster.member(1).hold_store = true;
    cluster.settle();
    let context = cluster.read(1).unwrap();
    cluster.network.clear();
    assert_eq!(answered(&cluster, 1, &context), None);
    cluster.member(1).hold_store = false;
    cluster.settle();
    assert_eq!(cluster.status(1).voters, [1]);
    assert!(answered(&cluster, 1, &context).is_some());
}

#[test]
fn a_learner_reads_through_the_leader() {
    let mut cluster = Cluster::new(3);
    cluster.add_empty(4);
    cluster.elect(1);
    cluster.change(1, &ConfChange::simple(ChangeKind::AddLearner, 4));
    cluster.settle();
    cluster.run(2);
    let context = cluster.read(4).unwrap();
    cluster.settle();
    assert_eq!(answered(&cluster, 4, &context), Some(cluster.status(1).commit));
}

#[test]
#[should_panic(expected = "never be used again")]
fn a_context_is_used_once() {
    let mut cluster = Cluster::new(1);
    cluster.elect(1);
    let raft = &mut cluster.member(1).raft;
    let _ = raft.read(Bytes::from_static(b"x"));
    let _ = raft.read(Bytes::from_static(b"x"));
}

#[test]
fn reads_handed_on_from_other_members_look_like_etcds() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    let context = cluster.read(2).unwrap();
    let asked = cluster.network[0].clone();
    assert_eq!((asked.kind, asked.from, asked.to, asked.term), (ReadIndex, 2, 1, 0));
    assert_eq!(asked.entries[0].data, context);
    cluster.deliver(0);
    let beat = cluster.network[0].clone();
    assert_eq!((beat.kind, &beat.context[..]), (Heartbeat, &1u64.to_le_bytes()[..]));
    cluster.settle();
    assert!(
        cluster.transcript.last().unwrap().starts_with("1->2 ReadIndexResp")
            || answered(&cluster, 2, &context).is_some()
    );
}

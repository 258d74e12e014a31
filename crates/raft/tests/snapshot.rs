//! Stories of members that lag behind the log's beginning.

mod cluster;

use cluster::*;
use raft::MessageKind::*;
use raft::*;

/// Member 3 misses `count` entries, and member 1, leading, has compacted them away.
fn left_behind(count: usize) -> Cluster {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.isolate(3);
    for number in 0..count {
        cluster.propose(1, &number.to_string()).unwrap();
        cluster.settle();
    }
    let applied = cluster.status(1).applied;
    cluster.compact(1, applied);
    assert_eq!(cluster.status(1).first, applied + 1);
    cluster
}

fn snapshot(index: Index, term: Term, voters: &[MemberId]) -> Snapshot {
    let conf_state = ConfState { voters: voters.to_vec(), ..ConfState::default() };
    Snapshot { meta: SnapshotMeta { index, term, conf_state }, ..Snapshot::default() }
}

fn snap(term: Term, snapshot: Snapshot) -> Message {
    Message { snapshot: Some(snapshot), ..message(Snap, 2, 1, term) }
}

#[test]
fn a_member_left_behind_gets_a_snapshot_and_then_the_rest() {
    let mut cluster = left_behind(5);
    cluster.propose(1, "after").unwrap();
    cluster.settle();
    cluster.heal();
    said(&mut cluster);
    cluster.run(2);
    let words = said(&mut cluster);
    assert_eq!(words.iter().filter(|line| line.contains(" Snap ")).count(), 1);
    assert_eq!(cluster.commands(3), ["0", "1", "2", "3", "4", "after"]);
    assert_eq!(cluster.status(1).peers[&3].stream, Stream::Replicate);
    assert_eq!(cluster.status(3).first, cluster.status(1).applied + 1, "its log begins after the snapshot");
}

#[test]
fn nothing_else_is_sent_while_a_snapshot_is_under_way() {
    let mut cluster = left_behind(5);
    cluster.cut.remove(&(3, 1));
    cluster.cut.remove(&(1, 3));
    cluster.tick();
    while cluster.network.iter().all(|m| m.kind != Snap) {
        cluster.deliver(0);
    }
    let at = cluster.network.iter().position(|m| m.kind == Snap).unwrap();
    cluster.network.remove(at);
    let pending = cluster.status(1).applied;
    assert_eq!(cluster.status(1).peers[&3].stream, Stream::Snapshot { pending });
    cluster.propose(1, "more").unwrap();
    cluster.run(5);
    assert!(cluster.commands(3).is_empty());
    // The driver says that it failed; another is sent after a heartbeat, not before.
    cluster.on(1, |raft| raft.report_snapshot(3, false));
    assert!(cluster.network.is_empty());
    assert_eq!(cluster.status(1).peers[&3].stream, Stream::Probe);
    cluster.run(2);
    assert_eq!(cluster.commands(3).last().unwrap(), "more");
}

#[test]
fn after_a_snapshot_was_sent_the_leader_probes_behind_it() {
    let mut cluster = left_behind(5);
    cluster.cut.remove(&(3, 1));
    cluster.cut.remove(&(1, 3));
    cluster.member(3).hold_log = true;
    cluster.run(2);
    cluster.on(1, |raft| raft.report_snapshot(3, true));
    let peer = cluster.status(1).peers[&3].clone();
    assert_eq!((peer.stream, peer.next, peer.paused), (Stream::Probe, cluster.status(1).applied + 1, true));
    cluster.member(3).hold_log = false;
    cluster.run(1);
    assert_eq!(cluster.commands(3).len(), 5);
}

#[test]
fn whoever_is_silent_gets_no_snapshot() {
    let mut cluster = left_behind(3);
    cluster.run(25);
    // What was sent ahead is lost, so that the leader would have to begin anew, behind the log's beginning.
    cluster.on(1, |raft| raft.report_unreachable(3));
    said(&mut cluster);
    cluster.propose(1, "a").unwrap();
    cluster.run(5);
    assert!(said(&mut cluster).iter().all(|line| !line.contains(" Snap ")));
}

#[test]
fn a_snapshot_is_installed_when_its_position_is_durable() {
    let mut raft = lone(1, 3, HardState { term: 1, ..HardState::default() }, &[1, 1]);
    raft.step(snap(2, snapshot(10, 2, &[1, 2, 3]))).unwrap();
    let status = raft.status();
    assert_eq!((status.commit, status.last, status.first, status.durable), (10, 10, 11, 0));
    let mut out = Output::default();
    raft.take(&mut out);
    assert!(out.restore.is_none() && out.committed.is_empty() && out.messages.is_empty());
    let append = out.appends.pop().unwrap();
    assert_eq!(append.snapshot.as_ref().unwrap().index, 10);
    assert!(append.must_sync && append.entries.is_empty());
    // Entries behind the snapshot may come before it is installed, but are not shown before.
    let more =
        Message { index: 10, log_term: 2, entries: vec![entry(11, 2, "a")], commit: 11, ..message(App, 2, 1, 2) };
    raft.step(more).unwrap();
    let mut out = Output::default();
    raft.take(&mut out);
    assert!(out.restore.is_none() && out.committed.is_empty());
    let second = out.appends.pop().unwrap();
    raft.campaign();
    assert_eq!(raft.status().role, Role::Follower, "not before the Store is there");
    raft.appended(append.mark);
    let mut out = Output::default();
    raft.take(&mut out);
    assert_eq!(out.restore.unwrap().meta.index, 10);
    assert_eq!((out.messages[0].kind, out.messages[0].index), (AppResp, 10));
    assert!(out.committed.is_empty());
    raft.appended(second.mark);
    let mut out = Output::default();
    raft.take(&mut out);
    assert_eq!(out.committed[0].index, 11);
    raft.applied(10);
    raft.campaign();
    assert_eq!(raft.status().role, Role::PreCandidate);
}

#[test]
fn entries_that_match_make_a_snapshot_needless() {
    let mut raft = lone(1, 3, HardState { term: 1, ..HardState::default() }, &[1, 1, 1]);
    raft.step(snap(1, snapshot(2, 1, &[1, 2, 3]))).unwrap();
    let answer = take_all(&mut raft).remove(0);
    assert_eq!((answer.kind, answer.index), (AppResp, 2));
    assert_eq!((raft.status().commit, raft.status().last, raft.status().first), (2, 3, 1));
}

#[test]
fn old_and_foreign_snapshots_are_answered_with_the_commit() {
    let mut raft = lone(1, 3, HardState { term: 1, vote: 0, commit: 2 }, &[1, 1, 1]);
    for ignored in [snapshot(1, 1, &[1, 2, 3]), snapshot(9, 1, &[2, 3])] {
        raft.step(snap(1, ignored)).unwrap();
        let answer = take_all(&mut raft).remove(0);
        assert_eq!((answer.kind, answer.index, answer.reject), (AppResp, 2, false));
        assert_eq!(raft.status().last, 3);
    }
}

#[test]
fn a_snapshot_replaces_a_log_that_went_another_way() {
    let mut raft = lone(1, 3, HardState { term: 2, vote: 0, commit: 1 }, &[1, 2, 2, 2]);
    take_all(&mut raft);
    raft.step(snap(3, snapshot(3, 3, &[1, 2, 4]))).unwrap();
    assert_eq!(raft.conf_state().voters, [1, 2, 4], "the configuration counts at once");
    let mut out = Output::default();
    raft.take(&mut out);
    raft.appended(out.appends[0].mark);
    let mut out = Output::default();
    raft.take(&mut out);
    assert_eq!(out.restore.unwrap().meta.index, 3);
    raft.applied(3);
    let status = raft.status();
    assert_eq!((status.first, status.last, status.durable, status.applied), (4, 3, 3, 3));
}

/// etcd issue 18055: two snapshots shortly after each other.
#[test]
fn a_second_snapshot_overtakes_the_first() {
    let mut raft = lone(1, 3, HardState { term: 1, ..HardState::default() }, &[1]);
    raft.step(snap(1, snapshot(10, 1, &[1, 2, 3]))).unwrap();
    let mut first = Output::default();
    raft.take(&mut first);
    raft.step(snap(1, snapshot(20, 1, &[1, 2]))).unwrap();
    let mut second = Output::default();
    raft.take(&mut second);
    raft.appended(first.appends[0].mark);
    let mut out = Output::default();
    raft.take(&mut out);
    assert!(out.restore.is_none(), "the first one is no longer wanted");
    raft.appended(second.appends[0].mark);
    let mut out = Output::default();
    raft.take(&mut out);
    assert_eq!(out.restore.unwrap().meta.index, 20);
    raft.applied(20);
    assert_eq!((raft.status().applied, raft.conf_state().voters), (20, vec![1, 2]));
}

#[test]
fn a_write_from_before_a_snapshot_makes_nothing_durable_behind_it() {
    let mut raft = lone(1, 3, HardState { term: 1, ..HardState::default() }, &[1]);
    let entries = (2..=12).map(|index| entry(index, 1, "old")).collect();
    raft.step(Message { index: 1, log_term: 1, entries, ..message(App, 2, 1, 1) }).unwrap();
    let mut before = Output::default();
    raft.take(&mut before);
    raft.step(snap(2, snapshot(10, 2, &[1, 2, 3]))).unwrap();
    raft.appended(before.appends[0].mark);
    assert_eq!(raft.status().durable, 0);
    let mut out = Output::default();
    raft.take(&mut out);
    raft.appended(out.appends[0].mark);
    assert_eq!(raft.status().durable, 10);
}

#[test]
fn changes_from_before_a_snapshot_do_not_touch_its_configuration() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.member(3).hold_store = true;
    cluster.change(1, &ConfChange::simple(ChangeKind::AddLearner, 7));
    cluster.settle();
    assert!(cluster.status(3).handed > cluster.status(3).applied);
    cluster.isolate(3);
    cluster.change(1, &ConfChange::simple(ChangeKind::Remove, 7));
    cluster.settle();
    let applied = cluster.status(1).applied;
    cluster.compact(1, applied);
    cluster.heal();
    cluster.run(2);
    assert!(cluster.status(3).learners.is_empty(), "the snapshot says so");
    cluster.apply(3);
    assert!(cluster.status(3).learners.is_empty(), "and an older change, applied later, says nothing");
    cluster.member(3).hold_store = false;
    cluster.run(2);
    assert_eq!(cluster.members[&3].raft.conf_state(), cluster.members[&1].raft.conf_state());
}

//! Stories of slow disks: what counts before it is durable, what does not, and what survives a crash.

mod cluster;

use cluster::*;
use raft::MessageKind::*;
use raft::*;

fn take(raft: &mut Raft) -> Output {
    let mut out = Output::default();
    raft.take(&mut out);
    out
}

/// A follower of term `term` that hears these entries after `(index, log_term)`.
fn append(from: MemberId, term: Term, index: Index, log_term: Term, entries: Vec<Entry>) -> Message {
    Message { index, log_term, entries, ..message(App, from, 1, term) }
}

#[test]
fn the_leader_sends_and_writes_at_once() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.member(1).hold_log = true;
    cluster.propose(1, "a").unwrap();
    assert_eq!(cluster.members[&1].waiting.len(), 1);
    assert_eq!(cluster.network.iter().filter(|m| m.kind == App && m.entries.len() == 1).count(), 2);
}

#[test]
fn a_quorum_of_others_commits_but_nobody_shows_what_its_own_disk_lacks() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.member(1).hold_log = true;
    cluster.propose(1, "a").unwrap();
    cluster.settle();
    let status = cluster.status(1);
    assert_eq!(status.commit, status.last, "two followers are a quorum");
    assert!(status.durable < status.last);
    assert_eq!(cluster.commands(2), ["a"]);
    assert!(cluster.commands(1).is_empty());
    cluster.member(1).hold_log = false;
    cluster.settle();
    assert_eq!(cluster.commands(1), ["a"]);
}

#[test]
fn the_leaders_own_copy_counts_when_it_is_durable() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.isolate(3);
    cluster.member(1).hold_log = true;
    cluster.propose(1, "a").unwrap();
    cluster.settle();
    assert_eq!(cluster.status(1).commit, cluster.status(1).last - 1, "one follower and no own copy");
    cluster.member(1).hold_log = false;
    cluster.settle();
    assert_eq!(cluster.commands(2), ["a"]);
}

#[test]
fn acknowledgements_wait_for_the_write_that_holds_their_entries() {
    let mut raft = lone(1, 3, HardState { term: 1, ..HardState::default() }, &[1]);
    raft.step(append(2, 1, 1, 1, vec![entry(2, 1, "a")])).unwrap();
    let first = take(&mut raft);
    assert!(first.messages.is_empty() && first.appends[0].must_sync);
    raft.step(append(2, 1, 2, 1, vec![entry(3, 1, "b")])).unwrap();
    let second = take(&mut raft);
    // The same entries again: nothing to write, but still nothing to say before the write under way is done.
    raft.step(append(2, 1, 2, 1, vec![entry(3, 1, "b")])).unwrap();
    assert!(!raft.has_work() || take(&mut raft).is_empty());
    raft.appended(first.appends[0].mark);
    let messages = take(&mut raft).messages;
    assert_eq!(messages.iter().map(|m| m.index).collect::<Vec<_>>(), [2]);
    raft.appended(second.appends[0].mark);
    let messages = take(&mut raft).messages;
    assert_eq!(messages.iter().map(|m| m.index).collect::<Vec<_>>(), [3, 3]);
    // With no write under way an answer leaves at once.
    raft.step(append(2, 1, 2, 1, vec![])).unwrap();
    assert_eq!(take(&mut raft).messages.len(), 1);
}

#[test]
fn marks_may_be_skipped_repeated_and_late() {
    let mut raft = lone(1, 3, HardState { term: 1, ..HardState::default() }, &[1]);
    let mut marks = Vec::new();
    for index in 2..6 {
        raft.step(append(2, 1, index - 1, 1, vec![entry(index, 1, "a")])).unwrap();
        marks.push(take(&mut raft).appends[0].mark);
    }
    raft.appended(marks[2]);
    assert_eq!(raft.status().durable, 4);
    assert_eq!(take(&mut raft).messages.len(), 3);
    raft.appended(marks[0]);
    raft.appended(marks[2]);
    assert_eq!((raft.status().durable, raft.has_work()), (4, false));
    raft.appended(marks[3]);
    assert_eq!(raft.status().durable, 5);
}

#[test]
#[should_panic(expected = "never given")]
fn a_mark_that_was_never_given_is_noticed() {
    let mut raft = lone(1, 3, HardState::default(), &[]);
    raft.appended(AppendMark { sequence: 1, index: 0, term: 0 });
}

/// The ABA story of etcd's raft: the same entries written, overwritten and written again, while all three writes are
/// under way. The first "done" must not make them durable, for the second write will still remove them.
#[test]
fn entries_replaced_and_brought_back_are_durable_only_after_the_last_write() {
    let mut raft = lone(1, 5, HardState { term: 1, ..HardState::default() }, &[1]);
    let ours = vec![entry(2, 1, "a"), entry(3, 1, "b")];
    raft.step(append(2, 1, 1, 1, ours.clone())).unwrap();
    let first = take(&mut raft).appends[0].mark;
    raft.step(append(3, 2, 1, 1, vec![entry(2, 2, "x"), entry(3, 2, "y")])).unwrap();
    let second = take(&mut raft);
    assert_eq!(second.appends[0].entries[0].index, 2);
    let again = Message { commit: 3, ..append(2, 3, 1, 1, ours) };
    raft.step(again).unwrap();
    let out = take(&mut raft);
    assert_eq!(out.committed.last().map(|e| e.index), Some(1), "what a write under way may remove is not shown");
    let third = out.appends[0].mark;
    assert_eq!(raft.term_of(3), Some(1));
    raft.appended(first);
    assert_eq!(raft.status().durable, 1);
    assert!(take(&mut raft).committed.is_empty());
    raft.appended(second.appends[0].mark);
    assert_eq!(raft.status().durable, 1);
    raft.appended(third);
    assert_eq!(raft.status().durable, 3);
    assert_eq!(take(&mut raft).committed.len(), 2);
}

#[test]
fn a_commit_alone_is_written_without_sync_and_holds_nothing_back() {
    let mut raft = lone(1, 3, HardState { term: 1, ..HardState::default() }, &[1, 1]);
    let beat = Message { commit: 2, ..message(Heartbeat, 2, 1, 1) };
    raft.step(beat).unwrap();
    raft.step(append(2, 1, 2, 1, vec![])).unwrap();
    let out = take(&mut raft);
    assert_eq!(out.appends.len(), 1);
    assert!(!out.appends[0].must_sync && out.appends[0].entries.is_empty());
    assert_eq!(out.appends[0].hard_state.unwrap().commit, 2);
    assert_eq!(out.messages.len(), 2, "neither the heartbeat's answer nor the acknowledgement waits");
    assert_eq!(out.committed.len(), 2);
}

#[test]
fn a_crash_keeps_what_was_acknowledged() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.propose(1, "kept").unwrap();
    cluster.settle();
    cluster.member(2).hold_log = true;
    cluster.member(3).hold_log = true;
    cluster.propose(1, "lost").unwrap();
    cluster.settle();
    let status = cluster.status(1);
    assert_eq!(status.commit, status.last - 1);
    for id in [1, 2, 3] {
        cluster.member(id).hold_log = false;
        let applied = cluster.members[&id].applied;
        cluster.crash(id, 0, applied);
    }
    cluster.cut.insert((1, 2));
    cluster.cut.insert((1, 3));
    cluster.run(30);
    cluster.heal();
    cluster.run(30);
    assert_eq!(cluster.commands(2), ["kept", "lost"].into_iter().take(cluster.commands(2).len()).collect::<Vec<_>>());
    for id in [1, 2, 3] {
        assert!(cluster.commands(id).starts_with(&["kept".to_string()]));
        assert_eq!(cluster.commands(id), cluster.commands(1));
    }
}

#[test]
fn a_restart_takes_the_highest_of_what_the_disk_says() {
    // The commit was not synced, but the Store has applied: it was committed.
    let hard_state = HardState { term: 2, vote: 3, commit: 1 };
    let conf_state = ConfState { voters: vec![1, 2, 3], ..ConfState::default() };
    let entries = vec![entry(5, 1, "a"), entry(6, 2, "b"), entry(7, 2, "c")];
    let snapshot = SnapshotMeta { index: 4, term: 1, conf_state };
    let restored = Restored { hard_state, snapshot, entries, applied: 6 };
    let mut raft = Raft::new(config(1), restored.clone());
    let status = raft.status();
    assert_eq!((status.commit, status.applied, status.handed, status.durable), (6, 6, 6, 7));
    assert_eq!((status.term, status.vote, status.first, status.last), (2, 3, 5, 7));
    let out = take(&mut raft);
    assert!(out.committed.is_empty());
    assert_eq!(out.appends[0].hard_state, Some(HardState { term: 2, vote: 3, commit: 6 }));
    // The write of term 2 was torn: entries are there, the hard state is not. No vote of term 2 can have been spoken.
    let torn = Restored { hard_state: HardState { term: 1, vote: 2, commit: 4 }, ..restored };
    let raft = Raft::new(config(1), torn);
    assert_eq!((raft.status().term, raft.status().vote), (2, 0));
}

#[test]
#[should_panic(expected = "committed up to 9, but the log ends at 1")]
fn a_lost_log_is_noticed_at_birth() {
    lone(1, 3, HardState { term: 1, vote: 0, commit: 9 }, &[1]);
}

/// A leader that counts on entries which are not here: perhaps this disk has lost them. Nothing of it is followed, and until
/// they are back this member decides nothing.
#[test]
fn a_lost_log_is_noticed_by_the_leaders_commit() {
    let mut raft = lone(1, 3, HardState { term: 1, ..HardState::default() }, &[1]);
    let lost = Contradiction::CommitBeyondLog { commit: 3, last: 1 };
    let heartbeat = Message { commit: 3, ..message(Heartbeat, 2, 1, 1) };
    assert_eq!(raft.step(heartbeat.clone()), Err(Refused::Contradiction(lost)));
    let words = Refused::Contradiction(lost).to_string();
    assert!(words.contains("the log ends at 1: was it lost or damaged?"), "{words}");
    assert_eq!((raft.status().commit, raft.status().leader), (0, 0));
    for _ in 0..50 {
        raft.tick();
    }
    raft.campaign();
    assert_eq!(raft.status().role, Role::Follower, "it does not campaign");
    take_all(&mut raft);
    raft.step(Message { log_term: 1, index: 1, ..message(Vote, 3, 1, 2) }).unwrap();
    assert!(take_all(&mut raft).pop().unwrap().reject, "it does not vote");
    // The entries come back, and with them the trust.
    raft.step(append(3, 3, 1, 1, vec![entry(2, 1, "x"), entry(3, 1, "x")])).unwrap();
    take_all(&mut raft);
    raft.step(Message { commit: 3, ..message(Heartbeat, 3, 1, 3) }).unwrap();
    take_all(&mut raft);
    assert_eq!(raft.status().commit, 3);
    raft.step(Message {
        log_term: 1,
        index: 3,
        context: bytes::Bytes::from_static(CAMPAIGN_TRANSFER),
        ..message(Vote, 2, 1, 4)
    })
    .unwrap();
    assert!(!take_all(&mut raft).pop().unwrap().reject, "it votes again");
}

#[test]
fn a_stranger_cannot_raise_that_doubt() {
    let mut raft = lone(1, 3, HardState { term: 1, ..HardState::default() }, &[1]);
    assert!(raft.step(Message { commit: 3, ..message(Heartbeat, 9, 1, 1) }).is_err());
    raft.campaign();
    assert_eq!(raft.status().role, Role::PreCandidate);
}

#[test]
fn a_committed_entry_is_never_replaced() {
    let mut raft = lone(1, 3, HardState { term: 1, vote: 0, commit: 3 }, &[1, 1, 1]);
    let replaced = |index| Err(Refused::Contradiction(Contradiction::CommittedReplaced { index, commit: 3 }));
    let fork = append(2, 6, 1, 1, vec![entry(2, 6, "x"), entry(3, 6, "y"), entry(4, 6, "z")]);
    assert_eq!(raft.step(fork), replaced(2));
    assert_eq!(raft.step(append(2, 6, 3, 6, vec![entry(4, 6, "z")])), replaced(3));
    let snapshot = |index, term| {
        let conf_state = ConfState { voters: vec![1, 2, 3], ..ConfState::default() };
        let meta = SnapshotMeta { index, term, conf_state };
        Message { snapshot: Some(Snapshot { meta, ..Snapshot::default() }), ..message(Snap, 2, 1, 6) }
    };
    assert_eq!(raft.step(snapshot(3, 6)), replaced(3));
    assert_eq!((raft.status().term, raft.status().last), (1, 3), "nothing has changed");
    assert!(take_all(&mut raft).is_empty());
    let mut later = lone(1, 3, HardState { term: 5, vote: 0, commit: 2 }, &[1, 5]);
    let falls = Contradiction::CommittedReplaced { index: 9, commit: 2 };
    assert_eq!(later.step(snapshot(9, 4)), Err(Refused::Contradiction(falls)), "terms never fall along a log");
    // What is said twice is answered with what is committed, as ever.
    raft.step(append(2, 6, 1, 1, vec![entry(2, 1, "x")])).unwrap();
    let answer = take_all(&mut raft).pop().unwrap();
    assert_eq!((answer.kind, answer.index, answer.reject), (AppResp, 3, false), "the answer is what is committed");
}

#[test]
fn a_second_leader_in_a_term_is_refused() {
    let mut raft = lone(1, 3, HardState { term: 2, ..HardState::default() }, &[1]);
    raft.step(message(Heartbeat, 2, 1, 2)).unwrap();
    let two = Contradiction::TwoLeaders { known: 2, term: 2 };
    assert_eq!(raft.step(append(3, 2, 1, 1, vec![])), Err(Refused::Contradiction(two)));
    assert_eq!(raft.status().leader, 2);
    raft.step(message(Heartbeat, 3, 1, 3)).unwrap();
    assert_eq!(raft.status().leader, 3, "a later term is another matter");
}

/// A configuration that could not come out of any change would break the next one.
#[test]
fn a_snapshot_with_an_impossible_configuration_is_refused() {
    let mut raft = lone(1, 3, HardState { term: 1, ..HardState::default() }, &[1]);
    let good = ConfState { voters: vec![1, 2, 3], learners: vec![4], ..ConfState::default() };
    let with = |change: fn(&mut ConfState)| {
        let mut conf_state = good.clone();
        change(&mut conf_state);
        let meta = SnapshotMeta { index: 9, term: 1, conf_state };
        Message { snapshot: Some(Snapshot { meta, ..Snapshot::default() }), ..message(Snap, 2, 1, 1) }
    };
    for bad in [
        with(|state| state.voters.clear()),
        with(|state| state.learners.push(2)),
        with(|state| state.voters.push(0)),
        with(|state| state.learners_next.push(5)),
        with(|state| state.auto_leave = true),
    ] {
        assert_eq!(raft.step(bad.clone()), Err(Refused::Malformed), "{bad:?}");
    }
    raft.step(with(|_| {})).unwrap();
    assert_eq!(raft.status().commit, 9);
}

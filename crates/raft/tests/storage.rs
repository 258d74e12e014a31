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

#[test]
#[should_panic(expected = "was it lost or damaged?")]
fn a_lost_log_is_noticed_by_the_leaders_commit() {
    let mut raft = lone(1, 3, HardState { term: 1, ..HardState::default() }, &[1]);
    let _ = raft.step(Message { commit: 5, ..message(Heartbeat, 2, 1, 1) });
}

#[test]
fn a_committed_entry_is_never_replaced() {
    let mut raft = lone(1, 3, HardState { term: 1, vote: 0, commit: 3 }, &[1, 1, 1]);
    let fork = append(2, 6, 1, 1, vec![entry(2, 6, "x"), entry(3, 6, "y"), entry(4, 6, "z")]);
    raft.step(fork).unwrap();
    let answer = take_all(&mut raft).pop().unwrap();
    assert_eq!((answer.kind, answer.index, answer.reject), (AppResp, 3, false), "the answer is what is committed");
    assert_eq!((raft.term_of(2), raft.status().last), (Some(1), 3));
}

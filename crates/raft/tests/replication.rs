//! Stories of entries on their way: order, limits, differing logs, and when something is committed.

mod cluster;

use bytes::Bytes;
use cluster::*;
use raft::MessageKind::*;
use raft::*;

/// Member 1 of `size`, leading term 2 after a log with these terms; its peers have said nothing yet.
fn leading(size: u64, terms: &[Term], adjust: impl Fn(&mut Config)) -> Raft {
    let mut config = Config { pre_vote: false, ..config(1) };
    adjust(&mut config);
    let conf_state = ConfState { voters: (1..=size).collect(), ..ConfState::default() };
    let entries = terms.iter().zip(1..).map(|(term, index)| entry(index, *term, "x")).collect();
    let snapshot = SnapshotMeta { index: 0, term: 0, conf_state };
    let term = terms.last().copied().unwrap_or(1);
    let hard_state = HardState { term, vote: 0, commit: 0 };
    let mut raft = Raft::new(config, Restored { hard_state, snapshot, entries, applied: 0 });
    raft.campaign();
    take_all(&mut raft);
    for from in 2..=size {
        let _ = raft.step(message(VoteResp, from, 1, term + 1));
    }
    assert_eq!(raft.status().role, Role::Leader);
    raft
}

fn ack(from: MemberId, term: Term, index: Index) -> Message {
    Message { index, ..message(AppResp, from, 1, term) }
}

fn data(text: &'static str) -> Vec<Bytes> {
    vec![Bytes::from_static(text.as_bytes())]
}

#[test]
fn everyone_applies_the_same_in_the_same_order() {
    let mut cluster = Cluster::new(3);
    cluster.elect(2);
    for word in ["a", "b", "c"] {
        cluster.propose(2, word).unwrap();
    }
    // A follower hands proposals on to the leader.
    cluster.propose(3, "d").unwrap();
    cluster.settle();
    for id in cluster.ids() {
        assert_eq!(cluster.commands(id), ["a", "b", "c", "d"]);
    }
}

#[test]
fn without_a_leader_nothing_is_proposed() {
    let mut cluster = Cluster::new(3);
    assert_eq!(cluster.propose(1, "a"), Err(ProposeError::NoLeader));
    assert_eq!(cluster.on(1, |raft| raft.read(Bytes::from_static(b"r"))), Err(ProposeError::NoLeader));
}

#[test]
fn a_replication_round_in_messages() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    said(&mut cluster);
    cluster.propose(1, "a").unwrap();
    cluster.settle();
    let expected = [
        "1->2 App term=2 log=2/4 commit=4 entries=[2/5]",
        "1->3 App term=2 log=2/4 commit=4 entries=[2/5]",
        "2->1 AppResp term=2 log=0/5",
        "3->1 AppResp term=2 log=0/5",
        "1->2 App term=2 log=2/5 commit=5",
        "1->3 App term=2 log=2/5 commit=5",
        "2->1 AppResp term=2 log=0/5",
        "3->1 AppResp term=2 log=0/5",
    ];
    assert_eq!(said(&mut cluster), expected);
}

#[test]
fn what_was_proposed_between_two_outputs_travels_together() {
    let mut raft = leading(3, &[1], |_| {});
    take_all(&mut raft);
    raft.step(ack(2, 2, 2)).unwrap();
    raft.step(ack(3, 2, 2)).unwrap();
    take_all(&mut raft);
    for _ in 0..100 {
        raft.propose(data("a")).unwrap();
    }
    let mut out = Output::default();
    raft.take(&mut out);
    assert_eq!(out.messages.len(), 2);
    assert!(out.messages.iter().all(|m| m.entries.len() == 100));
    assert_eq!(out.appends.len(), 1);
}

#[test]
fn messages_are_bounded_in_bytes_and_number() {
    let one = entry(3, 2, "0123456789").encoded_len();
    let mut raft = leading(3, &[1], |config| {
        config.message_bytes_max = 2 * one;
        config.inflight_messages_max = 3;
        config.inflight_bytes_max = 1 << 20;
    });
    take_all(&mut raft);
    raft.step(ack(2, 2, 2)).unwrap();
    take_all(&mut raft);
    raft.propose((0..20).map(|_| Bytes::from_static(b"0123456789")).collect()).unwrap();
    let to_two = |messages: Vec<Message>| -> Vec<usize> {
        messages.iter().filter(|m| m.to == 2 && m.kind == App).map(|m| m.entries.len()).collect()
    };
    assert_eq!(to_two(take_all(&mut raft)), [2, 2, 2], "three messages of two entries");
    let peer = raft.status().peers[&2].clone();
    assert_eq!((peer.inflight_messages, peer.inflight_bytes, peer.paused, peer.next), (3, 60, true, 9));
    // An acknowledgement in the middle of the second message frees the first.
    raft.step(ack(2, 2, 5)).unwrap();
    assert_eq!(to_two(take_all(&mut raft)), [2]);
    // All of it lost: a heartbeat's answer lets one empty message through, whose answer will tell.
    raft.step(message(HeartbeatResp, 2, 1, 2)).unwrap();
    assert_eq!(to_two(take_all(&mut raft)), [0]);
}

#[test]
fn in_flight_bytes_are_bounded() {
    let mut raft = leading(3, &[1], |config| {
        config.message_bytes_max = 1;
        config.inflight_bytes_max = 25;
    });
    take_all(&mut raft);
    raft.step(ack(2, 2, 2)).unwrap();
    take_all(&mut raft);
    raft.propose((0..20).map(|_| Bytes::from_static(b"0123456789")).collect()).unwrap();
    let sent = take_all(&mut raft).iter().filter(|m| m.to == 2).count();
    assert_eq!(sent, 3, "the message that reaches the limit still goes");
}

#[test]
fn a_probe_is_sent_once_a_heartbeat() {
    let mut raft = leading(3, &[1], |_| {});
    let sent = take_all(&mut raft);
    assert_eq!(sent.iter().filter(|m| m.kind == App).count(), 2);
    raft.propose(data("a")).unwrap();
    assert_eq!(take_all(&mut raft), [], "both peers are being probed");
    raft.step(message(HeartbeatResp, 2, 1, 2)).unwrap();
    let again = take_all(&mut raft);
    assert_eq!(again.len(), 1);
    assert_eq!((again[0].to, again[0].index, again[0].entries.len()), (2, 1, 2));
}

/// Lets a leader and a follower with these logs talk until they agree. Returns how many append messages it took.
fn rounds_to_agree(leader: &[Term], follower: &[Term]) -> usize {
    let mut raft = leading(3, leader, |_| {});
    let mut message = take_all(&mut raft).into_iter().find(|m| m.to == 2).unwrap();
    assert_eq!(message.index, leader.len() as u64);
    let hard_state = HardState { term: *follower.last().unwrap(), ..HardState::default() };
    let mut follower = lone(2, 3, hard_state, follower);
    let mut rounds = 0;
    while rounds < 10 {
        rounds += 1;
        follower.step(message).unwrap();
        let answer = take_all(&mut follower).into_iter().find(|m| m.kind == AppResp).unwrap();
        let done = !answer.reject;
        raft.step(answer).unwrap();
        if done {
            break;
        }
        message = take_all(&mut raft).into_iter().find(|m| m.to == 2).unwrap();
    }
    let last = raft.status().last;
    assert_eq!(follower.status().last, last);
    assert!((1..=last).all(|index| follower.term_of(index) == raft.term_of(index)));
    rounds
}

/// The examples of etcd's `stepLeader`.
#[test]
fn differing_logs_meet_in_few_probes() {
    assert_eq!(rounds_to_agree(&[1, 3, 3, 3, 3, 3, 3, 3, 7], &[1, 3, 3, 4, 4, 5, 5, 5, 6]), 3, "the follower skips");
    assert_eq!(rounds_to_agree(&[1, 3, 3, 3, 5, 5, 5, 5, 5], &[1, 1, 1, 1, 2, 2]), 2, "the leader skips");
    assert_eq!(rounds_to_agree(&[1, 1, 1, 1, 1, 1, 1, 1], &[1, 1]), 2, "a log that is only short");
    assert_eq!(rounds_to_agree(&[1, 1, 1], &[1, 1, 1]), 1);
}

#[test]
fn stale_rejections_change_nothing() {
    let mut raft = leading(3, &[1, 1, 1], |_| {});
    take_all(&mut raft);
    raft.step(ack(2, 2, 4)).unwrap();
    take_all(&mut raft);
    let late = Message { reject: true, reject_hint: 1, log_term: 1, ..ack(2, 2, 3) };
    raft.step(late).unwrap();
    let peer = &raft.status().peers[&2];
    assert_eq!((peer.matched, peer.next, peer.stream), (4, 5, Stream::Replicate));
}

#[test]
fn a_lost_message_is_sent_again() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.isolate(3);
    for number in 0..20 {
        cluster.propose(1, &number.to_string()).unwrap();
        cluster.settle();
    }
    cluster.on(1, |raft| raft.report_unreachable(3));
    assert_eq!(cluster.status(1).peers[&3].stream, Stream::Probe);
    cluster.heal();
    cluster.run(3);
    assert_eq!(cluster.commands(3).len(), 20);
    assert_eq!(cluster.status(1).peers[&3].stream, Stream::Replicate);
}

/// Figure 8 of the raft paper: an entry of an older term, held by a majority, is not committed by counting.
#[test]
fn only_entries_of_the_leaders_own_term_are_counted() {
    let mut raft = leading(3, &[1, 2], |_| {});
    take_all(&mut raft);
    assert_eq!(raft.status().term, 3);
    raft.step(ack(2, 3, 2)).unwrap();
    take_all(&mut raft);
    assert_eq!(raft.status().commit, 0, "entry 2 is on a majority, but of term 2");
    raft.step(ack(2, 3, 3)).unwrap();
    assert_eq!(raft.status().commit, 3, "with the leader's first entry all before it are committed");
}

#[test]
fn a_follower_commits_what_it_surely_shares() {
    let mut raft = lone(1, 3, HardState { term: 1, ..HardState::default() }, &[1, 1, 1]);
    let probe = Message { index: 1, log_term: 1, commit: 3, ..message(App, 2, 1, 1) };
    raft.step(probe).unwrap();
    assert_eq!(raft.status().commit, 1, "entries 2 and 3 may be others than the leader's");
    raft.step(Message { commit: 2, ..message(Heartbeat, 2, 1, 1) }).unwrap();
    assert_eq!(raft.status().commit, 2);
    raft.step(Message { commit: 1, ..message(Heartbeat, 2, 1, 1) }).unwrap();
    assert_eq!(raft.status().commit, 2, "never backwards");
}

#[test]
fn heartbeats_tell_of_the_commit_no_more_than_the_peer_has() {
    let mut raft = leading(3, &[1], |_| {});
    take_all(&mut raft);
    raft.step(ack(2, 2, 2)).unwrap();
    assert_eq!(raft.status().commit, 2);
    take_all(&mut raft);
    raft.tick();
    let beats = take_all(&mut raft);
    let commits: Vec<(MemberId, Index)> = beats.iter().map(|m| (m.to, m.commit)).collect();
    assert_eq!(commits, [(2, 2), (3, 0)]);
}

#[test]
fn too_much_uncommitted_is_turned_back() {
    let mut raft = leading(3, &[1], |config| config.uncommitted_bytes_max = 10);
    take_all(&mut raft);
    raft.propose(data("more than the limit passes when nothing waits")).unwrap();
    let full = Err(ProposeError::Dropped(DropReason::TooMuchUncommitted));
    assert_eq!(raft.propose(data("a")), full);
    assert_eq!(raft.propose(data("")), Ok(()), "empty entries always pass");
    take_all(&mut raft);
    raft.step(ack(2, 2, 4)).unwrap();
    assert_eq!(raft.propose(data("a")), full, "committed is not applied");
    take_all(&mut raft);
    assert_eq!(raft.propose(data("a")), Ok(()));
}

#[test]
fn messages_that_contradict_themselves_are_refused() {
    let mut raft = leading(3, &[1], |_| {});
    take_all(&mut raft);
    let before = raft.status();
    let good = Message { entries: vec![entry(3, 2, "a")], index: 2, log_term: 2, ..message(App, 2, 1, 9) };
    let with = |act: fn(&mut Message)| {
        let mut bad = good.clone();
        act(&mut bad);
        bad
    };
    let cases = [
        (message(Hup, 2, 1, 0), Refused::LocalOnly),
        (message(ForgetLeader, 2, 1, 0), Refused::LocalOnly),
        (message(StorageAppendResp, 2, 1, 2), Refused::LocalOnly),
        (message(AppResp, 9, 1, 2), Refused::UnknownPeer),
        (message(VoteResp, 9, 1, 20), Refused::UnknownPeer),
        (Message { entries: vec![entry(0, 0, "a")], ..message(Prop, 9, 1, 0) }, Refused::UnknownPeer),
        (Message { entries: vec![entry(0, 0, "r")], ..message(ReadIndex, 9, 1, 0) }, Refused::UnknownPeer),
        (message(Heartbeat, 2, 3, 2), Refused::BadAddress),
        (message(Heartbeat, 1, 1, 2), Refused::BadAddress),
        (message(Heartbeat, 0, 1, 2), Refused::BadAddress),
        (message(Heartbeat, 2, 1, 0), Refused::Malformed),
        (message(Heartbeat, 2, 1, (1 << 62) + 1), Refused::Malformed),
        (message(Prop, 2, 1, 0), Refused::Malformed),
        (message(ReadIndex, 2, 1, 0), Refused::Malformed),
        (message(Snap, 2, 1, 9), Refused::Malformed),
        (ack(2, 2, 99), Refused::Contradiction(Contradiction::AckBeyondLog { index: 99, last: 2 })),
        (with(|m| m.entries[0].index = 5), Refused::Malformed),
        (with(|m| m.entries[0].term = 10), Refused::Malformed),
        (with(|m| m.entries[0].term = 1), Refused::Malformed),
        (with(|m| (m.index, m.entries[0].index) = (u64::MAX, 0)), Refused::Malformed),
    ];
    for (bad, reason) in cases {
        assert_eq!(raft.step(bad.clone()), Err(reason), "{bad:?}");
    }
    let mut after = raft.status();
    after.peers.get_mut(&2).unwrap().recent_active = before.peers[&2].recent_active;
    assert_eq!(after, before);
    assert!(!raft.has_work());
}

#[test]
fn learners_receive_everything_and_count_for_nothing() {
    let mut cluster = Cluster::new(3);
    cluster.add_empty(4);
    cluster.elect(1);
    cluster.change(1, &ConfChange::simple(ChangeKind::AddLearner, 4));
    cluster.settle();
    cluster.run(2);
    cluster.propose(1, "a").unwrap();
    cluster.settle();
    assert_eq!(cluster.commands(4), ["a"]);
    cluster.isolate(2);
    cluster.isolate(3);
    cluster.propose(1, "b").unwrap();
    cluster.settle();
    assert_eq!(cluster.commands(4), ["a"]);
    let status = cluster.status(1);
    assert_eq!(status.peers[&4].matched, status.last);
    assert!(status.commit < status.last, "one voter and one learner are no quorum");
}

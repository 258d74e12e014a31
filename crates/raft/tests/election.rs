//! Stories of elections: who may win, who must not disturb, and when a vote may be spoken.

mod cluster;

use cluster::*;
use raft::MessageKind::*;
use raft::*;

fn at_term(term: Term) -> HardState {
    HardState { term, vote: 0, commit: 0 }
}

#[test]
fn time_brings_a_leader() {
    let mut cluster = Cluster::new(3);
    assert_eq!(cluster.leader(), None);
    cluster.run(25);
    let leader = cluster.leader().expect("somebody leads after two election timeouts");
    for id in cluster.ids() {
        assert_eq!(cluster.status(id).leader, leader);
        assert_eq!(cluster.members[&id].soft.leader, leader);
    }
}

#[test]
fn a_single_member_leads_alone() {
    let mut cluster = Cluster::new(1);
    cluster.run(20);
    assert_eq!(cluster.leader(), Some(1));
    cluster.propose(1, "a").unwrap();
    cluster.settle();
    assert_eq!(cluster.commands(1), ["a"]);
}

#[test]
fn patience_is_drawn_between_one_and_two_timeouts() {
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..200 {
        let conf_state = ConfState { voters: vec![1, 2], ..ConfState::default() };
        let snapshot = SnapshotMeta { index: 0, term: 0, conf_state };
        let restored = Restored { snapshot, ..Restored::default() };
        let mut raft = Raft::new(Config { seed, ..config(1) }, restored);
        let ticks = (1..100).find(|_| {
            raft.tick();
            raft.status().role != Role::Follower
        });
        seen.insert(ticks.unwrap());
    }
    assert_eq!((seen.first(), seen.last()), (Some(&10), Some(&19)));
    assert_eq!(seen.len(), 10, "every limit is drawn");
}

#[test]
fn who_cannot_campaign_notices_that_its_leader_is_silent() {
    let heartbeat = Message { from: 2, term: 3, ..Message::new(Heartbeat, 1) };
    let learns = ConfState { voters: vec![2], learners: vec![1], ..ConfState::default() };
    for conf_state in [ConfState::default(), learns] {
        let snapshot = SnapshotMeta { index: 0, term: 0, conf_state };
        let mut raft = Raft::new(config(1), Restored { snapshot, ..Restored::default() });
        (0..30).for_each(|_| raft.tick());
        assert!(!raft.leader_is_silent(), "there is none");
        for _ in 0..2 {
            raft.step(heartbeat.clone()).unwrap();
            (0..19).for_each(|_| raft.tick());
            assert!(!raft.leader_is_silent(), "a voter might wait so long");
            raft.tick();
            assert!(raft.leader_is_silent());
            assert_eq!(raft.leader_id(), 2);
        }
    }
}

#[test]
fn with_pre_vote_a_lonely_member_disturbs_nobody() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    let term = cluster.status(1).term;
    cluster.isolate(3);
    cluster.run(100);
    assert_eq!(cluster.status(3).term, term, "asking does not raise the term");
    assert_eq!(cluster.status(3).role, Role::PreCandidate);
    cluster.heal();
    cluster.run(30);
    assert_eq!((cluster.leader(), cluster.status(1).term), (Some(1), term));
    assert_eq!(cluster.status(3).leader, 1);
}

#[test]
fn without_pre_vote_a_stuck_member_frees_itself() {
    let mut cluster = Cluster::with(3, |config| config.pre_vote = false);
    cluster.elect(1);
    cluster.isolate(3);
    cluster.run(100);
    let term = cluster.status(3).term;
    assert!(term > cluster.status(1).term);
    cluster.heal();
    cluster.run(60);
    // Its answer to the old leader's heartbeat carries the higher term; then the cluster elects again.
    let leader = cluster.leader().unwrap();
    assert!(cluster.status(leader).term > term);
    assert!(cluster.ids().iter().all(|id| cluster.status(*id).leader == leader));
}

#[test]
fn a_leader_without_a_quorum_steps_down() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.isolate(1);
    cluster.run(20);
    assert_ne!(cluster.status(1).role, Role::Leader);
    assert_eq!(cluster.propose(1, "a"), Err(ProposeError::NoLeader));
    cluster.run(20);
    assert!(matches!(cluster.leader(), Some(2 | 3)));
}

#[test]
fn without_check_quorum_it_does_not() {
    let mut cluster = Cluster::with(3, |config| config.check_quorum = false);
    cluster.elect(1);
    cluster.isolate(1);
    cluster.run(50);
    assert_eq!(cluster.status(1).role, Role::Leader);
}

#[test]
fn whoever_hears_a_leader_ignores_requests_unless_the_leader_wants_them() {
    for kind in [Vote, PreVote] {
        let mut raft = lone(1, 3, at_term(2), &[1, 2]);
        raft.step(message(Heartbeat, 2, 1, 2)).unwrap();
        take_all(&mut raft);
        let mut request = message(kind, 3, 1, 9);
        request.index = 5;
        request.log_term = 8;
        raft.step(request.clone()).unwrap();
        assert_eq!(take_all(&mut raft), [], "the lease is not over");
        assert_eq!(raft.status().term, 2);
        request.context = CAMPAIGN_TRANSFER.into();
        raft.step(request.clone()).unwrap();
        let answers = take_all(&mut raft);
        assert_eq!(answers.len(), 1);
        assert!(!answers[0].reject);
        // After an election timeout of silence the lease is over.
        let mut raft = lone(1, 3, at_term(2), &[1, 2]);
        raft.step(message(Heartbeat, 2, 1, 2)).unwrap();
        take_all(&mut raft);
        for _ in 0..10 {
            raft.tick();
        }
        request.context = Default::default();
        raft.step(request).unwrap();
        let granted = take_all(&mut raft).into_iter().any(|m| m.to == 3 && !m.reject && m.term == 9);
        assert!(granted);
    }
}

#[test]
fn answers_to_requests_carry_the_right_term() {
    let mut raft = lone(1, 3, at_term(5), &[1, 5]);
    // An old pre-vote is rejected with our term, so that the other may catch up.
    raft.step(message(PreVote, 2, 1, 3)).unwrap();
    let answer = take_all(&mut raft).remove(0);
    assert_eq!((answer.kind, answer.term, answer.reject), (PreVoteResp, 5, true));
    // An old vote request is ignored.
    raft.step(message(Vote, 2, 1, 3)).unwrap();
    assert_eq!(take_all(&mut raft), []);
    // A granted pre-vote carries the term asked for and changes nothing here.
    let mut request = message(PreVote, 2, 1, 7);
    (request.index, request.log_term) = (2, 5);
    raft.step(request.clone()).unwrap();
    let answer = take_all(&mut raft).remove(0);
    assert_eq!((answer.term, answer.reject, raft.status().term, raft.status().vote), (7, false, 5, 0));
    // With a shorter log it is rejected, with our term.
    request.index = 1;
    raft.step(request).unwrap();
    let answer = take_all(&mut raft).remove(0);
    assert_eq!((answer.term, answer.reject), (5, true));
    // A leader of an old term is told ours.
    raft.step(message(Heartbeat, 3, 1, 4)).unwrap();
    let answer = take_all(&mut raft).remove(0);
    assert_eq!((answer.kind, answer.term, answer.index, answer.reject), (AppResp, 5, 0, false));
}

#[test]
fn one_vote_a_term_and_only_for_a_complete_log() {
    let request = |from, log_term, index| Message { log_term, index, ..message(Vote, from, 1, 6) };
    let mut raft = lone(1, 3, at_term(5), &[1, 5]);
    let mut ask = |from, log_term, index| {
        raft.step(request(from, log_term, index)).unwrap();
        let answer = take_all(&mut raft).remove(0);
        assert_eq!((answer.kind, answer.term), (VoteResp, 6));
        !answer.reject
    };
    assert!(!ask(2, 4, 100), "an older last term");
    assert!(!ask(2, 5, 1), "a shorter log");
    assert!(ask(2, 5, 2));
    assert!(!ask(3, 9, 9), "the vote is given");
    assert!(ask(2, 5, 2), "the same answer to the same member");
}

#[test]
fn a_vote_is_spoken_when_it_is_durable() {
    let mut cluster = Cluster::new(3);
    cluster.member(1).hold_log = true;
    cluster.on(1, Raft::campaign);
    cluster.settle();
    said(&mut cluster);
    assert_eq!(cluster.status(1).role, Role::Candidate, "the pre-vote is won without any write");
    assert!(cluster.network.is_empty(), "nobody is asked before the own vote is durable");
    cluster.member(2).hold_log = true;
    cluster.member(3).hold_log = true;
    cluster.write_and_tell(1);
    assert_eq!(cluster.network.len(), 2);
    cluster.deliver(0);
    cluster.deliver(0);
    assert_eq!(cluster.status(2).vote, 1);
    assert!(cluster.network.is_empty(), "a grant waits for its write");
    cluster.write_and_tell(2);
    assert_eq!(cluster.network.len(), 1);
    cluster.deliver(0);
    assert_eq!(cluster.status(1).role, Role::Leader);
}

#[test]
fn a_candidate_that_crashed_before_its_vote_was_durable_has_asked_nobody() {
    let mut cluster = Cluster::new(3);
    cluster.member(1).hold_log = true;
    cluster.on(1, Raft::campaign);
    cluster.settle();
    let term = cluster.status(1).term;
    cluster.crash(1, 0, 0);
    assert_eq!(cluster.status(1).term, term - 1);
    assert!(cluster.transcript.iter().all(|line| !line.contains(" Vote ")));
}

#[test]
fn a_late_own_vote_counts_for_its_own_term_only() {
    let mut cluster = Cluster::new(1);
    cluster.member(1).hold_log = true;
    cluster.on(1, Raft::campaign);
    cluster.on(1, Raft::campaign);
    assert_eq!(cluster.status(1).term, 3);
    cluster.write_and_tell(1);
    assert_eq!(cluster.status(1).role, Role::Candidate, "the vote of term 2 is durable, that of term 3 is not");
    cluster.write_and_tell(1);
    assert_eq!(cluster.status(1).role, Role::Leader);
}

#[test]
fn a_lost_election_ends_in_following() {
    let mut raft = lone(1, 3, at_term(1), &[1]);
    raft.campaign();
    take_all(&mut raft);
    for from in [2, 3] {
        let mut answer = message(PreVoteResp, from, 1, 1);
        answer.reject = true;
        raft.step(answer).unwrap();
    }
    assert_eq!((raft.status().role, raft.status().term), (Role::Follower, 1));
}

#[test]
fn only_answers_to_the_present_campaign_count() {
    let mut raft = lone(1, 5, at_term(1), &[1]);
    raft.campaign();
    for from in [2, 3] {
        raft.step(message(PreVoteResp, from, 1, 2)).unwrap();
    }
    take_all(&mut raft);
    assert_eq!((raft.status().role, raft.status().term), (Role::Candidate, 2));
    for from in [4, 5] {
        raft.step(message(PreVoteResp, from, 1, 2)).unwrap();
    }
    assert_eq!(raft.status().role, Role::Candidate, "late pre-votes are no votes");
    raft.step(message(VoteResp, 4, 1, 2)).unwrap();
    raft.step(message(VoteResp, 4, 1, 2)).unwrap();
    assert_eq!(raft.status().role, Role::Candidate, "nobody votes twice");
    raft.step(message(VoteResp, 5, 1, 2)).unwrap();
    assert_eq!(raft.status().role, Role::Leader);
}

#[test]
fn a_candidate_follows_whoever_leads_its_term() {
    let mut raft = lone(1, 3, at_term(1), &[1]);
    raft.campaign();
    raft.step(message(PreVoteResp, 2, 1, 2)).unwrap();
    take_all(&mut raft);
    assert_eq!(raft.status().role, Role::Candidate);
    raft.step(message(Heartbeat, 3, 1, 2)).unwrap();
    assert_eq!((raft.status().role, raft.status().leader), (Role::Follower, 3));
    assert_eq!(raft.status().vote, 1, "the vote of this term is not forgotten");
}

#[test]
fn who_must_not_campaign() {
    // Nobody knows a configuration yet.
    let mut raft = Raft::new(config(1), Restored::default());
    raft.campaign();
    assert_eq!(raft.status().role, Role::Follower);
    // A learner.
    let conf_state = ConfState { voters: vec![1], learners: vec![2], ..ConfState::default() };
    let snapshot = SnapshotMeta { index: 0, term: 0, conf_state };
    let mut raft = Raft::new(config(2), Restored { snapshot, ..Restored::default() });
    for _ in 0..50 {
        raft.tick();
    }
    raft.step(message(TimeoutNow, 1, 2, 1)).unwrap();
    assert_eq!(raft.status().role, Role::Follower);
    // Bootstrapped, but the first entries are not applied.
    let mut cluster = Cluster::new(2);
    cluster.crash(1, 0, 0);
    assert!(cluster.members[&1].raft.conf_state().voters.is_empty());
    cluster.on(1, Raft::campaign);
    assert_eq!(cluster.status(1).role, Role::Follower);
    cluster.settle();
    cluster.elect(1);
}

#[test]
fn nobody_campaigns_over_a_change_that_is_committed_and_not_applied() {
    let mut cluster = Cluster::new(3);
    cluster.add_empty(4);
    cluster.elect(1);
    cluster.member(2).hold_store = true;
    cluster.change(1, &ConfChange::simple(ChangeKind::AddLearner, 4));
    cluster.settle();
    let status = cluster.status(2);
    assert!(status.commit > status.applied);
    cluster.isolate(1);
    for _ in 0..15 {
        cluster.on(2, Raft::tick);
    }
    cluster.on(2, Raft::campaign);
    assert_eq!(cluster.status(2).role, Role::Follower);
    cluster.member(2).hold_store = false;
    cluster.settle();
    cluster.on(3, Raft::forget_leader);
    cluster.elect(2);
}

#[test]
fn a_forgotten_leader_makes_room_for_another() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.on(2, Raft::forget_leader);
    assert_eq!(cluster.status(2).leader, 0);
    cluster.on(2, Raft::campaign);
    cluster.on(3, Raft::forget_leader);
    cluster.settle();
    assert_eq!(cluster.leader(), Some(2));
}

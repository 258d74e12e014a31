//! Stories of leadership being handed over.

mod cluster;

use cluster::*;
use raft::*;

const TRANSFERRING: Result<(), ProposeError> = Err(ProposeError::Dropped(DropReason::Transferring));

#[test]
fn a_member_that_has_everything_takes_over_at_once() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    said(&mut cluster);
    cluster.on(1, |raft| raft.transfer_leader(3));
    cluster.settle();
    assert_eq!(cluster.leader(), Some(3));
    assert_eq!(cluster.status(1).leader, 3);
    let words = said(&mut cluster);
    assert_eq!(words[0], "1->3 TimeoutNow term=2 log=0/0");
    assert!(words.iter().all(|line| !line.contains("PreVote")), "no need to ask first");
}

#[test]
fn a_follower_asks_its_leader() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.on(2, |raft| raft.transfer_leader(3));
    let asked = cluster.network[0].clone();
    assert_eq!((asked.kind, asked.from, asked.to), (MessageKind::TransferLeader, 3, 1));
    cluster.settle();
    assert_eq!(cluster.leader(), Some(3));
}

#[test]
fn a_member_that_lags_gets_the_rest_first() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.isolate(3);
    cluster.propose(1, "a").unwrap();
    cluster.settle();
    cluster.heal();
    cluster.on(1, |raft| raft.transfer_leader(3));
    assert_eq!(cluster.propose(1, "b"), TRANSFERRING);
    cluster.run(2);
    assert_eq!(cluster.leader(), Some(3));
    assert_eq!(cluster.commands(3), ["a"]);
}

#[test]
fn a_transfer_has_one_election_timeout() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.isolate(3);
    cluster.on(1, |raft| raft.transfer_leader(3));
    assert_eq!(cluster.status(1).transferee, 3);
    cluster.run(9);
    assert_eq!(cluster.propose(1, "a"), TRANSFERRING);
    cluster.run(1);
    assert_eq!(cluster.status(1).transferee, 0);
    assert_eq!(cluster.propose(1, "a"), Ok(()));
    assert_eq!(cluster.status(1).role, Role::Leader);
}

#[test]
fn who_cannot_take_over() {
    let mut cluster = Cluster::new(3);
    cluster.add_empty(4);
    cluster.elect(1);
    cluster.change(1, &ConfChange::simple(ChangeKind::AddLearner, 4));
    cluster.settle();
    for nobody in [1, 4, 9] {
        cluster.on(1, |raft| raft.transfer_leader(nobody));
        assert_eq!(cluster.status(1).transferee, 0, "{nobody} is a learner, a stranger or the leader itself");
    }
    assert_eq!(cluster.propose(1, "a"), Ok(()));
}

#[test]
fn the_last_wish_counts() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.isolate(3);
    cluster.on(1, |raft| raft.transfer_leader(3));
    cluster.on(1, |raft| raft.transfer_leader(2));
    cluster.settle();
    assert_eq!(cluster.leader(), Some(2));
    // Asking for the leader itself calls it off.
    cluster.on(2, |raft| raft.transfer_leader(3));
    cluster.on(2, |raft| raft.transfer_leader(2));
    assert_eq!(cluster.status(2).transferee, 0);
}

#[test]
fn removing_the_one_who_shall_lead_ends_the_transfer() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.isolate(3);
    cluster.member(1).hold_store = true;
    cluster.change(1, &ConfChange::simple(ChangeKind::Remove, 3));
    cluster.settle();
    cluster.on(1, |raft| raft.transfer_leader(3));
    assert_eq!(cluster.status(1).transferee, 3);
    cluster.member(1).hold_store = false;
    cluster.settle();
    assert_eq!(cluster.status(1).transferee, 0);
    assert_eq!(cluster.propose(1, "a"), Ok(()));
}

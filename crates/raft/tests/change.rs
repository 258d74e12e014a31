//! Stories of members coming and going.

mod cluster;

use bytes::Bytes;
use cluster::*;
use raft::ChangeKind::*;
use raft::*;

fn simple(kind: ChangeKind, id: MemberId) -> ConfChange {
    ConfChange::simple(kind, id)
}

fn joint(changes: &[(ChangeKind, MemberId)]) -> ConfChange {
    ConfChange { transition: Transition::Auto, changes: changes.to_vec() }
}

#[test]
fn a_learner_joins_catches_up_and_is_promoted() {
    let mut cluster = Cluster::new(3);
    cluster.add_empty(4);
    cluster.elect(1);
    cluster.propose(1, "before").unwrap();
    cluster.settle();
    cluster.change(1, &simple(AddLearner, 4));
    cluster.settle();
    cluster.run(2);
    assert_eq!(cluster.commands(4), ["before"]);
    assert_eq!(cluster.status(4).learners, [4]);
    cluster.change(1, &simple(AddVoter, 4));
    cluster.settle();
    for id in cluster.ids() {
        assert_eq!(cluster.status(id).voters, [1, 2, 3, 4]);
        assert!(cluster.status(id).learners.is_empty());
    }
    assert!(!cluster.status(1).peers[&4].learner);
    cluster.on(1, |raft| raft.transfer_leader(4));
    cluster.settle();
    assert_eq!(cluster.leader(), Some(4));
}

#[test]
fn an_update_changes_nobodys_standing() {
    let mut cluster = Cluster::new(3);
    cluster.add_empty(4);
    cluster.elect(1);
    cluster.change(1, &simple(AddLearner, 4));
    cluster.settle();
    let before = cluster.members[&1].raft.conf_state();
    for id in [1, 4] {
        cluster.change(1, &simple(Update, id));
        cluster.settle();
    }
    assert_eq!(cluster.members[&1].raft.conf_state(), before);
    assert_eq!(cluster.status(1).role, Role::Leader);
}

#[test]
fn a_second_change_waits_for_the_first_to_be_applied() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.member(1).hold_store = true;
    cluster.change(1, &simple(AddLearner, 4));
    cluster.change(1, &simple(AddLearner, 5));
    cluster.settle();
    let kinds: Vec<EntryKind> = cluster.members[&1].disk.entries[4..].iter().map(|entry| entry.kind).collect();
    assert_eq!(kinds, [EntryKind::ConfChange, EntryKind::Normal], "an empty entry takes the second one's place");
    assert!(cluster.members[&1].disk.entries[5].data.is_empty());
    cluster.member(1).hold_store = false;
    cluster.settle();
    assert_eq!(cluster.status(1).learners, [4]);
    cluster.change(1, &simple(AddLearner, 5));
    cluster.settle();
    assert_eq!(cluster.status(1).learners, [4, 5]);
}

#[test]
fn a_new_leader_first_applies_what_it_has() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    let status = cluster.status(1);
    assert_eq!(status.pending_change, status.last - 1, "everything before its own first entry");
}

#[test]
fn two_changes_handed_on_together_are_one_change() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    let change = |id| Entry { kind: EntryKind::ConfChange, data: encode(&simple(AddLearner, id)), ..Entry::default() };
    let mut handed_on = message(MessageKind::Prop, 2, 1, 0);
    handed_on.entries = vec![change(4), change(5)];
    cluster.on(1, |raft| raft.step(handed_on)).unwrap();
    cluster.settle();
    assert_eq!(cluster.status(1).learners, [4]);
}

#[test]
fn a_removed_member_counts_no_more() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.change(1, &simple(Remove, 3));
    cluster.settle();
    assert_eq!(cluster.status(1).voters, [1, 2]);
    assert!(!cluster.status(1).peers.contains_key(&3));
    cluster.isolate(2);
    cluster.propose(1, "a").unwrap();
    cluster.run(2);
    assert!(cluster.status(1).commit < cluster.status(1).last);
}

#[test]
fn a_smaller_quorum_commits_what_waited() {
    let mut cluster = Cluster::new(2);
    cluster.elect(1);
    cluster.member(1).hold_store = true;
    cluster.change(1, &simple(Remove, 2));
    cluster.settle();
    cluster.isolate(2);
    cluster.propose(1, "a").unwrap();
    cluster.settle();
    assert!(cluster.status(1).commit < cluster.status(1).last);
    cluster.member(1).hold_store = false;
    cluster.settle();
    assert_eq!(cluster.commands(1), ["a"]);
}

#[test]
fn a_leader_that_removes_itself_finishes_and_takes_nothing_new() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.change(1, &simple(Remove, 1));
    cluster.settle();
    let removed = Err(ProposeError::Dropped(DropReason::Removed));
    assert_eq!(cluster.propose(1, "a"), removed);
    assert_eq!(cluster.status(2).voters, [2, 3], "the others have heard of it");
    cluster.isolate(1);
    cluster.run(40);
    assert!(matches!(cluster.leader(), Some(2 | 3)));
}

#[test]
fn a_joint_change_is_entered_and_left() {
    let mut cluster = Cluster::new(3);
    cluster.add_empty(4);
    cluster.add_empty(5);
    cluster.elect(1);
    cluster.change(1, &joint(&[(AddVoter, 4), (AddVoter, 5), (Remove, 3), (AddLearner, 2)]));
    cluster.settle();
    cluster.run(3);
    let state = cluster.members[&1].raft.conf_state();
    assert_eq!((&state.voters[..], &state.learners[..]), (&[1, 4, 5][..], &[2][..]));
    assert!(state.voters_outgoing.is_empty() && state.learners_next.is_empty() && !state.auto_leave);
    let steps: Vec<usize> = cluster.members[&1].configured.values().map(|state| state.voters_outgoing.len()).collect();
    assert_eq!(steps, [0, 0, 0, 0, 3, 0], "once joint, then left");
    assert_eq!(cluster.members[&2].raft.conf_state(), state);
    cluster.propose(1, "a").unwrap();
    cluster.settle();
    assert_eq!(cluster.commands(5), ["a"]);
}

#[test]
fn in_a_joint_configuration_both_majorities_decide() {
    let mut cluster = Cluster::new(3);
    for id in [4, 5, 6] {
        cluster.add_empty(id);
    }
    cluster.elect(1);
    let change = ConfChange {
        transition: Transition::JointExplicit,
        changes: vec![(AddVoter, 4), (AddVoter, 5), (Remove, 2), (Remove, 3)],
    };
    cluster.change(1, &change);
    cluster.settle();
    cluster.run(2);
    assert_eq!(cluster.members[&1].raft.conf_state().voters_outgoing, [1, 2, 3]);
    // Nothing else may change now.
    cluster.change(1, &simple(AddLearner, 6));
    cluster.settle();
    assert!(cluster.status(1).learners.is_empty());
    cluster.isolate(4);
    cluster.isolate(5);
    cluster.propose(1, "a").unwrap();
    cluster.settle();
    assert!(cluster.status(1).commit < cluster.status(1).last, "the new majority is missing");
    cluster.heal();
    cluster.isolate(2);
    cluster.isolate(3);
    cluster.run(3);
    cluster.propose(1, "b").unwrap();
    cluster.settle();
    assert_eq!(cluster.status(1).peers[&4].matched, cluster.status(1).last);
    assert!(cluster.status(1).commit < cluster.status(1).last, "the old majority is missing");
    cluster.heal();
    cluster.run(3);
    assert_eq!(cluster.commands(4), ["a", "b"]);
    cluster.on(1, |raft| raft.propose_change(EntryKind::ConfChangeV2, Bytes::new())).unwrap();
    cluster.settle();
    assert_eq!(cluster.status(1).voters, [1, 4, 5]);
}

#[test]
fn the_next_leader_leaves_a_joint_configuration() {
    let mut cluster = Cluster::new(3);
    cluster.add_empty(4);
    cluster.elect(1);
    cluster.member(1).hold_store = true;
    cluster.change(1, &joint(&[(AddVoter, 4), (Remove, 3)]));
    cluster.settle();
    assert!(!cluster.members[&2].raft.conf_state().voters_outgoing.is_empty());
    cluster.isolate(1);
    cluster.run(60);
    let leader = cluster.leader().unwrap();
    assert_ne!(leader, 1);
    assert!(cluster.members[&leader].raft.conf_state().voters_outgoing.is_empty());
    assert_eq!(cluster.status(leader).voters, [1, 2, 4]);
}

#[test]
fn refused_and_impossible_changes_leave_everything_as_it_is() {
    let mut cluster = Cluster::new(1);
    cluster.elect(1);
    let remove = simple(Remove, 1);
    assert_eq!(cluster.members[&1].raft.check_change(&remove), Err(ChangeError::NoVoters));
    cluster.change(1, &remove);
    cluster.settle();
    cluster.change(1, &ConfChange::refused());
    cluster.settle();
    assert_eq!(cluster.status(1).voters, [1]);
    assert_eq!(cluster.propose(1, "a"), Ok(()));
    cluster.settle();
    assert_eq!(cluster.commands(1), ["a"]);
}

#[test]
fn a_new_member_has_one_election_timeout_to_speak() {
    let mut cluster = Cluster::new(1);
    cluster.elect(1);
    cluster.run(9);
    cluster.change(1, &simple(AddVoter, 2));
    cluster.settle();
    assert_eq!(cluster.status(1).voters, [1, 2]);
    cluster.run(10);
    assert_eq!(cluster.status(1).role, Role::Leader);
    cluster.run(10);
    assert_ne!(cluster.status(1).role, Role::Leader);
}

#[test]
fn a_cluster_grows_from_one() {
    let mut cluster = Cluster::new(1);
    cluster.elect(1);
    for id in 2..=5 {
        cluster.add_empty(id);
        cluster.change(1, &simple(AddVoter, id));
        cluster.settle();
        cluster.run(2);
        cluster.propose(1, &id.to_string()).unwrap();
        cluster.settle();
        assert_eq!(cluster.commands(id).last().unwrap(), &id.to_string());
    }
    assert_eq!(cluster.status(5).voters, [1, 2, 3, 4, 5]);
}

#[test]
#[should_panic(expected = "must be made known before")]
fn applying_past_an_unannounced_change_is_noticed() {
    let mut cluster = Cluster::new(1);
    cluster.elect(1);
    cluster.member(1).hold_store = true;
    cluster.change(1, &simple(AddLearner, 2));
    cluster.settle();
    let last = cluster.status(1).handed;
    cluster.on(1, |raft| raft.applied(last));
}

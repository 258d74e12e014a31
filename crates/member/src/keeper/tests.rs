//! Keeper alone, as stories.

use super::*;

fn granted((id, ttl_seconds): (LeaseId, i64)) -> Granted {
    Granted { id, ttl_seconds, remaining_seconds: 0 }
}

fn keeper(leases: &[(LeaseId, i64)]) -> Keeper {
    let mut keeper = Keeper::default();
    keeper.reset(leases.iter().copied().map(granted), 0, 1_000);
    keeper
}

#[test]
fn only_a_leader_counts() {
    let mut keeper = keeper(&[(7, 2)]);
    assert_eq!(keeper.expired(1_000_000), None);
    assert_eq!(keeper.keep_alive(7, 5), Err(NotLeading));
    assert_eq!(keeper.leases(), vec![7]);
}

#[test]
fn a_new_leader_gives_the_whole_time_and_an_election_timeout() {
    let mut keeper = keeper(&[(7, 2)]);
    keeper.lead(3, 10_000, 1_000);
    assert_eq!(keeper.expired(13_000), None);
    assert_eq!(keeper.expired(13_001), Some((3, vec![7])));
    assert_eq!(keeper.expired(13_002), None, "named once");
    keeper.retry(7);
    assert_eq!(keeper.expired(13_002), Some((3, vec![7])));
    keeper.revoked(7);
    assert_eq!(keeper.expired(20_000), None);
}

/// A leader since 0 of one lease of 100 s that makes a checkpoint every 10 s.
fn checkpointing() -> Keeper {
    let mut keeper = Keeper::new(Some(10_000));
    keeper.lead(1, 0, 0);
    keeper.granted(7, 100, 0);
    keeper
}

#[test]
fn a_checkpoint_shortens_what_the_next_leader_gives() {
    let mut keeper = Keeper::default();
    keeper.reset([Granted { id: 7, ttl_seconds: 100, remaining_seconds: 5 }].into_iter(), 0, 0);
    keeper.lead(3, 0, 1_000);
    let left = keeper.remaining(7, 0);
    assert_eq!(left, Ok(Some(Remaining { granted_seconds: 100, left_seconds: 6 })));
    // It is of this leader's beginning that a later one speaks, not of now.
    keeper.checkpointed(7, 20, 4_000);
    assert_eq!(keeper.remaining(7, 4_000), Ok(Some(Remaining { granted_seconds: 100, left_seconds: 17 })));
}

#[test]
fn checkpoints_are_due_once_an_interval_for_leases_of_more_than_one() {
    let mut keeper = checkpointing();
    keeper.granted(8, 10, 0);
    assert_eq!(keeper.due_checkpoints(9_999), None);
    assert_eq!(keeper.due_checkpoints(10_000), Some((1, vec![(7, 90)])), "a lease of one interval needs none");
    assert_eq!(keeper.due_checkpoints(10_001), None);
    keeper.checkpointed(7, 90, 10_500);
    assert_eq!(keeper.due_checkpoints(20_499), None);
    assert_eq!(keeper.due_checkpoints(20_501), Some((1, vec![(7, 80)])), "79.5 s, rounded up");
    keeper.follow();
    assert_eq!(keeper.due_checkpoints(1_000_000), None, "only a leader");
    assert_eq!(Keeper::default().due_checkpoints(1_000_000), None, "only if it is asked to");
}

#[test]
fn a_renewal_waits_until_the_checkpoint_is_taken_back() {
    let mut keeper = checkpointing();
    keeper.due_checkpoints(10_000).expect("it is due");
    keeper.checkpointed(7, 90, 10_100);
    assert_eq!(keeper.keep_alive(7, 15_000), Ok(Renewal::Waits(Some(1))));
    assert_eq!(keeper.keep_alive(7, 15_001), Ok(Renewal::Waits(None)), "one is enough");
    assert_eq!(keeper.due_checkpoints(21_000), None, "none is made meanwhile");
    assert_eq!(keeper.expired(100_000), None, "who was asked in time does not end meanwhile");
    keeper.checkpointed(7, 0, 100_001);
    assert_eq!(keeper.cleared(7, 100_001), Ok(Renewal::Renewed(100)));
    assert_eq!(keeper.keep_alive(7, 100_002), Ok(Renewal::Renewed(100)), "nothing is left to take back");
    assert_eq!(keeper.expired(200_003), Some((1, vec![7])));
}

/// In its last interval no checkpoint is to come any more, until it is renewed.
#[test]
fn a_lease_that_is_renewed_late_goes_on_to_be_checkpointed() {
    let mut keeper = checkpointing();
    for left in (10..=90).rev().step_by(10) {
        let now = (100 - left) * 1_000;
        assert_eq!(keeper.due_checkpoints(now), Some((1, vec![(7, left as i64)])));
        keeper.checkpointed(7, left as i64, now);
    }
    assert_eq!(keeper.due_checkpoints(99_000), None, "it ends before another one is due");
    assert_eq!(keeper.keep_alive(7, 99_000), Ok(Renewal::Waits(Some(1))));
    keeper.checkpointed(7, 0, 99_100);
    assert_eq!(keeper.cleared(7, 99_200), Ok(Renewal::Renewed(100)));
    assert_eq!(keeper.due_checkpoints(109_199), None);
    assert_eq!(keeper.due_checkpoints(109_200), Some((1, vec![(7, 90)])));
}

/// etcd looks only at checkpoints that were applied. One behind the renewal in the log then shortens it.
#[test]
fn a_renewal_waits_for_a_checkpoint_that_is_on_its_way() {
    let mut keeper = checkpointing();
    keeper.due_checkpoints(10_000).expect("it is due");
    assert_eq!(keeper.keep_alive(7, 10_050), Ok(Renewal::Waits(Some(1))));
    keeper.checkpointed(7, 90, 10_100);
    keeper.checkpointed(7, 0, 10_200);
    assert_eq!(keeper.cleared(7, 10_200), Ok(Renewal::Renewed(100)));
    assert_eq!(keeper.expired(110_200), None);

    // One that never got into the log need not be waited for.
    keeper.due_checkpoints(30_000).expect("it is due");
    keeper.not_checkpointed(7);
    assert_eq!(keeper.keep_alive(7, 30_001), Ok(Renewal::Renewed(100)));
}

#[test]
fn a_renewal_whose_clearing_fails_is_asked_again() {
    let mut keeper = checkpointing();
    keeper.due_checkpoints(10_000).expect("it is due");
    assert_eq!(keeper.keep_alive(7, 10_050), Ok(Renewal::Waits(Some(1))));
    keeper.not_cleared(7);
    assert_eq!(keeper.keep_alive(7, 10_060), Ok(Renewal::Waits(Some(1))), "proposed anew");
    keeper.revoked(7);
    assert_eq!(keeper.cleared(7, 10_070), Ok(Renewal::Ended), "revoked by somebody meanwhile");
    keeper.follow();
    assert_eq!(keeper.cleared(7, 10_080), Err(NotLeading));
}

#[test]
fn many_checkpoints_are_proposed_in_parts() {
    let mut keeper = Keeper::new(Some(1_000));
    keeper.lead(1, 0, 0);
    let count = limits::CHECKPOINTS_PER_PROPOSAL as i64 * 2 + 5;
    (1..=count).for_each(|id| keeper.granted(id, 60, 0));
    let sizes: Vec<usize> =
        std::iter::from_fn(|| keeper.due_checkpoints(1_000)).map(|(_, leases)| leases.len()).collect();
    assert_eq!(sizes, [limits::CHECKPOINTS_PER_PROPOSAL, limits::CHECKPOINTS_PER_PROPOSAL, 5]);
    assert_eq!(keeper.stats().checkpointed, count as u64);
}

#[test]
fn keeping_alive_renews_until_the_end_and_not_after() {
    let mut keeper = keeper(&[]);
    keeper.lead(1, 0, 0);
    keeper.granted(9, 2, 0);
    assert_eq!(keeper.keep_alive(9, 1_900), Ok(Renewal::Renewed(2)));
    assert_eq!(keeper.expired(3_900), None, "the millisecond of its end is not over");
    assert_eq!(keeper.keep_alive(9, 3_901), Ok(Renewal::Ended), "ended, though nobody has looked");
    assert_eq!(keeper.expired(3_901), Some((1, vec![9])));
    assert_eq!(keeper.keep_alive(9, 3_901), Ok(Renewal::Ended), "about to be revoked");
    assert_eq!(keeper.keep_alive(10, 0), Ok(Renewal::Ended), "unknown");
}

#[test]
fn a_deposed_leader_stops_counting() {
    let mut keeper = keeper(&[(1, 1)]);
    keeper.lead(1, 0, 0);
    keeper.follow();
    assert_eq!(keeper.expired(u64::MAX), None);
    assert_eq!(keeper.remaining(1, 0), Err(NotLeading));
}

#[test]
fn renewing_never_takes_away_what_a_new_leader_has_added() {
    let mut keeper = keeper(&[(7, 2)]);
    keeper.lead(3, 0, 1_000);
    assert_eq!(keeper.keep_alive(7, 10), Ok(Renewal::Renewed(2)));
    assert_eq!(keeper.expired(3_000), None, "2 s and the extension of 1 s");
    assert_eq!(keeper.expired(3_001), Some((3, vec![7])));
}

#[test]
fn a_snapshot_brings_other_leases_and_a_leader_counts_them_anew() {
    let mut keeper = keeper(&[(1, 1), (2, 5)]);
    keeper.lead(4, 0, 0);
    assert_eq!(keeper.expired(1_001), Some((4, vec![1])));
    keeper.reset([(2, 5), (3, 1)].into_iter().map(granted), 2_000, 500);
    assert_eq!(keeper.keep_alive(1, 2_000), Ok(Renewal::Ended), "gone");
    assert_eq!(keeper.expired(3_500), None);
    assert_eq!(keeper.expired(3_501), Some((4, vec![3])));
    keeper.revoked(99);
    assert_eq!(keeper.leases(), vec![3, 2], "the one that ends first at the front");
}

#[test]
fn revocations_under_way_are_bounded_and_the_rest_follow() {
    let many: Vec<(LeaseId, i64)> = (1..=limits::REVOKES_IN_FLIGHT_MAX as i64 + 40).map(|id| (id, 1)).collect();
    let mut keeper = keeper(&many);
    keeper.lead(1, 0, 0);
    let mut named = Vec::new();
    while let Some((_, ended)) = keeper.expired(5_000) {
        assert!(ended.len() <= limits::EXPIRED_LEASES_PER_LOOK);
        named.extend(ended);
    }
    assert_eq!(named.len(), limits::REVOKES_IN_FLIGHT_MAX);
    named.iter().for_each(|&id| keeper.revoked(id));
    let (_, rest) = keeper.expired(5_000).expect("there is room again");
    assert_eq!(rest.len(), 40);
}

#[test]
fn a_new_term_names_again_what_the_old_one_had_proposed() {
    let mut keeper = keeper(&[(7, 1)]);
    keeper.lead(1, 0, 0);
    assert_eq!(keeper.expired(1_001), Some((1, vec![7])));
    keeper.follow();
    keeper.lead(2, 1_500, 0);
    assert_eq!(keeper.expired(2_500), None, "its whole time again");
    assert_eq!(keeper.expired(2_501), Some((2, vec![7])));
}

#[test]
fn the_longest_lease_does_not_overflow() {
    let mut keeper = keeper(&[(7, i64::MAX)]);
    keeper.lead(1, u64::MAX - 5, 1_000);
    assert_eq!(keeper.expired(u64::MAX - 1), None);
    assert_eq!(keeper.keep_alive(7, 5), Ok(Renewal::Renewed(i64::MAX)));
}

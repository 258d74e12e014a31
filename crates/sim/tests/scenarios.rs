//! Known bugs of the field, each in a few variations.

use sim::scenario::{self, Scenario, Story};
use sim::{Settings, run};

fn holds(scenario: Scenario) {
    for seed in 0..2 {
        scenario(Story::of(seed));
    }
}

#[test]
fn a_member_alone_answers_only_for_what_its_disk_holds() {
    holds(scenario::answer_before_disk::run);
}

#[test]
fn applied_index_and_data_are_one() {
    holds(scenario::applied_apart_from_data::run);
}

#[test]
fn a_compaction_that_is_cut_short_loses_nothing() {
    holds(scenario::compaction_cut_short::run);
}

#[test]
fn deletions_near_a_compaction_are_told() {
    holds(scenario::deletion_near_compaction::run);
}

#[test]
fn progress_never_overtakes_events() {
    holds(scenario::progress_under_load::run);
}

#[test]
fn a_leader_that_was_stopped_reads_nothing_stale() {
    holds(scenario::read_after_pause::run);
}

#[test]
fn late_answers_confirm_no_newer_reads() {
    holds(scenario::late_answers::run);
}

#[test]
fn two_snapshots_close_together_leave_one_whole_state() {
    holds(scenario::two_snapshots::run);
}

#[test]
fn a_watch_goes_on_across_a_snapshot() {
    holds(scenario::watch_across_snapshot::run);
}

#[test]
fn a_snapshot_that_is_cut_short_is_installed_whole_or_not_at_all() {
    holds(scenario::snapshot_cut_short::run);
}

#[test]
fn what_was_deleted_stays_deleted_when_a_sweep_is_cut_short() {
    holds(scenario::sweep_cut_short::run);
}

#[test]
fn a_transaction_fails_alike_on_every_member() {
    holds(scenario::txns_that_fail::run);
}

#[test]
fn a_snapshot_and_a_sweep_do_not_disturb_each_other() {
    holds(scenario::snapshot_beside_sweep::run);
}

#[test]
fn leases_with_odd_ids_are_the_same_everywhere() {
    holds(scenario::negative_lease_ids::run);
}

#[test]
fn a_renewal_right_after_the_grant_finds_the_lease() {
    holds(scenario::renewal_races_grant::run);
}

#[test]
fn an_alarm_moves_the_applied_index_like_all_else() {
    holds(scenario::alarm_then_power::run);
}

#[test]
fn an_alarm_raised_twice_is_one_alarm() {
    holds(scenario::alarm_twice::run);
}

#[test]
fn a_deposed_leader_ends_no_lease() {
    holds(scenario::deposed_leader_and_leases::run);
}

#[test]
fn a_renewal_is_never_answered_after_the_end() {
    holds(scenario::renewal_near_the_end::run);
}

#[test]
fn a_renewal_is_not_answered_with_a_proof_of_before_a_pause() {
    holds(scenario::renewal_after_pause::run);
}

#[test]
fn leases_outlive_leader_after_leader() {
    holds(scenario::leases_over_leaders::run);
}

#[test]
fn a_lease_lives_to_the_end_of_its_last_millisecond() {
    holds(scenario::leases_to_the_last::run);
}

#[test]
fn a_replaced_member_learns_and_is_promoted_for_good() {
    holds(scenario::member_replaced::run);
}

#[test]
fn a_removed_member_does_not_come_back() {
    holds(scenario::zombie_members::run);
}

#[test]
fn a_segment_is_found_by_its_name_after_a_loss_of_power() {
    holds(scenario::names_lost::run);
}

#[test]
fn a_torn_record_at_the_end_is_cut_and_nothing_acknowledged_is_lost() {
    holds(scenario::torn_tail::run);
}

#[test]
fn five_members_killed_at_once_lose_nothing() {
    holds(scenario::all_killed::run);
}

#[test]
fn a_lost_answer_is_not_a_lost_write_and_no_second_one() {
    holds(scenario::answers_lost::run);
}

#[test]
fn a_new_leader_reads_nothing_before_its_first_commit() {
    holds(scenario::read_at_first_commit::run);
}

#[test]
fn a_slow_watch_is_told_nothing_twice() {
    holds(scenario::doubled_events::run);
}

#[test]
fn a_watch_that_was_compacted_away_is_told_so_exactly() {
    holds(scenario::slow_watch_and_compaction::run);
}

#[test]
fn a_full_disk_holds_a_member_up_and_loses_nothing() {
    holds(scenario::full_disk::run);
}

#[test]
fn bits_that_turn_are_never_served() {
    holds(scenario::rotten_disk::run);
}

#[test]
fn a_leader_whose_disk_stands_still_is_replaced() {
    holds(scenario::stalled_leader::run);
}

#[test]
fn a_connection_that_breaks_in_a_message_loses_no_more_than_that() {
    holds(scenario::broken_connections::run);
}

#[test]
fn a_member_that_differs_in_one_byte_is_named_within_a_second() {
    for members in [2, 3, 5] {
        for seed in 0..6 {
            let time = scenario::one_byte_differs::noticed_after(seed, members);
            assert!(time <= 1_000_000, "seed {seed}, {members} members: {time} µs");
        }
    }
}

#[test]
fn what_a_member_alone_has_answered_is_there_when_its_disk_moves_again() {
    holds(scenario::rest_after_stall::run);
}

#[test]
fn reads_that_wait_for_a_snapshot_are_not_answered_from_before_it() {
    holds(scenario::restored_and_read::run);
}

#[test]
fn what_waits_for_a_slow_store_is_bounded_in_bytes() {
    holds(scenario::store_behind::run);
}

#[test]
fn nobody_votes_twice_in_a_term() {
    holds(scenario::votes_forgotten::run);
}

#[test]
fn a_cluster_that_has_lost_its_majority_halts_and_says_nothing_false() {
    for seed in 0..4 {
        scenario::majority_lost::run(Story::of(seed));
    }
}

#[test]
fn an_alarm_that_names_nobody_outlives_a_loss_of_power_and_is_taken_back() {
    holds(scenario::alarm_of_nobody::run);
}

#[test]
fn what_a_lease_has_left_is_never_less_than_its_last_renewal_said() {
    holds(scenario::checkpoints_over_leaders::run);
}

#[test]
fn what_waits_for_a_watch_that_does_not_read_is_bounded_in_bytes() {
    holds(scenario::watch_bytes::run);
}

#[test]
fn every_watch_is_told_what_it_has_asked_for() {
    holds(scenario::watches_of_every_kind::run);
}

#[test]
fn a_watch_from_minus_one_is_refused() {
    holds(scenario::watch_from_minus_one::run);
}

#[test]
fn with_rotten_disks_on_any_number_of_members_nothing_false_is_said() {
    let (mut halted, mut answered) = (0, 0);
    for seed in 0..24 {
        let outcome = run(Settings { beyond: true, ..Settings::of(seed) });
        halted += u32::from(outcome.halted);
        answered += outcome.counts.answered;
    }
    assert!((4..=20).contains(&halted) && answered > 1_000, "{halted} of 24 halted, {answered} answers");
}

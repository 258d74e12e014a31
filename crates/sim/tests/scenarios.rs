//! Known bugs of the field, each in a few variations.

use sim::scenario;
use sim::world::Outcome;

fn holds(story: fn(u64) -> Outcome) {
    for seed in 0..2 {
        story(seed);
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
fn two_snapshots_close_together_leave_one_whole_state() {
    holds(scenario::two_snapshots::run);
}

#[test]
fn a_watch_goes_on_across_a_snapshot() {
    holds(scenario::watch_across_snapshot::run);
}

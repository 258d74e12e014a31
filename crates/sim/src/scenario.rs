//! Known bugs of the field, told as directed runs: who is cut off, who loses
//! power, and when. Each ends as every run does, in rest and with all promises
//! checked; what it asserts besides is that the story has really happened.

pub mod alarm_of_nobody;
pub mod alarm_then_power;
pub mod alarm_twice;
pub mod all_killed;
pub mod answer_before_disk;
pub mod answers_lost;
pub mod applied_apart_from_data;
pub mod broken_connections;
pub mod checkpoints_over_leaders;
pub mod compaction_cut_short;
pub mod deletion_near_compaction;
pub mod deposed_leader_and_leases;
pub mod doubled_events;
pub mod full_disk;
pub mod late_answers;
pub mod leases_over_leaders;
pub mod leases_to_the_last;
pub mod majority_lost;
pub mod member_replaced;
pub mod names_lost;
pub mod negative_lease_ids;
pub mod one_byte_differs;
pub mod progress_under_load;
pub mod read_after_pause;
pub mod read_at_first_commit;
pub mod renewal_after_pause;
pub mod renewal_near_the_end;
pub mod renewal_races_grant;
pub mod rest_after_stall;
pub mod restored_and_read;
pub mod rotten_disk;
pub mod slow_watch_and_compaction;
pub mod snapshot_beside_sweep;
pub mod snapshot_cut_short;
pub mod stalled_leader;
pub mod store_behind;
pub mod sweep_cut_short;
pub mod torn_tail;
pub mod two_snapshots;
pub mod txns_that_fail;
pub mod votes_forgotten;
pub mod watch_across_snapshot;
pub mod watch_bytes;
pub mod watch_from_minus_one;
pub mod watches_of_every_kind;
pub mod zombie_members;

use crate::load::Mix;
use crate::member::Habits;
use crate::mutant::Mutant;
use crate::world::{Micros, Outcome, World};

/// In simulated time.
const SECOND: Micros = 1_000_000;

/// Which variation of a scenario, and what the driver breaks in it on purpose.
#[derive(Clone, Copy, Debug)]
pub struct Story {
    /// All chance comes from here.
    pub seed: u64,
    /// To see that the scenario notices.
    pub mutant: Option<Mutant>,
}

impl Story {
    /// With nothing broken.
    pub fn of(seed: u64) -> Story {
        Story { seed, mutant: None }
    }
}

/// A scenario.
pub type Scenario = fn(Story) -> Outcome;

/// All that can be run with a mutant, by name.
pub const ALL: [(&str, Scenario); 45] = [
    ("alarm_of_nobody", alarm_of_nobody::run),
    ("alarm_then_power", alarm_then_power::run),
    ("alarm_twice", alarm_twice::run),
    ("all_killed", all_killed::run),
    ("answer_before_disk", answer_before_disk::run),
    ("answers_lost", answers_lost::run),
    ("applied_apart_from_data", applied_apart_from_data::run),
    ("broken_connections", broken_connections::run),
    ("checkpoints_over_leaders", checkpoints_over_leaders::run),
    ("compaction_cut_short", compaction_cut_short::run),
    ("deletion_near_compaction", deletion_near_compaction::run),
    ("deposed_leader_and_leases", deposed_leader_and_leases::run),
    ("doubled_events", doubled_events::run),
    ("full_disk", full_disk::run),
    ("late_answers", late_answers::run),
    ("leases_over_leaders", leases_over_leaders::run),
    ("leases_to_the_last", leases_to_the_last::run),
    ("majority_lost", majority_lost::run),
    ("member_replaced", member_replaced::run),
    ("names_lost", names_lost::run),
    ("negative_lease_ids", negative_lease_ids::run),
    ("progress_under_load", progress_under_load::run),
    ("read_after_pause", read_after_pause::run),
    ("read_at_first_commit", read_at_first_commit::run),
    ("renewal_after_pause", renewal_after_pause::run),
    ("renewal_near_the_end", renewal_near_the_end::run),
    ("renewal_races_grant", renewal_races_grant::run),
    ("rest_after_stall", rest_after_stall::run),
    ("restored_and_read", restored_and_read::run),
    ("rotten_disk", rotten_disk::run),
    ("slow_watch_and_compaction", slow_watch_and_compaction::run),
    ("snapshot_beside_sweep", snapshot_beside_sweep::run),
    ("snapshot_cut_short", snapshot_cut_short::run),
    ("stalled_leader", stalled_leader::run),
    ("store_behind", store_behind::run),
    ("sweep_cut_short", sweep_cut_short::run),
    ("torn_tail", torn_tail::run),
    ("two_snapshots", two_snapshots::run),
    ("txns_that_fail", txns_that_fail::run),
    ("votes_forgotten", votes_forgotten::run),
    ("watch_across_snapshot", watch_across_snapshot::run),
    ("watch_bytes", watch_bytes::run),
    ("watch_from_minus_one", watch_from_minus_one::run),
    ("watches_of_every_kind", watches_of_every_kind::run),
    ("zombie_members", zombie_members::run),
];

/// Lets time pass until somebody leads.
fn await_leader(world: &mut World) -> usize {
    for _ in 0..100 {
        if let Some(leader) = world.leader() {
            return leader;
        }
        world.go_on(SECOND / 10);
    }
    panic!("ten seconds of fair weather and nobody leads");
}

/// A cluster with a leader and clients that write a lot.
fn busy(story: Story, members: usize) -> (World, usize) {
    busy_after(story, members, |_| {})
}

/// The same, and something that comes before all else.
fn busy_after(story: Story, members: usize, first: impl FnOnce(&mut World)) -> (World, usize) {
    busy_keeping(4, story, members, first)
}

/// The same, with another number of entries that are kept for who lags.
fn busy_keeping(catch_up_entries: u64, story: Story, members: usize, first: impl FnOnce(&mut World)) -> (World, usize) {
    let mut world = World::directed(story, members);
    first(&mut world);
    world.keep_house(Habits {
        sync_every: 8,
        catch_up_entries,
        log_segment_bytes: 4 << 10,
        fragment_bytes: 1_000,
        checkpoint_ms: None,
        ..world.habits().roomy()
    });
    world.clients_ask(Mix::default(), SECOND / 100, None);
    world.go_on(2 * SECOND);
    let leader = await_leader(&mut world);
    (world, leader)
}

//! Known bugs of the field, told as directed runs: who is cut off, who loses
//! power, and when. Each ends as every run does, in rest and with all promises
//! checked; what it asserts besides is that the story has really happened.

pub mod alarm_then_power;
pub mod alarm_twice;
pub mod all_killed;
pub mod answer_before_disk;
pub mod answers_lost;
pub mod applied_apart_from_data;
pub mod broken_connections;
pub mod compaction_cut_short;
pub mod deletion_near_compaction;
pub mod deposed_leader_and_leases;
pub mod doubled_events;
pub mod full_disk;
pub mod leases_over_leaders;
pub mod member_replaced;
pub mod names_lost;
pub mod negative_lease_ids;
pub mod one_byte_differs;
pub mod progress_under_load;
pub mod read_after_pause;
pub mod read_at_first_commit;
pub mod renewal_near_the_end;
pub mod renewal_races_grant;
pub mod rotten_disk;
pub mod slow_watch_and_compaction;
pub mod snapshot_beside_sweep;
pub mod snapshot_cut_short;
pub mod stalled_leader;
pub mod sweep_cut_short;
pub mod torn_tail;
pub mod two_snapshots;
pub mod txns_that_fail;
pub mod watch_across_snapshot;
pub mod zombie_members;

use crate::load::Mix;
use crate::member::Habits;
use crate::world::{Micros, World};

/// In simulated time.
const SECOND: Micros = 1_000_000;

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
fn busy(seed: u64, members: usize) -> (World, usize) {
    let mut world = World::directed(seed, members);
    world.keep_house(Habits { sync_every: 8, catch_up_entries: 4, log_segment_bytes: 4 << 10, mutant: None });
    world.clients_ask(Mix::default(), SECOND / 100, None);
    world.go_on(2 * SECOND);
    let leader = await_leader(&mut world);
    (world, leader)
}

//! Who writes.

use super::*;
use bytes::Bytes;
use disk::{SimDisk, SimFaults};
use member::log::Identity;
use raft::{AppendMark, Entry, EntryKind};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

const DIR: &str = "log";
const SEGMENT_BYTES: u64 = 1 << 20;

fn door(disk: &SimDisk) -> Arc<LogDoor<SimDisk>> {
    door_that_waits(disk, Duration::ZERO)
}

fn door_that_waits(disk: &SimDisk, quiet: Duration) -> Arc<LogDoor<SimDisk>> {
    let identity = Identity { cluster_id: 1, member_id: 2 };
    let log = Log::create(disk.clone(), DIR, identity, SEGMENT_BYTES).unwrap();
    Arc::new(LogDoor { quiet, ..LogDoor::new(log, Arc::default(), Fatal::default()) })
}

fn append(index: u64, bytes: usize) -> LogJob {
    let entry = Entry { index, term: 1, kind: EntryKind::Normal, data: Bytes::from(vec![7; bytes]) };
    let mark = AppendMark { sequence: index, index, term: 1 };
    LogJob::Append(vec![Append { mark, entries: vec![entry], hard_state: None, snapshot: None, must_sync: true }])
}

/// What this thread has written so far.
fn syncs(door: &LogDoor<SimDisk>) -> u64 {
    door.with_log(|log| log.stats().syncs)
}

/// Log's own thread writes what is left, and ends; the indexes that are on the disk then.
fn ends_with(door: Arc<LogDoor<SimDisk>>, disk: &SimDisk) -> Vec<u64> {
    door.close();
    thread::spawn(move || door.drive()).join().unwrap();
    let (_, recovered) = Log::open(disk.clone(), DIR, SEGMENT_BYTES).unwrap();
    recovered.entries.iter().map(|entry| entry.index).collect()
}

fn quiet() -> SimDisk {
    SimDisk::new(1, SimFaults::default())
}

#[test]
fn who_may_wait_writes_what_is_little_and_says_so() {
    let disk = quiet();
    let door = door(&disk);
    door.write_after(|| {
        door.put(append(1, 100)).unwrap();
        door.put(append(2, 100)).unwrap();
        assert_eq!(syncs(&door), 0, "not before it has let go of everything else");
    });
    assert_eq!(syncs(&door), 1, "both at once");
    door.write_after(|| door.put(append(3, 100)).unwrap());
    assert_eq!(syncs(&door), 2, "the baton was laid back");
    assert_eq!(ends_with(door, &disk), [1, 2, 3]);
}

#[test]
fn all_else_is_left_to_logs_own_thread() {
    let disk = quiet();
    let door = door(&disk);
    door.put(append(1, 100)).unwrap();
    assert_eq!(syncs(&door), 0, "who brings it must not wait");
    door.write_after(|| door.put(append(2, 100)).unwrap());
    assert_eq!(syncs(&door), 0, "something is before it");
    assert_eq!(ends_with(door, &disk), [1, 2]);

    let disk = quiet();
    let door = self::door(&disk);
    door.write_after(|| door.put(append(1, LITTLE_BYTES)).unwrap());
    assert_eq!(syncs(&door), 0, "it is much");
    assert_eq!(ends_with(door, &disk), [1]);
}

#[test]
fn at_the_heels_of_a_write_more_is_awaited() {
    let disk = quiet();
    let door = door_that_waits(&disk, Duration::from_secs(3_600));
    door.write_after(|| door.put(append(1, 100)).unwrap());
    assert_eq!(syncs(&door), 1, "the first has none before it");
    door.write_after(|| door.put(append(2, 100)).unwrap());
    assert_eq!(syncs(&door), 1);
    assert_eq!(ends_with(door, &disk), [1, 2]);
}

#[test]
fn what_comes_while_a_passing_thread_writes_is_not_forgotten() {
    let disk = quiet();
    let door = door(&disk);
    let own = thread::spawn({
        let door = door.clone();
        move || door.drive()
    });
    for index in (1..200).step_by(2) {
        door.write_after(|| {
            door.put(append(index, 100)).unwrap();
            // An own thread that sees this sees that the baton is taken.
            door.put(append(index + 1, LITTLE_BYTES)).unwrap();
        });
    }
    door.close();
    own.join().unwrap();
    assert_eq!(door.put(append(201, 1)), Err(Gone));
    let (_, recovered) = Log::open(disk.clone(), DIR, SEGMENT_BYTES).unwrap();
    let indexes: Vec<u64> = recovered.entries.iter().map(|entry| entry.index).collect();
    assert_eq!(indexes, (1..=200).collect::<Vec<_>>());
}

#[test]
fn a_full_disk_is_waited_for_by_logs_own_thread() {
    let disk = quiet();
    let door = door(&disk);
    disk.set_faults(SimFaults { capacity_bytes: Some(0), ..SimFaults::default() });
    door.write_after(|| door.put(append(1, 100)).unwrap());
    assert_eq!(syncs(&door), 0);
    disk.set_faults(SimFaults::default());
    door.write_after(|| door.put(append(2, 100)).unwrap());
    assert_eq!(syncs(&door), 0, "what had no room is before it");
    assert_eq!(ends_with(door, &disk), [1, 2]);
}

#[test]
fn of_what_came_since_the_promise_only_what_is_little_is_written_by_who_made_it() {
    let disk = quiet();
    let door = door(&disk);
    door.write_after(|| {
        door.put(append(1, 10)).unwrap();
        door.put(append(2, LITTLE_BYTES)).unwrap();
        door.put(append(3, 10)).unwrap();
    });
    assert_eq!(syncs(&door), 1);
    let waits: Vec<usize> = door.lock().jobs.iter().map(LogJob::bytes).collect();
    assert_eq!(waits, [LITTLE_BYTES + 64, 10 + 64]);
    assert_eq!(ends_with(door, &disk), [1, 2, 3]);

    let disk = quiet();
    let door = self::door(&disk);
    door.write_after(|| (1..=6).for_each(|index| door.put(append(index, 10)).unwrap()));
    assert_eq!(door.lock().jobs.len(), 2, "nobody is held by one thing after the other");
    assert_eq!(ends_with(door, &disk), [1, 2, 3, 4, 5, 6]);
}

#[test]
fn a_promise_is_made_at_one_door() {
    let disks = [quiet(), quiet()];
    let [one, other] = [door(&disks[0]), door(&disks[1])];
    one.write_after(|| {
        other.put(append(1, 100)).unwrap();
        one.put(append(1, 100)).unwrap();
    });
    assert_eq!([syncs(&one), syncs(&other)], [1, 0]);
    assert_eq!(ends_with(other, &disks[1]), [1]);
}

/// Processes end when a thread panics. Where that is caught, nothing waits for ever.
#[test]
fn after_a_panic_the_member_stops() {
    let disk = quiet();
    let door = door(&disk);
    let panics = catch_unwind(AssertUnwindSafe(|| {
        door.write_after(|| {
            door.put(append(1, 100)).unwrap();
            panic!("on purpose");
        });
    }));
    assert!(panics.is_err());
    assert_eq!(door.put(append(2, 100)), Err(Gone));
    assert_eq!(ends_with(door, &disk), [1]);
}

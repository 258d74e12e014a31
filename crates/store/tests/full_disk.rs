//! A disk without room: nothing ends, nothing is lost, and what housekeeping does leaves the room to the writes.

mod support;

use disk::{Disk, SimDisk, SimFaults};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use store::{Fault, Store};
use support::*;

const DIR: &str = "revisions";

fn few_files(files_max: u64) -> SimFaults {
    SimFaults { files_max: Some(files_max), ..SimFaults::default() }
}

fn reopened(store: Store<SimDisk>, disk: &SimDisk) -> Store<SimDisk> {
    drop(store);
    Store::open(disk.clone(), DIR, settings()).unwrap()
}

/// The next segment cannot even be created: the active one grows on, and gets its successor when there is room.
#[test]
fn a_segment_that_cannot_be_created_is_made_later() {
    for over_quota in [false, true] {
        let disk = disk();
        let mut store = Store::create(disk.clone(), DIR, settings()).unwrap();
        disk.set_faults(SimFaults { over_quota, ..few_files(1) });
        for at in 0..200 {
            apply(&mut store, put(&format!("k{at:03}"), &"v".repeat(100))).unwrap();
        }
        let stats = (store.stats().segments, disk.stats().no_space > 0);
        assert_eq!(stats, (1, true), "the change of segments was tried in vain");
        disk.set_faults(SimFaults::default());
        apply(&mut store, put("with", "room")).unwrap();
        assert_eq!(store.stats().segments, 2);
        let held = store.view().hash_kv(0).unwrap();
        store.sync().unwrap();
        assert_eq!(reopened(store, &disk).view().hash_kv(0).unwrap(), held);
    }
}

/// Not for ever: offsets end at 4 GiB. Then what is applied waits.
#[test]
fn a_segment_does_not_grow_without_end() {
    let disk = disk();
    let mut store = Store::create(disk.clone(), DIR, settings()).unwrap();
    let (roomy, waited) = (disk.clone(), Arc::new(AtomicU64::new(0)));
    let count = waited.clone();
    store.wait_when_full(Box::new(move |_| {
        if count.fetch_add(1, Ordering::Relaxed) == 2 {
            roomy.set_faults(SimFaults::default());
        }
        true
    }));
    disk.set_faults(few_files(1));
    let mut applied = 0;
    while waited.load(Ordering::Relaxed) == 0 {
        assert_eq!(store.stats().segments, 1);
        apply(&mut store, put(&format!("k{applied:03}"), &"v".repeat(500))).unwrap();
        applied += 1;
    }
    assert!((200..400).contains(&applied), "it waited at {applied}");
    assert_eq!((store.stats().segments, waited.load(Ordering::Relaxed)), (2, 3));
    let held = store.view().hash_kv(0).unwrap();
    store.sync().unwrap();
    assert_eq!(reopened(store, &disk).view().hash_kv(0).unwrap(), held);
}

/// Whatever cannot be created or written for want of room is told as that, and can be tried again.
#[test]
fn an_installation_that_can_create_no_file_can_be_tried_again() {
    for over_quota in [false, true] {
        let disk = disk();
        let mut store = Store::create(disk.clone(), DIR, settings()).unwrap();
        for at in 0..200 {
            apply(&mut store, put(&format!("k{at:03}"), &"v".repeat(100))).unwrap();
        }
        let view = store.view();
        let image = image_of(&view);
        let held = view.hash_kv(0).unwrap();
        let files = disk.list(DIR).unwrap().len() as u64;
        let mut refused = 0;
        for more in 0.. {
            disk.set_faults(SimFaults { over_quota, ..few_files(files + more) });
            match store.install(&image[..], view.applied() + 5, view.term(), view.conf_state()) {
                Ok(()) => break,
                Err(fault) => assert!(matches!(&fault, Fault::Disk { .. }) && fault.is_full(), "{fault}"),
            }
            refused += 1;
        }
        assert!(refused > 2, "{refused}");
        assert_eq!(reopened(store, &disk).view().hash_kv(0).unwrap(), held);
    }
}

const LEAVES_BYTES: u64 = 4 << 10;

/// A store with segments of which a third is alive, and a compaction that nobody has swept after.
fn half_dead(disk: &SimDisk) -> Store<SimDisk> {
    let settings = store::Settings { sweep_leaves_bytes: LEAVES_BYTES, ..settings() };
    let mut store = Store::create(disk.clone(), DIR, settings).unwrap();
    for at in 0..300 {
        let key = if at % 3 == 0 { format!("k{at:03}") } else { "again".to_owned() };
        apply(&mut store, put(&key, &"v".repeat(100))).unwrap();
    }
    let revision = store.view().revision();
    apply(&mut store, compact(revision)).unwrap();
    store.sync().unwrap();
    store
}

/// Leaves so much room on the disk.
fn leave(disk: &SimDisk, bytes: u64) {
    let all = 1 << 40;
    disk.set_faults(SimFaults { capacity_bytes: Some(all), ..SimFaults::default() });
    let used = all - disk.free_bytes("").unwrap().unwrap();
    disk.set_faults(SimFaults { capacity_bytes: Some(used + bytes), ..SimFaults::default() });
}

/// What the owner's thread does while nothing else is to be done, so often.
fn idle(store: &mut Store<SimDisk>, times: u32, budget_bytes: u64) {
    for _ in 0..times {
        if store.wants_sweep() {
            store.sweep(budget_bytes).unwrap();
        }
    }
}

fn swept_to_the_end(mut store: Store<SimDisk>, disk: &SimDisk) {
    let held = store.view().hash_kv(0).unwrap();
    let before = store.stats().size_bytes;
    idle(&mut store, 1_000, 64 << 10);
    assert!(
        !store.wants_sweep() && store.stats().size_bytes * 4 < before * 3,
        "{} of {before}",
        store.stats().size_bytes
    );
    assert_eq!(store.view().hash_kv(0).unwrap(), held);
    assert_eq!(reopened(store, disk).view().hash_kv(0).unwrap(), held);
}

#[test]
fn a_sweep_is_begun_only_with_room_for_all_of_it() {
    let disk = disk();
    let mut store = half_dead(&disk);
    leave(&disk, LEAVES_BYTES + 5_000);
    let before = disk.stats();
    idle(&mut store, 1_000, 64 << 10);
    assert_eq!(disk.stats().written_bytes, before.written_bytes, "nothing was written in vain");
    assert!(!store.wants_sweep());
    // What there is room for has it.
    for at in 0..20 {
        apply(&mut store, put(&format!("l{at:03}"), &"v".repeat(100))).unwrap();
        store.flush().unwrap();
        idle(&mut store, 10, 64 << 10);
    }
    assert_eq!(disk.stats().no_space, before.no_space);
    leave(&disk, LEAVES_BYTES + 40_000);
    swept_to_the_end(store, &disk);
    assert_eq!(disk.stats().no_space, before.no_space, "the last of the room is not for sweeps");
}

/// A quota, or a disk that can hold no more files: what it says about its room does not help.
#[test]
fn a_sweep_that_is_refused_is_not_tried_again_and_again() {
    for over_quota in [false, true] {
        let disk = disk();
        let mut store = half_dead(&disk);
        let files = disk.list(DIR).unwrap().len() as u64;
        disk.set_faults(SimFaults { over_quota, ..few_files(files) });
        idle(&mut store, 1_000, 64 << 10);
        assert_eq!((store.stats().sweeps_given_up, disk.stats().no_space), (1, 1));
        // The log has grown by an eighth of a segment.
        for at in 0..8 {
            apply(&mut store, put(&format!("l{at:03}"), &"v".repeat(100))).unwrap();
            idle(&mut store, 100, 64 << 10);
        }
        assert_eq!(store.stats().sweeps_given_up, 2);
        disk.set_faults(SimFaults::default());
        idle(&mut store, 100, 64 << 10);
        assert_eq!(store.stats().segments_swept, 0, "nobody has told it that there is room");
        for at in 0..8 {
            apply(&mut store, put(&format!("m{at:03}"), &"v".repeat(100))).unwrap();
        }
        swept_to_the_end(store, &disk);
    }
}

#[test]
fn a_sweep_gives_its_room_back_when_others_need_it() {
    let disk = disk();
    let mut store = half_dead(&disk);
    let files = disk.list(DIR).unwrap();
    while disk.list(DIR).unwrap() == files {
        idle(&mut store, 1, 500);
    }
    idle(&mut store, 10, 500);
    leave(&disk, LEAVES_BYTES);
    let before = disk.stats().written_bytes;
    idle(&mut store, 1_000, 500);
    assert_eq!((store.stats().sweeps_given_up, disk.stats().written_bytes), (1, before));
    assert_eq!(disk.list(DIR).unwrap(), files, "what it had written is gone");
    leave(&disk, LEAVES_BYTES + 40_000);
    swept_to_the_end(store, &disk);
}

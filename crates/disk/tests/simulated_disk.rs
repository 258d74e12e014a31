//! What a simulated disk does to those who do not sync, and that it does the same twice.

use std::io;

use disk::{Disk, DiskFile, OpenMode, SimDisk, SimFaults};

/// A file of 4 KiB of ones, durable.
fn disk_with_file(seed: u64) -> (SimDisk, <SimDisk as Disk>::File) {
    let disk = SimDisk::new(seed, SimFaults::default());
    let file = disk.open("f", OpenMode::Create).unwrap();
    file.write_at(0, &[&[1; 4096]]).unwrap();
    file.sync().unwrap();
    disk.sync_dir("").unwrap();
    (disk, file)
}

fn content(disk: &SimDisk) -> Vec<u8> {
    let file = disk.open("f", OpenMode::Read).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    let count = file.read_at(0, &mut bytes).unwrap();
    assert_eq!(count, bytes.len());
    bytes
}

#[test]
fn unsynced_sectors_are_kept_or_lost_one_by_one() {
    let (mut kept, mut lost, mut torn) = (0, 0, 0);
    for seed in 0..200 {
        let (disk, file) = disk_with_file(seed);
        file.write_at(0, &[&[2; 4096]]).unwrap();
        let bytes = content(&disk.restart());
        for sector in bytes.chunks(512) {
            assert!(sector.iter().all(|byte| *byte == sector[0]), "a sector is one");
        }
        match (bytes.contains(&1), bytes.contains(&2)) {
            (false, true) => kept += 1,
            (true, false) => lost += 1,
            _ => torn += 1,
        }
    }
    assert!(kept > 20 && lost > 20 && torn > 20, "{kept} {lost} {torn}");
}

#[test]
fn a_name_is_durable_after_a_sync_of_its_directory_only() {
    let mut survivors = 0;
    for seed in 0..100 {
        let (disk, _) = disk_with_file(seed);
        let file = disk.open("g", OpenMode::Create).unwrap();
        file.sync().unwrap();
        disk.rename("f", "h").unwrap();
        let disk = disk.restart();
        assert!(file.len().is_err(), "files do not outlive a restart");
        survivors += u32::from(disk.exists("g").unwrap());
        let (old, new) = (disk.exists("f").unwrap(), disk.exists("h").unwrap());
        assert!(old != new, "a rename is whole or not at all");
    }
    assert!(survivors > 20 && survivors < 80, "{survivors}");
}

#[test]
fn a_directory_that_is_lied_about_loses_names_that_were_synced() {
    let mut lost = 0;
    for seed in 0..40 {
        let (disk, _) = disk_with_file(seed);
        disk.create_dir("other").unwrap();
        disk.lie_about_names("other");
        for path in ["other/a", "b"] {
            disk.open(path, OpenMode::Create).unwrap().sync().unwrap();
        }
        disk.sync_dir("other").unwrap();
        disk.sync_dir("").unwrap();
        let disk = disk.restart();
        assert!(disk.exists("b").unwrap());
        lost += u32::from(!disk.exists("other/a").unwrap());
    }
    assert!(lost > 5, "{lost}");
}

#[test]
fn a_failed_sync_is_never_made_good_by_a_later_one() {
    let mut missing = 0;
    for seed in 0..100 {
        let (disk, file) = disk_with_file(seed);
        file.write_at(0, &[&[2; 4096]]).unwrap();
        disk.set_faults(SimFaults { sync_error: 1.0, ..SimFaults::default() });
        assert!(file.sync().is_err());
        disk.set_faults(SimFaults::default());
        file.sync().unwrap();
        assert_eq!(content(&disk), [2; 4096], "the cache still shows it");
        missing += u32::from(content(&disk.restart()) != [2; 4096]);
    }
    assert!(missing > 40, "{missing}");
}

#[test]
fn power_goes_at_the_operation_asked_for_and_stays_away_until_the_restart() {
    let (disk, file) = disk_with_file(1);
    disk.set_faults(SimFaults { dies_at: Some(disk.operations() + 2), ..SimFaults::default() });
    file.write_at(0, &[b"x"]).unwrap();
    assert!(file.write_at(0, &[b"y"]).is_err());
    assert!(disk.is_dead());
    assert!(file.len().is_err());
    assert!(disk.list("").is_err());
    assert!(disk.open("f", OpenMode::Read).is_err());
    let disk = disk.restart();
    assert_eq!(disk.list("").unwrap(), ["f"]);
    assert_eq!(disk.stats().power_losses, 1);
}

#[test]
fn space_is_given_back_when_a_removed_file_is_closed() {
    let disk = SimDisk::new(1, SimFaults { capacity_bytes: Some(1000), ..SimFaults::default() });
    let file = disk.open("a", OpenMode::Create).unwrap();
    file.write_at(0, &[&[1; 900]]).unwrap();
    let second = disk.open("b", OpenMode::Create).unwrap();
    let error = second.write_at(0, &[&[1; 900]]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    disk.remove("a").unwrap();
    disk.sync_dir("").unwrap();
    drop(file);
    second.truncate(0).unwrap();
    second.write_at(0, &[&[1; 900]]).unwrap();
    assert_eq!(second.len().unwrap(), 900);
}

#[test]
fn a_file_needs_room_too() {
    let create = |disk: &SimDisk, path: &str| disk.open(path, OpenMode::Create).map(drop).map_err(|error| error.kind());
    for (over_quota, told) in [(false, io::ErrorKind::StorageFull), (true, io::ErrorKind::QuotaExceeded)] {
        let disk = SimDisk::new(1, SimFaults { files_max: Some(2), over_quota, ..SimFaults::default() });
        assert_eq!((create(&disk, "a"), create(&disk, "b")), (Ok(()), Ok(())));
        assert_eq!(create(&disk, "c"), Err(told));
        assert!(disk::is_full(&told.into()));
        assert_eq!((disk.exists("c").unwrap(), disk.stats().no_space), (false, 1));
        assert_eq!(disk.remove("c").map_err(|error| error.kind()), Err(io::ErrorKind::NotFound));
        disk.remove_if_there("c").unwrap();
        disk.remove_if_there("a").unwrap();
        assert_eq!(create(&disk, "c"), Ok(()));
        // Where nothing is left, some disks have a place for a name and some have none.
        disk.set_faults(SimFaults { capacity_bytes: Some(0), over_quota, ..SimFaults::default() });
        assert_eq!(disk.free_bytes("").unwrap(), Some(0));
        let refused = (0..100).filter(|at| create(&disk, &format!("f{at}")) == Err(told)).count();
        assert!((20..80).contains(&refused), "{refused}");
    }
}

#[test]
fn each_fault_is_injected_and_counted() {
    let faults = SimFaults {
        read_error: 0.2,
        write_error: 0.2,
        sync_error: 0.2,
        bit_flip: 0.2,
        misdirected_write: 0.2,
        misdirected_read: 0.2,
        stale_read: 0.2,
        ..SimFaults::default()
    };
    let (disk, file) = disk_with_file(3);
    disk.set_faults(faults);
    let mut errors = 0;
    for round in 0..200u64 {
        errors += u64::from(file.write_at(round * 100, &[&[3; 700]]).is_err());
        errors += u64::from(file.read_at(0, &mut [0; 10]).is_err());
        errors += u64::from(file.sync().is_err());
    }
    let stats = disk.stats();
    assert_eq!(errors, stats.write_errors + stats.read_errors + stats.sync_errors);
    let errors = [stats.write_errors, stats.read_errors, stats.sync_errors];
    let wrong = [stats.bit_flips, stats.misdirected_writes, stats.misdirected_reads, stats.stale_reads];
    for count in errors.into_iter().chain(wrong) {
        assert!((15..70).contains(&count), "{stats:?}");
    }
}

#[test]
fn a_misdirected_read_brings_whole_sectors_of_another_place() {
    let (disk, file) = disk_with_file(5);
    let sectors: Vec<u8> = (0..32).flat_map(|sector| [sector; 512]).collect();
    file.write_at(0, &[&sectors]).unwrap();
    disk.set_faults(SimFaults { misdirected_read: 1.0, ..SimFaults::default() });
    for _ in 0..50 {
        let mut bytes = [0xff; 600];
        assert_eq!(file.read_at(16 * 512 + 7, &mut bytes).unwrap(), 600);
        let first = bytes[0];
        assert!(first != 16 && first.abs_diff(16) <= 8, "{first}");
        assert!(bytes[..505].iter().all(|byte| *byte == first) && bytes[505..].iter().all(|byte| *byte == first + 1));
    }
    let mut bytes = [0xff; 600];
    assert_eq!(file.read_at(32 * 512 - 10, &mut bytes).unwrap(), 10, "a file is as long as it is");
}

#[test]
fn a_stale_read_shows_a_sector_as_it_was_before_its_last_write() {
    let (disk, file) = disk_with_file(6);
    disk.set_faults(SimFaults { stale_read: 1.0, ..SimFaults::default() });
    let read = |file: &<SimDisk as Disk>::File| {
        let mut bytes = [0xff; 1024];
        assert_eq!(file.read_at(0, &mut bytes).unwrap(), 1024);
        bytes
    };
    assert_eq!(read(&file), [1; 1024], "what was written before this began is as it is");
    file.write_at(100, &[&[2; 50]]).unwrap();
    file.write_at(200, &[&[3; 50]]).unwrap();
    let bytes = read(&file);
    assert!(bytes[100..150] == [2; 50] && bytes[200..250] == [1; 50], "one write is missing, and it is the last");
    disk.set_faults(SimFaults::default());
    assert_eq!(read(&file)[200..250], [3; 50]);
}

#[test]
fn the_same_seed_does_the_same_twice() {
    let life = || {
        let (disk, file) = disk_with_file(99);
        disk.set_faults(SimFaults { write_error: 0.3, bit_flip: 0.3, misdirected_write: 0.1, ..SimFaults::default() });
        for round in 0..50u64 {
            let _ = file.write_at(round * 333, &[&[round as u8; 1000]]);
        }
        let disk = disk.restart();
        (content(&disk), disk.stats())
    };
    assert_eq!(life(), life());
}

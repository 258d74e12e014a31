//! The write-ahead log as stories: what was synced is there, what was torn is
//! cut, what was damaged is named.

use bytes::Bytes;
use disk::{Disk, SegmentReader, SegmentWriter, SimDisk, SimFaults, Standing};
use member::log::{Identity, Log, Recovered};
use raft::{Append, AppendMark, Entry, EntryKind, HardState, SnapshotMeta};

const DIR: &str = "log";
const WHO: Identity = Identity { member_id: 7, cluster_id: 9 };
const SEGMENT_BYTES: u64 = 4_096;

fn quiet_disk() -> SimDisk {
    SimDisk::new(1, SimFaults::default())
}

fn entry(index: u64, term: u64) -> Entry {
    Entry { kind: EntryKind::Normal, term, index, data: Bytes::from(format!("entry {index} of term {term}")) }
}

fn append(entries: Vec<Entry>, hard_state: Option<HardState>) -> Append {
    let mark = entries.last().map_or_else(AppendMark::default, |last| AppendMark {
        sequence: last.index,
        index: last.index,
        term: last.term,
    });
    Append { mark, entries, hard_state, snapshot: None, must_sync: true }
}

fn run(first: u64, last: u64, term: u64) -> Append {
    append(
        (first..=last).map(|index| entry(index, term)).collect(),
        Some(HardState { term, vote: 7, commit: first - 1 }),
    )
}

fn create(disk: &SimDisk) -> Log<SimDisk> {
    Log::create(disk.clone(), DIR, WHO, SEGMENT_BYTES).expect("an empty disk takes a log")
}

fn reopen(disk: &SimDisk) -> (Log<SimDisk>, Recovered) {
    Log::open(disk.clone(), DIR, SEGMENT_BYTES).expect("a healthy log opens")
}

fn indexes(recovered: &Recovered) -> Vec<(u64, u64)> {
    recovered.entries.iter().map(|entry| (entry.index, entry.term)).collect()
}

#[test]
fn what_was_appended_comes_back_with_its_owner_and_hard_state() {
    let disk = quiet_disk();
    let mut log = create(&disk);
    let mark = log.append(&[run(1, 3, 1), run(4, 5, 2)]).unwrap();
    assert_eq!(mark, Some(AppendMark { sequence: 5, index: 5, term: 2 }), "the mark is the last append's");
    drop(log);
    let (log, recovered) = reopen(&disk);
    assert_eq!(log.identity(), WHO);
    assert_eq!(recovered.base, (0, 0));
    assert_eq!(indexes(&recovered), vec![(1, 1), (2, 1), (3, 1), (4, 2), (5, 2)]);
    assert_eq!(recovered.entries[4].data, Bytes::from("entry 5 of term 2"));
    assert_eq!(recovered.hard_state, HardState { term: 2, vote: 7, commit: 3 });
    assert_eq!(recovered.cut, None);
}

#[test]
fn a_new_leader_overwrites_what_was_never_committed() {
    let disk = quiet_disk();
    let mut log = create(&disk);
    log.append(&[run(1, 6, 1)]).unwrap();
    log.append(&[run(4, 5, 3)]).unwrap();
    drop(log);
    let (_, recovered) = reopen(&disk);
    assert_eq!(indexes(&recovered), vec![(1, 1), (2, 1), (3, 1), (4, 3), (5, 3)]);
}

#[test]
fn a_snapshot_starts_the_log_anew() {
    let disk = quiet_disk();
    let mut log = create(&disk);
    log.append(&[run(1, 4, 1)]).unwrap();
    let meta = SnapshotMeta { index: 100, term: 5, ..SnapshotMeta::default() };
    let snapshot = Append { snapshot: Some(meta), ..append(vec![entry(101, 5)], None) };
    log.append(&[snapshot]).unwrap();
    drop(log);
    let (_, recovered) = reopen(&disk);
    assert_eq!(recovered.base, (100, 5));
    assert_eq!(indexes(&recovered), vec![(101, 5)]);
}

#[test]
fn released_segments_are_gone_and_the_rest_knows_where_it_begins() {
    let disk = quiet_disk();
    let mut log = create(&disk);
    for index in 1..=400 {
        log.append(&[run(index, index, 1 + index / 100)]).unwrap();
    }
    let before = disk.list(DIR).unwrap().len();
    assert!(before > 3, "small segments: {before}");
    log.release(300).unwrap();
    let after = disk.list(DIR).unwrap().len();
    assert!(after < before, "{before} segments, then {after}");
    drop(log);
    let (_, recovered) = reopen(&disk);
    let (base, term) = recovered.base;
    assert!(base <= 300 && base > 0, "nothing above 300 is gone, something below is: {base}");
    assert_eq!(term, 1 + base / 100, "the term before the first entry is known");
    assert_eq!(recovered.entries.first().map(|entry| entry.index), Some(base + 1));
    assert_eq!(recovered.entries.last().map(|entry| entry.index), Some(400));
}

#[test]
fn an_overwrite_across_released_segments_keeps_its_place() {
    let disk = quiet_disk();
    let mut log = create(&disk);
    log.append(&[run(1, 200, 1)]).unwrap();
    log.append(&[run(150, 260, 4)]).unwrap();
    log.append(&[run(261, 300, 4)]).unwrap();
    log.release(300).unwrap();
    drop(log);
    let (_, recovered) = reopen(&disk);
    let (base, _) = recovered.base;
    assert_eq!(recovered.entries.len() as u64, 300 - base);
    assert!(recovered.entries.iter().all(|entry| entry.index < 150 || entry.term == 4));
}

#[test]
fn a_crash_at_any_operation_keeps_what_was_acknowledged() {
    // First count the operations of the whole story, then die at each of them.
    let story = |disk: &SimDisk, acknowledged: &mut u64| -> Result<(), member::Fault> {
        let mut log = Log::create(disk.clone(), DIR, WHO, SEGMENT_BYTES)?;
        for index in 1..=60 {
            log.append(&[run(index, index, 1)])?;
            *acknowledged = index;
            if index == 50 {
                log.release(20)?;
            }
        }
        Ok(())
    };
    let whole = quiet_disk();
    story(&whole, &mut 0).unwrap();
    let operations = whole.operations();
    assert!(operations > 100, "{operations} operations");
    for dies_at in 1..=operations {
        let disk = SimDisk::new(dies_at, SimFaults { dies_at: Some(dies_at), ..SimFaults::default() });
        let mut acknowledged = 0;
        assert!(story(&disk, &mut acknowledged).is_err(), "the disk died at {dies_at}");
        let disk = disk.restart();
        if !Log::exists(&disk, DIR).unwrap() {
            assert_eq!(acknowledged, 0, "a log that answered has not vanished (died at {dies_at})");
            continue;
        }
        let (mut log, recovered) = Log::open(disk.clone(), DIR, SEGMENT_BYTES)
            .unwrap_or_else(|fault| panic!("died at {dies_at}, {acknowledged} acknowledged: {fault}"));
        let last = recovered.base.0 + recovered.entries.len() as u64;
        assert!(last >= acknowledged, "died at {dies_at}: {acknowledged} were acknowledged, {last} are there");
        assert!(last <= acknowledged + 1, "died at {dies_at}: {last} entries, {acknowledged} acknowledged: invented");
        log.append(&[run(last + 1, last + 1, 1)]).unwrap();
        drop(log);
        let (_, again) = reopen(&disk);
        assert_eq!(again.base.0 + again.entries.len() as u64, last + 1, "died at {dies_at}: goes on after");
    }
}

#[test]
fn a_flipped_bit_in_a_closed_segment_is_named_with_file_and_offset() {
    let disk = quiet_disk();
    let mut log = create(&disk);
    for index in 1..=200 {
        log.append(&[run(index, index, 1)]).unwrap();
    }
    drop(log);
    let path = format!("{DIR}/{}", disk.list(DIR).unwrap()[0]);
    disk.flip_bit(&path, 700, 4).unwrap();
    let words = Log::open(disk, DIR, SEGMENT_BYTES).err().expect("damage is not passed over").to_string();
    assert!(words.contains(&path) && words.contains("corrupt at offset"), "{words}");
}

#[test]
fn a_full_disk_refuses_and_goes_on_when_there_is_room() {
    for over_quota in [false, true] {
        let faults = SimFaults { capacity_bytes: Some(3_000), over_quota, ..SimFaults::default() };
        let disk = SimDisk::new(3, faults);
        let mut log = create(&disk);
        let mut written = 0;
        let refused = loop {
            match log.append(&[run(written + 1, written + 1, 1)]) {
                Ok(_) => written += 1,
                Err(fault) => break fault,
            }
        };
        assert!(refused.is_full(), "{refused}");
        assert!(written > 0);
        disk.set_faults(SimFaults::default());
        log.append(&[run(written + 1, written + 1, 1)]).expect("the same batch again, now with room");
        drop(log);
        let (_, recovered) = reopen(&disk);
        assert_eq!(recovered.entries.len() as u64, written + 1, "each entry once");
    }
}

/// The next segment cannot even be created: the open one grows on, and gets its successor when there is room.
#[test]
fn a_segment_that_cannot_be_created_is_made_later() {
    let disk = quiet_disk();
    let mut log = create(&disk);
    disk.set_faults(SimFaults { files_max: Some(1), ..SimFaults::default() });
    for index in 1..=300 {
        log.append(&[run(index, index, 1)]).unwrap();
    }
    assert_eq!(disk.list(DIR).unwrap().len(), 1);
    assert!(disk.stats().no_space > 0, "the change of segments was tried in vain");
    // Not for ever: offsets end at 4 GiB.
    let mut next = 301;
    let refused = loop {
        match log.append(&[run(next, next, 1)]) {
            Ok(_) => next += 1,
            Err(fault) => break fault,
        }
    };
    assert!(refused.is_full(), "{refused}");
    assert!((300..2_000).contains(&next), "{next}");
    disk.set_faults(SimFaults::default());
    log.append(&[run(next, next, 1)]).expect("the same batch again, now with room");
    assert_eq!(disk.list(DIR).unwrap().len(), 2);
    drop(log);
    assert_eq!(reopen(&disk).1.entries.len() as u64, next);
}

#[test]
fn a_missing_segment_between_others_is_corruption() {
    let disk = quiet_disk();
    let mut log = create(&disk);
    for index in 1..=300 {
        log.append(&[run(index, index, 1)]).unwrap();
    }
    drop(log);
    let names = disk.list(DIR).unwrap();
    assert!(names.len() > 3);
    disk.remove(&format!("{DIR}/{}", names[1])).unwrap();
    let words = Log::open(disk, DIR, SEGMENT_BYTES).err().expect("a hole is not passed over").to_string();
    assert!(words.contains(&names[1]), "{words}");
}

#[test]
fn a_loss_of_power_while_segments_are_released_leaves_no_hole() {
    for seed in 1..=60 {
        let disk = SimDisk::new(seed, SimFaults::default());
        let mut log = create(&disk);
        for index in 1..=400 {
            log.append(&[run(index, index, 1)]).unwrap();
        }
        // Dies while it removes, or right after.
        disk.set_faults(SimFaults { dies_at: Some(disk.operations() + 1 + seed % 12), ..SimFaults::default() });
        let _ = log.release(350);
        disk.kill();
        let (_, recovered) = reopen(&disk.restart());
        assert_eq!(recovered.entries.last().map(|entry| entry.index), Some(400), "seed {seed}");
    }
}

/// Found by the fuzz target `wal_frames`: a frame is whole, but what it says cannot be.
#[test]
fn a_term_that_falls_is_corruption_with_file_and_offset() {
    let disk = quiet_disk();
    let mut log = create(&disk);
    log.append(&[run(1, 2, 5)]).unwrap();
    log.close().unwrap();
    let path = format!("{DIR}/{}", disk.list(DIR).unwrap().last().unwrap());
    let mut reader = SegmentReader::open(&disk, &path, Standing::Last).unwrap();
    let mut frames = Vec::new();
    while let Some(frame) = reader.next().unwrap() {
        frames.push((frame.kind, frame.body.to_vec()));
    }
    let header = reader.header();
    disk.remove(&path).unwrap();
    let mut writer = SegmentWriter::create(&disk, &path, header).unwrap();
    for (kind, mut body) in frames {
        // An entry's index, then its term: that of entry 2 becomes 4.
        if kind == 3 && body[..16] == *[2u64, 5].map(u64::to_le_bytes).as_flattened() {
            body[8] = 4;
        }
        writer.append(&[(kind, &[&body])]).unwrap();
    }
    writer.sync().unwrap();
    let words = Log::open(disk, DIR, SEGMENT_BYTES).err().expect("a term that falls is not taken").to_string();
    assert!(words.contains(&path) && words.contains("entry 2 of term 4 behind one of term 5"), "{words}");
}

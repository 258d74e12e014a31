//! One entry that changes very much: its frames count together or not at all.

mod support;

use bytes::Bytes;
use disk::{Disk, DiskFile, OpenMode, SegmentHeader, SegmentReader, SegmentWriter, SimDisk, SimFaults, Standing};
use proto::etcdserverpb as pb;
use store::{Settings, Store};
use support::*;

const DIR: &str = "revisions";
const KEYS: u64 = 120;
/// What a frame without its last one is called.
const UNFINISHED: u8 = 4;

/// Frames that hold some ten deletions.
fn few_in_a_frame() -> Settings {
    Settings { frame_bytes: 400, segment_bytes: 1 << 20, ..settings() }
}

/// A store with many keys, half of them on a lease; flushed and synced.
fn with_keys(disk: &SimDisk, settings: Settings) -> Store<SimDisk> {
    let mut store = Store::create(disk.clone(), DIR, settings).unwrap();
    apply(&mut store, grant(7, 60)).unwrap();
    for at in 0..KEYS {
        let put = put_request(&format!("k{at:03}"), "v", if at % 2 == 0 { 7 } else { 0 });
        apply(&mut store, pb::InternalRaftRequest { put: Some(put), ..request() }).unwrap();
    }
    store.sync().unwrap();
    store
}

/// Kinds of the frames of the only segment, and where each ends.
fn frames(disk: &SimDisk) -> Vec<(u8, u64)> {
    let names = disk.list(DIR).unwrap();
    assert_eq!(names.len(), 1);
    let mut reader = SegmentReader::open(disk, &format!("{DIR}/{}", names[0]), Standing::Last).unwrap();
    let mut frames = Vec::new();
    while let Some(frame) = reader.next().unwrap() {
        frames.push((frame.kind, reader.tail().offset));
    }
    frames
}

/// All that is told of it, now and in the past.
fn told(store: &Store<SimDisk>) -> String {
    let view = store.view();
    let hash = view.hash_kv(0).unwrap();
    let history: Vec<_> = view.history(1, i64::MAX).map(|events| events.unwrap()).collect();
    let records: Vec<_> = view.records().map(|record| format!("{:?}", record.unwrap())).collect();
    let leases: Vec<_> = view.leases().map(|(id, _)| (id, view.lease_keys(id))).collect();
    let past = view.range(&range_request("a", "z", view.revision() - 1)).unwrap();
    format!("{hash:?} {:?} {history:?} {records:?} {leases:?} {past:?}", view.chain())
}

#[test]
fn a_deletion_of_everything_comes_back_as_a_whole() {
    for change in [delete("a", "z"), revoke(7)] {
        let (disk, plain_disk) = (disk(), support::disk());
        let mut store = with_keys(&disk, few_in_a_frame());
        let mut plain = with_keys(&plain_disk, Settings { frame_bytes: 1 << 20, ..few_in_a_frame() });
        let index = store.applied().0 + 1;
        let one = store.apply(&[entry(index, change.clone())], &|_| true).unwrap();
        let other = plain.apply(&[entry(index, change)], &|_| true).unwrap();
        assert_eq!(one, other);
        let kinds: Vec<u8> = frames(&disk).iter().map(|(kind, _)| *kind).collect();
        let unfinished = kinds.iter().filter(|kind| **kind == UNFINISHED).count();
        assert!(unfinished > 2, "{kinds:?}");
        assert_eq!(told(&store), told(&plain));
        // What follows it stands behind it, and sees it.
        for store in [&mut store, &mut plain] {
            apply(store, put("k001", "again")).unwrap();
            apply(store, delete("k001", "")).unwrap();
        }
        assert_eq!(told(&store), told(&plain));
        store.sync().unwrap();
        drop(store);
        let store = Store::open(disk, DIR, few_in_a_frame()).unwrap();
        assert_eq!(told(&store), told(&plain));
    }
}

/// Whoever opens the log finds the entry or not; it never finds some of the frames.
#[test]
fn a_crash_between_the_frames_leaves_none_of_them() {
    let (mut without, mut with, mut cut) = (0, 0, 0);
    for seed in 1..400 {
        let disk = SimDisk::new(seed, SimFaults::default());
        let mut store = with_keys(&disk, few_in_a_frame());
        let before = (store.applied().0, told(&store));
        disk.set_faults(SimFaults { dies_at: Some(disk.operations() + 1 + seed % 14), ..SimFaults::default() });
        let change = entry(before.0 + 1, delete("a", "z"));
        let done = store.apply(std::slice::from_ref(&change), &|_| false).and_then(|_| store.sync()).is_ok();
        drop(store);
        disk.kill();
        let disk = if seed % 3 == 0 { disk.restart_process() } else { disk.restart() };
        let written = frames(&disk);
        let mut store = Store::open(disk.clone(), DIR, few_in_a_frame()).unwrap();
        if store.applied().0 == before.0 {
            assert!(!done, "seed {seed}: it was durable");
            assert_eq!(told(&store), before.1, "seed {seed}");
            cut += u32::from(written.last().is_some_and(|(kind, _)| *kind == UNFINISHED));
            assert!(frames(&disk).iter().all(|(kind, _)| *kind != UNFINISHED), "what does not count is gone");
            store.apply(std::slice::from_ref(&change), &|_| false).unwrap();
            without += 1;
        } else {
            with += 1;
        }
        assert_eq!(store.applied().0, before.0 + 1);
        store.sync().unwrap();
        let after = told(&store);
        drop(store);
        let store = Store::open(disk.restart(), DIR, few_in_a_frame()).unwrap();
        assert_eq!(told(&store), after, "seed {seed}");
        assert_eq!(store.view().count(store::keys::KeyRange::ALL), 0);
    }
    assert!(without > 50 && with > 50 && cut > 50, "{without} without, {with} with it, {cut} were cut");
}

/// In a segment that is not the last, a batch is whole.
#[test]
fn a_batch_that_does_not_end_in_a_sealed_segment_is_corruption() {
    let disk = disk();
    let settings = Settings { segment_bytes: 4 << 10, ..few_in_a_frame() };
    let mut store = with_keys(&disk, Settings { segment_bytes: 1 << 20, ..settings.clone() });
    apply(&mut store, delete("a", "z")).unwrap();
    store.sync().unwrap();
    drop(store);
    let mut store = Store::open(disk.clone(), DIR, settings.clone()).unwrap();
    apply(&mut store, put("in", "the next")).unwrap();
    store.sync().unwrap();
    drop(store);
    let names = disk.list(DIR).unwrap();
    assert_eq!(names.len(), 2);
    let path = |at: usize| format!("{DIR}/{}", names[at]);
    // Both are written again, the first one without its last frame, and the chain goes on from one to the other.
    let mut chain_seed = 0;
    for at in 0..2 {
        let mut reader = SegmentReader::open(&disk, &path(at), Standing::Last).unwrap();
        let mut frames = Vec::new();
        while let Some(frame) = reader.next().unwrap() {
            frames.push((frame.kind, frame.body));
        }
        let header = SegmentHeader { chain_seed, ..reader.header() };
        frames.truncate(frames.len() - usize::from(at == 0));
        disk.remove(&path(at)).unwrap();
        let mut writer = SegmentWriter::create(&disk, &path(at), header).unwrap();
        for (kind, body) in &frames {
            writer.append(&[(*kind, &[body])]).unwrap();
        }
        chain_seed = writer.chain();
        assert_eq!(frames.last().unwrap().0 == UNFINISHED, at == 0);
    }
    let length = disk.open(&path(0), OpenMode::Read).unwrap().len().unwrap();
    let words = Store::open(disk, DIR, settings).unwrap_err().to_string();
    let expected = format!("{} is corrupt at offset {length}: the last frame of a batch is missing", path(0));
    assert_eq!(words, expected);
}

/// What an entry asks for says little about how much it writes: a put that keeps its value writes the value.
#[test]
fn entries_that_change_much_are_batches_of_their_own() {
    let disk = disk();
    let settings = Settings { frame_bytes: 4 << 10, segment_bytes: 1 << 20, ..settings() };
    let mut store = Store::create(disk.clone(), DIR, settings.clone()).unwrap();
    apply(&mut store, put("k", &"v".repeat(1_000))).unwrap();
    let keeps = pb::PutRequest { ignore_value: true, value: Bytes::new(), ..put_request("k", "", 0) };
    let request = pb::InternalRaftRequest { put: Some(keeps), ..request() };
    let before = store.stats().frames;
    let applied = apply_all(&mut store, vec![request; 40]);
    assert_eq!((applied.outcomes.len(), applied.events.len(), applied.index), (40, 40, 41));
    assert_eq!(store.stats().frames - before, 10, "four in each");
    store.sync().unwrap();
    let lengths: Vec<u64> = frames(&disk).windows(2).map(|pair| pair[1].1 - pair[0].1).collect();
    assert!(lengths.iter().all(|length| *length < (4 << 10) + 1_200), "{lengths:?}");
    let held = told(&store);
    drop(store);
    assert_eq!(told(&Store::open(disk, DIR, settings).unwrap()), held);
}

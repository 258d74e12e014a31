//! The revision log: the bytes of a segment, and frames that are whole and
//! say anything.

use crate::log::{bodies, newest, read, replace, rewrite};
use crate::requests::{apply, sound_requests};
use disk::{Disk, LogKind, SegmentHeader, SimDisk, SimFaults};
use store::{Settings, Store};

const DIR: &str = "store";

pub(crate) fn settings() -> Settings {
    Settings { member_id: 1, cluster_id: 2, segment_bytes: 64 << 10, resident_bytes: 4 << 10, ..Settings::default() }
}

/// An empty store on a disk of its own.
pub(crate) fn empty() -> (SimDisk, Store<SimDisk>) {
    let disk = SimDisk::new(1, SimFaults::default());
    let store = Store::create(disk.clone(), DIR, settings()).expect("an empty disk takes a store");
    (disk, store)
}

/// A disk with a sound store, and the path of its newest segment.
fn sound() -> (SimDisk, String) {
    let (disk, mut store) = empty();
    for request in sound_requests() {
        apply(&mut store, &request).expect("a sound request");
    }
    store.sync().expect("the disk is well");
    drop(store);
    let path = newest(&disk, DIR);
    (disk, path)
}

/// Reads all that a store holds: errors are answers, panics are not.
pub(crate) fn read_all<D: Disk>(store: &Store<D>) {
    let view = store.view();
    let everything = proto::etcdserverpb::RangeRequest {
        key: vec![0].into(),
        range_end: vec![0].into(),
        limit: 1_000,
        ..Default::default()
    };
    let first = view.compacted().max(1);
    for revision in [0, first, first.saturating_add(1), view.revision()] {
        let request = proto::etcdserverpb::RangeRequest { revision, ..everything.clone() };
        let _ = view.range(&request);
    }
    let _ = view.hash_kv(0);
}

/// What opens can be read and written to, and opens again.
fn open(disk: &SimDisk) {
    let Ok(mut store) = Store::open(disk.clone(), DIR, settings()) else { return };
    read_all(&store);
    for request in sound_requests() {
        if apply(&mut store, &request).is_err() {
            return;
        }
    }
    let _ = store.sweep(1 << 20);
    if store.sync().is_err() {
        return;
    }
    let applied = store.applied();
    drop(store);
    let again = Store::open(disk.clone(), DIR, settings()).expect("what was opened, written and synced opens");
    assert_eq!(again.applied(), applied);
}

/// The bytes of the only segment.
pub fn file(bytes: &[u8]) {
    let (disk, path) = sound();
    replace(&disk, &path, bytes);
    open(&disk);
}

/// A sound segment, and one without its end.
pub fn file_seeds() -> Vec<Vec<u8>> {
    let (disk, path) = sound();
    let whole = read(&disk, &path);
    vec![whole[..whole.len() * 2 / 3].to_vec(), whole]
}

/// Frames whose checks hold.
pub fn frames(bytes: &[u8]) {
    let (disk, path) = sound();
    let header = SegmentHeader { kind: LogKind::REVISIONS, sequence: 1, chain_seed: 0 };
    rewrite(&disk, &path, header, bytes);
    open(&disk);
}

/// Those of a sound segment.
pub fn frame_seeds() -> Vec<Vec<u8>> {
    let (disk, path) = sound();
    let bodies = bodies(&disk, &path);
    vec![crate::join(bodies.iter().map(Vec::as_slice))]
}

//! The write-ahead log: the bytes of a segment, and frames that are whole and
//! say anything.

use bytes::Bytes;
use disk::{Disk, DiskFile, LogKind, OpenMode, SegmentHeader, SegmentWriter, SimDisk, SimFaults};
use disk::{SegmentReader, Standing};
use member::log::{Identity, Log};
use raft::{Append, AppendMark, Entry, EntryKind, HardState};

const DIR: &str = "log";
const WHO: Identity = Identity { member_id: 7, cluster_id: 9 };
const SEGMENT_BYTES: u64 = 4_096;

fn append(first: u64, last: u64, term: u64) -> Append {
    let entry = |index| {
        let kind = [EntryKind::Normal, EntryKind::ConfChange, EntryKind::ConfChangeV2][index as usize % 3];
        Entry { kind, term, index, data: Bytes::from(format!("entry {index}")) }
    };
    Append {
        mark: AppendMark { sequence: last, index: last, term },
        entries: (first..=last).map(entry).collect(),
        hard_state: Some(HardState { term, vote: 7, commit: first - 1 }),
        snapshot: None,
        must_sync: true,
    }
}

/// A disk with a sound log, and the path of its newest segment.
fn sound() -> (SimDisk, String) {
    let disk = SimDisk::new(1, SimFaults::default());
    let mut log = Log::create(disk.clone(), DIR, WHO, SEGMENT_BYTES).expect("an empty disk takes a log");
    log.append(&[append(1, 4, 1)]).expect("the disk is well");
    log.append(&[append(3, 6, 2)]).expect("the disk is well");
    log.close().expect("the disk is well");
    let path = newest(&disk, DIR);
    (disk, path)
}

/// The path of the last file in a directory.
pub(crate) fn newest(disk: &SimDisk, dir: &str) -> String {
    let names = disk.list(dir).expect("the directory is there");
    format!("{dir}/{}", names.last().expect("it has a file"))
}

/// All bytes of a file.
pub(crate) fn read(disk: &SimDisk, path: &str) -> Vec<u8> {
    let file = disk.open(path, OpenMode::Read).expect("the file is there");
    let mut bytes = vec![0; file.len().expect("the disk is well") as usize];
    file.read_at(0, &mut bytes).expect("the disk is well");
    bytes
}

/// Puts these bytes in the place of a file, durably.
pub(crate) fn replace(disk: &SimDisk, path: &str, bytes: &[u8]) {
    let file = disk.open(path, OpenMode::ReadWrite).expect("the file is there");
    file.truncate(0).expect("the disk is well");
    file.write_at(0, &[bytes]).expect("the disk is well");
    file.sync().expect("the disk is well");
}

/// The frames of a segment, each with its kind in front.
pub(crate) fn bodies(disk: &SimDisk, path: &str) -> Vec<Vec<u8>> {
    let mut reader = SegmentReader::open(disk, path, Standing::Last).expect("a sound segment");
    let mut bodies = Vec::new();
    while let Some(frame) = reader.next().expect("a sound segment") {
        let mut body = vec![frame.kind];
        body.extend_from_slice(&frame.body);
        bodies.push(body);
    }
    bodies
}

/// Writes a segment of whole frames in the place of a file: pieces of a kind
/// and a body.
pub(crate) fn rewrite(disk: &SimDisk, path: &str, header: SegmentHeader, frames: &[u8]) {
    disk.remove(path).expect("the file is there");
    let mut writer = SegmentWriter::create(disk, path, header).expect("the disk is well");
    for piece in crate::pieces(frames) {
        let Some((kind, body)) = piece.split_first() else { continue };
        // Kind 0 is the writer's own.
        writer.append(&[((*kind).max(1), &[body])]).expect("the disk is well");
    }
    writer.sync().expect("the disk is well");
}

/// What opens goes on, and opens again with what was added.
fn open(disk: &SimDisk) {
    let Ok((mut log, recovered)) = Log::open(disk.clone(), DIR, SEGMENT_BYTES) else { return };
    let last = recovered.entries.last().map_or(recovered.base, |entry| (entry.index, entry.term));
    let indexes = recovered.entries.iter().map(|entry| entry.index);
    assert!(indexes.eq(recovered.base.0 + 1..=last.0), "entries follow each other from the base on");
    let (Some(next), Some(_)) = (last.0.checked_add(1), last.0.checked_add(2)) else { return };
    let mut more = append(next, next, last.1);
    more.hard_state = None;
    log.append(&[more]).expect("the disk is well");
    log.close().expect("the disk is well");
    let (_, again) = Log::open(disk.clone(), DIR, SEGMENT_BYTES).expect("what was opened and closed opens");
    assert_eq!(again.entries.last().map(|entry| entry.index), Some(next), "what was added is there");
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
    let mut whole = read(&disk, &path);
    let end = whole.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
    whole.truncate(end);
    vec![whole[..whole.len() / 2].to_vec(), whole]
}

/// Frames whose checks hold.
pub fn frames(bytes: &[u8]) {
    let (disk, path) = sound();
    let header = SegmentHeader { kind: LogKind::WAL, sequence: 0, chain_seed: 0 };
    rewrite(&disk, &path, header, bytes);
    open(&disk);
}

/// Those of a sound segment.
pub fn frame_seeds() -> Vec<Vec<u8>> {
    let (disk, path) = sound();
    let bodies = bodies(&disk, &path);
    vec![crate::join(bodies.iter().map(Vec::as_slice))]
}

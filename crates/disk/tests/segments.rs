//! What a segment promises, shown on a simulated disk.

use disk::{
    Disk, Ending, Frame, LogKind, OpenMode, SegmentError, SegmentHeader, SegmentReader, SegmentWriter, SimDisk,
    SimFaults, SimFile, Standing, Tail,
};
use std::io;

const PATH: &str = "0.seg";

const HEADER: SegmentHeader = SegmentHeader { kind: LogKind::WAL, sequence: 3, chain_seed: 0xfeed };

fn quiet_disk() -> SimDisk {
    SimDisk::new(1, SimFaults::default())
}

fn read(disk: &SimDisk, standing: Standing) -> Result<(Vec<Frame>, Ending, Tail), SegmentError> {
    let mut reader = SegmentReader::open(disk, PATH, standing)?;
    let mut frames = Vec::new();
    while let Some(frame) = reader.next()? {
        frames.push(frame);
    }
    let ending = reader.ending().expect("it said it was over");
    Ok((frames, ending, reader.tail()))
}

fn bodies(frames: &[Frame]) -> Vec<Vec<u8>> {
    frames.iter().map(|frame| frame.body.to_vec()).collect()
}

/// Three synced batches: small frames, one of several sectors, one that holds sectors of zeros, an empty one.
fn write_three_batches(disk: &SimDisk) -> (SegmentWriter<SimFile>, Vec<Vec<u8>>) {
    let mut writer = SegmentWriter::create(disk, PATH, HEADER).unwrap();
    let long: Vec<u8> = (0..1300u32).map(|i| (i % 251) as u8 + 1).collect();
    let mut zeros = vec![0; 1800];
    zeros[7] = 9;
    zeros[1700] = 9;
    writer.append(&[(1, &[b"one"]), (2, &[b"tw", b"", b"o"])]).unwrap();
    writer.sync().unwrap();
    writer.append(&[(1, &[&long]), (7, &[])]).unwrap();
    writer.sync().unwrap();
    writer.append(&[(1, &[&zeros]), (1, &[b"last"])]).unwrap();
    writer.sync().unwrap();
    let bodies = vec![b"one".to_vec(), b"two".to_vec(), long, Vec::new(), zeros, b"last".to_vec()];
    (writer, bodies)
}

#[test]
fn what_was_appended_is_read_with_its_kinds_and_places() {
    let disk = quiet_disk();
    let mut writer = SegmentWriter::create(&disk, PATH, HEADER).unwrap();
    let offsets = writer.append(&[(1, &[b"alpha"]), (9, &[b"be", b"ta"])]).unwrap();
    writer.sync().unwrap();
    let (frames, ending, tail) = read(&disk, Standing::Sealed).unwrap();
    assert_eq!(offsets, [32 + 24, 32 + 24 + 5 + 24]);
    assert_eq!(frames.len(), 2);
    assert_eq!((frames[0].kind, &frames[0].body[..]), (1, &b"alpha"[..]));
    assert_eq!((frames[1].kind, &frames[1].body[..]), (9, &b"beta"[..]));
    assert_eq!(frames[1].offset, offsets[1]);
    assert_eq!(ending, Ending::Clean);
    assert_eq!((tail.offset, tail.chain), (writer.len(), writer.chain()));
    assert_eq!(tail.header, HEADER);
}

#[test]
fn a_frame_longer_than_the_read_ahead_and_its_neighbours_come_through() {
    let disk = quiet_disk();
    let mut writer = SegmentWriter::create(&disk, PATH, HEADER).unwrap();
    let big: Vec<u8> = (0..1_000_000u32).map(|i| (i * 7) as u8).collect();
    for _ in 0..3 {
        writer.append(&[(1, &[b"x"]), (2, &[&big]), (1, &[&big[..300_000]])]).unwrap();
    }
    let (frames, ending, _) = read(&disk, Standing::Last).unwrap();
    assert_eq!(ending, Ending::Clean);
    assert_eq!(frames.len(), 9);
    assert!(frames.iter().skip(1).step_by(3).all(|frame| frame.body == big));
}

#[test]
fn space_filled_with_zeros_behind_the_last_frame_is_a_clean_end() {
    let disk = quiet_disk();
    let (writer, expected) = write_three_batches(&disk);
    let file = writer.file();
    disk::DiskFile::truncate(&*file, 100_000).unwrap();
    let (frames, ending, tail) = read(&disk, Standing::Last).unwrap();
    assert_eq!(bodies(&frames), expected);
    assert_eq!((ending, tail.offset), (Ending::Clean, writer.len()));
}

#[test]
fn every_bit_flip_is_an_error_that_names_the_file_and_a_place_before_it() {
    let disk = quiet_disk();
    let (writer, _) = write_three_batches(&disk);
    for offset in 0..writer.len() {
        for bit in 0..8 {
            disk.flip_bit(PATH, offset, bit).unwrap();
            for standing in [Standing::Last, Standing::Sealed] {
                match read(&disk, standing) {
                    Err(SegmentError::Corrupt { file, offset: at, .. }) => {
                        assert_eq!(file, PATH);
                        assert!(at <= offset, "bit {bit} of {offset}: reported at {at}");
                    }
                    other => panic!("bit {bit} of byte {offset}: {other:?}"),
                }
            }
            disk.flip_bit(PATH, offset, bit).unwrap();
        }
    }
}

#[test]
fn a_bit_flip_in_space_that_was_never_written_loses_nothing() {
    let disk = quiet_disk();
    let (writer, expected) = write_three_batches(&disk);
    let end = writer.len();
    disk::DiskFile::truncate(&*writer.file(), end + 3000).unwrap();
    for offset in (end..end + 3000).step_by(7) {
        disk.flip_bit(PATH, offset, 3).unwrap();
        match read(&disk, Standing::Last) {
            Ok((frames, ending, tail)) => {
                assert_eq!(bodies(&frames), expected);
                assert_eq!((ending, tail.offset), (Ending::Torn { at: end }, end));
            }
            // Its first byte decides whether it can be a frame that lost a sector.
            Err(SegmentError::Corrupt { offset: at, .. }) => assert_eq!(at, end),
            Err(other) => panic!("{other}"),
        }
        disk.flip_bit(PATH, offset, 3).unwrap();
    }
}

fn overwrite(disk: &SimDisk, offset: u64, data: &[u8]) {
    let file = disk.open(PATH, OpenMode::ReadWrite).unwrap();
    disk::DiskFile::write_at(&file, offset, &[data]).unwrap();
}

#[test]
fn lost_sectors_of_the_last_batch_are_a_torn_tail_even_when_later_ones_came_through() {
    let disk = quiet_disk();
    let mut writer = SegmentWriter::create(&disk, PATH, HEADER).unwrap();
    writer.append(&[(1, &[b"kept"])]).unwrap();
    writer.sync().unwrap();
    let end = writer.len();
    let body = [5; 2000];
    writer.append(&[(1, &[&body]), (1, &[&body]), (1, &[&body])]).unwrap();
    // The second sector of the batch never reached the disk, the others did.
    overwrite(&disk, 512, &[0; 512]);
    let (frames, ending, tail) = read(&disk, Standing::Last).unwrap();
    assert_eq!(bodies(&frames), [b"kept".to_vec()]);
    assert_eq!((ending, tail.offset), (Ending::Torn { at: end }, end));
    // In a segment with a successor the same is damage.
    let error = read(&disk, Standing::Sealed).unwrap_err();
    assert!(matches!(error, SegmentError::Corrupt { offset, .. } if offset == end));
}

#[test]
fn lost_sectors_below_a_later_mark_are_corruption() {
    let disk = quiet_disk();
    let mut writer = SegmentWriter::create(&disk, PATH, HEADER).unwrap();
    writer.append(&[(1, &[&[5; 2000]])]).unwrap();
    writer.sync().unwrap();
    writer.append(&[(1, &[b"this frame knows that the first is durable"])]).unwrap();
    overwrite(&disk, 512, &[0; 512]);
    let error = read(&disk, Standing::Last).unwrap_err();
    assert_eq!(
        error.to_string(),
        "0.seg is corrupt at offset 32: a frame body does not match its check, and the frame at 2056 says that 2056 bytes were durable"
    );
}

#[test]
fn after_an_orderly_stop_even_a_lost_last_frame_is_corruption() {
    let disk = quiet_disk();
    let (mut writer, expected) = write_three_batches(&disk);
    writer.mark_durable().unwrap();
    let (frames, ending, tail) = read(&disk, Standing::Last).unwrap();
    assert_eq!((bodies(&frames), ending), (expected, Ending::Clean));
    assert_eq!(tail.offset, writer.len());
    let end = writer.len() - 24;
    let start = end / 512 * 512;
    let rest = vec![0; (end - start) as usize];
    overwrite(&disk, start, &rest);
    assert!(matches!(read(&disk, Standing::Last), Err(SegmentError::Corrupt { .. })));
}

#[test]
fn a_segment_cut_inside_a_frame_is_torn_there_and_goes_on_from_there() {
    let disk = quiet_disk();
    let (writer, expected) = write_three_batches(&disk);
    let cut = writer.len() - 2;
    disk::DiskFile::truncate(&*writer.file(), cut).unwrap();
    let (frames, ending, tail) = read(&disk, Standing::Last).unwrap();
    assert_eq!(bodies(&frames), expected[..5]);
    assert_eq!(ending, Ending::Torn { at: tail.offset });
    let mut writer = SegmentWriter::resume(&disk, PATH, &tail).unwrap();
    writer.append(&[(1, &[b"again"])]).unwrap();
    let (frames, ending, _) = read(&disk, Standing::Last).unwrap();
    assert_eq!(ending, Ending::Clean);
    assert_eq!(frames.len(), 6);
    assert_eq!(&frames[5].body[..], b"again");
}

#[test]
fn a_missing_header_is_torn_at_zero_in_the_last_segment_only() {
    for len in [0, 5, 31, 32, 4096] {
        let disk = quiet_disk();
        let file = disk.open(PATH, OpenMode::Create).unwrap();
        disk::DiskFile::truncate(&file, len).unwrap();
        let (frames, ending, _) = read(&disk, Standing::Last).unwrap();
        assert_eq!((frames.len(), ending), (0, Ending::Torn { at: 0 }));
        assert!(matches!(read(&disk, Standing::Sealed), Err(SegmentError::Corrupt { offset: 0, .. })));
    }
    let disk = quiet_disk();
    disk.open(PATH, OpenMode::Create).unwrap();
    overwrite(&disk, 0, b"something else, long enough to be a header");
    let error = read(&disk, Standing::Last).unwrap_err();
    assert_eq!(error.to_string(), "0.seg is corrupt at offset 0: this is not a segment (wrong magic)");
}

#[test]
fn a_segment_of_another_place_is_refused() {
    let disk = quiet_disk();
    write_three_batches(&disk);
    let reader = SegmentReader::open(&disk, PATH, Standing::Sealed).unwrap();
    assert!(reader.expect_header(HEADER).is_ok());
    for (expected, words) in [
        (SegmentHeader { kind: LogKind::REVISIONS, ..HEADER }, "log kind 1 where 3"),
        (SegmentHeader { sequence: 4, ..HEADER }, "number 3 where 4"),
        (
            SegmentHeader { chain_seed: 1, ..HEADER },
            "starts from 0000feed, but the segment before it ends with 00000001",
        ),
    ] {
        let error = reader.expect_header(expected).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn a_full_disk_takes_nothing_and_the_writer_goes_on_when_there_is_space() {
    let disk = quiet_disk();
    let mut writer = SegmentWriter::create(&disk, PATH, HEADER).unwrap();
    writer.append(&[(1, &[b"before"])]).unwrap();
    disk.set_faults(SimFaults { capacity_bytes: Some(2000), ..SimFaults::default() });
    let (len, chain) = (writer.len(), writer.chain());
    let error = writer.append(&[(1, &[&[1; 5000]])]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert_eq!((writer.len(), writer.chain()), (len, chain));
    assert_eq!(disk.stats().no_space, 1);
    disk.set_faults(SimFaults::default());
    writer.append(&[(1, &[b"after"])]).unwrap();
    let (frames, ending, _) = read(&disk, Standing::Last).unwrap();
    assert_eq!(bodies(&frames), [b"before".to_vec(), b"after".to_vec()]);
    assert_eq!(ending, Ending::Clean);
}

#[test]
fn what_is_staged_has_its_place_and_is_written_with_what_follows() {
    let disk = quiet_disk();
    let mut writer = SegmentWriter::create(&disk, PATH, HEADER).unwrap();
    let before = disk.operations();
    assert_eq!(writer.stage(&[(1, &[b"alpha"])]), [32 + 24]);
    assert_eq!(writer.stage(&[(1, &[b"beta"]), (2, &[b"gamma"])]), [32 + 24 + 5 + 24, 32 + 24 + 5 + 24 + 4 + 24]);
    assert_eq!((writer.written(), disk.operations()), (32, before));
    assert_eq!(writer.append(&[(1, &[b"delta"])]).unwrap(), [writer.len() - 5]);
    assert_eq!(writer.written(), writer.len());
    writer.stage(&[(1, &[b"last"])]);
    writer.sync().unwrap();
    let (frames, ending, tail) = read(&disk, Standing::Last).unwrap();
    let words = [&b"alpha"[..], b"beta", b"gamma", b"delta", b"last"];
    assert_eq!(bodies(&frames), words.map(<[u8]>::to_vec));
    assert_eq!((ending, tail.chain), (Ending::Clean, writer.chain()));
}

#[test]
fn what_is_staged_stays_so_while_the_disk_is_full() {
    for over_quota in [false, true] {
        let disk = quiet_disk();
        let mut writer = SegmentWriter::create(&disk, PATH, HEADER).unwrap();
        writer.append(&[(1, &[b"before"])]).unwrap();
        disk.set_faults(SimFaults { capacity_bytes: Some(2000), over_quota, ..SimFaults::default() });
        writer.stage(&[(1, &[&[1; 5000]])]);
        let (len, written) = (writer.len(), writer.written());
        for _ in 0..2 {
            let error = writer.flush().unwrap_err();
            assert!(disk::is_full(&error), "{error}");
            assert_eq!((writer.len(), writer.written()), (len, written));
        }
        writer.stage(&[(1, &[b"more"])]);
        disk.set_faults(SimFaults::default());
        writer.flush().unwrap();
        let (frames, ending, _) = read(&disk, Standing::Last).unwrap();
        assert_eq!(bodies(&frames), [b"before".to_vec(), vec![1; 5000], b"more".to_vec()]);
        assert_eq!(ending, Ending::Clean);
    }
}

#[test]
fn a_full_disk_that_fails_is_not_waited_for() {
    let disk = quiet_disk();
    let mut writer = SegmentWriter::create(&disk, PATH, HEADER).unwrap();
    disk.set_faults(SimFaults { capacity_bytes: Some(0), sync_error: 1.0, ..SimFaults::default() });
    // What a write for which there was no room has left cannot be taken back.
    let error = writer.append(&[(1, &[b"more"])]).unwrap_err();
    assert!(!disk::is_full(&error), "{error}");
}

#[test]
fn after_a_failed_sync_or_write_the_writer_refuses_everything() {
    for faults in
        [SimFaults { sync_error: 1.0, ..SimFaults::default() }, SimFaults { write_error: 1.0, ..SimFaults::default() }]
    {
        let disk = quiet_disk();
        let mut writer = SegmentWriter::create(&disk, PATH, HEADER).unwrap();
        disk.set_faults(faults);
        let first = writer.append(&[(1, &[b"x"])]).and_then(|_| writer.sync());
        assert!(first.is_err());
        disk.set_faults(SimFaults::default());
        assert!(writer.append(&[(1, &[b"y"])]).is_err());
        assert!(writer.sync().is_err());
    }
}

#[test]
fn what_a_failed_sync_left_in_the_cache_is_made_durable_by_the_next_life() {
    for seed in 0..50 {
        let disk = SimDisk::new(seed, SimFaults::default());
        let mut writer = SegmentWriter::create(&disk, PATH, HEADER).unwrap();
        writer.append(&[(1, &[&[7; 3000]]), (1, &[b"x"])]).unwrap();
        disk.set_faults(SimFaults { sync_error: 1.0, ..SimFaults::default() });
        assert!(writer.sync().is_err());
        disk.set_faults(SimFaults::default());
        // The process ends and starts again; the machine lives, and its cache shows both frames.
        let disk = disk.restart_process();
        let (frames, _, tail) = read(&disk, Standing::Last).unwrap();
        assert_eq!(frames.len(), 2);
        SegmentWriter::resume(&disk, PATH, &tail).unwrap();
        let disk = disk.restart();
        let (frames, ending, _) = read(&disk, Standing::Last).unwrap();
        assert_eq!((frames.len(), ending), (2, Ending::Clean), "seed {seed}");
    }
}

#[test]
fn one_damaged_sector_never_invents_a_frame_and_never_hides_more_than_the_last_batch() {
    let mut state = 11u64;
    let mut draw = |bound: u64| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) % bound
    };
    let (mut noticed, mut cut) = (0, 0);
    for round in 0..3000 {
        let disk = quiet_disk();
        let (writer, expected) = write_three_batches(&disk);
        let sectors = writer.len() / 512;
        let sector = 512 * draw(sectors + 1);
        let mut bytes = vec![0; 512.min((writer.len() - sector) as usize)];
        match draw(3) {
            // Zeros: the disk has forgotten it.
            0 => {}
            // Something else.
            1 => bytes.iter_mut().for_each(|byte| *byte = draw(256) as u8),
            // Another sector of the same file: a misdirected write.
            _ => {
                disk::DiskFile::read_at(&*writer.file(), 512 * draw(sectors), &mut bytes).unwrap();
            }
        }
        overwrite(&disk, sector, &bytes);
        match read(&disk, Standing::Last) {
            Ok((frames, ending, _)) => {
                let found = bodies(&frames);
                assert_eq!(found, expected[..found.len()], "round {round}");
                assert!(found.len() >= 4, "round {round}: only the last batch has no one to vouch for it");
                cut += u32::from(ending != Ending::Clean);
            }
            Err(SegmentError::Corrupt { .. }) => noticed += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert!(noticed > 1500 && cut > 0, "{noticed} noticed, {cut} cut");
}

#[test]
fn room_set_aside_is_no_part_of_the_segment() {
    let root = std::path::PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("allocate-{}", std::process::id()));
    let disk = disk::OsDisk::new(&root).unwrap();
    let mut writer = SegmentWriter::create(&disk, PATH, HEADER).unwrap();
    writer.allocate(1 << 20);
    writer.append(&[(1, &[b"one"])]).unwrap();
    writer.sync().unwrap();
    let file = disk.open(PATH, OpenMode::Read).unwrap();
    assert_eq!(disk::DiskFile::len(&file).unwrap(), 1 << 20, "the room is there");
    let mut reader = SegmentReader::open(&disk, PATH, Standing::Last).unwrap();
    assert_eq!(reader.next().unwrap().map(|frame| frame.body.to_vec()), Some(b"one".to_vec()));
    assert_eq!(reader.next().unwrap(), None);
    assert_eq!(reader.ending(), Some(Ending::Clean), "a process that ended here has lost nothing");
    let mut writer = SegmentWriter::resume(&disk, PATH, &reader.tail()).unwrap();
    writer.allocate(1 << 20);
    writer.append(&[(1, &[b"two"])]).unwrap();
    writer.seal().unwrap();
    assert_eq!(disk::DiskFile::len(&file).unwrap(), writer.len(), "what was not used is cut off");
    let mut reader = SegmentReader::open(&disk, PATH, Standing::Sealed).unwrap();
    let mut bodies = Vec::new();
    while let Some(frame) = reader.next().unwrap() {
        bodies.push(frame.body.to_vec());
    }
    assert_eq!(bodies, [b"one".to_vec(), b"two".to_vec()]);
    disk.remove(PATH).unwrap();
    std::fs::remove_dir(root).unwrap();
}

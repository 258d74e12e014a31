//! Power is lost at every operation of a small log's life, and again at every operation of its recovery.
//!
//! What was synced is there, nothing is invented, and no crash is ever taken for corruption.

use std::io;

use disk::{Disk, Ending, LogKind, SegmentHeader, SegmentReader, SegmentWriter, SimDisk, SimFaults, SimFile, Standing};

/// A log of segments, as small as one can be: what both real logs do with this crate.
struct Log {
    disk: SimDisk,
    writer: SegmentWriter<SimFile>,
    sequence: u64,
}

fn path(sequence: u64) -> String {
    format!("log/{sequence:04}.seg")
}

impl Log {
    /// Opens the log, making it when there is none; returns the bodies found.
    fn open(disk: &SimDisk) -> io::Result<(Log, Vec<Vec<u8>>)> {
        disk.create_dir("log")?;
        let names = disk.list("log")?;
        let mut bodies = Vec::new();
        let mut seed = 0;
        let mut last = None;
        for (number, name) in names.iter().enumerate() {
            let path = format!("log/{name}");
            let standing = match number + 1 == names.len() {
                true => Standing::Last,
                false => Standing::Sealed,
            };
            let mut reader = SegmentReader::open(disk, &path, standing).map_err(io::Error::other)?;
            reader
                .expect_header(SegmentHeader { kind: LogKind::WAL, sequence: number as u64, chain_seed: seed })
                .map_err(io::Error::other)?;
            while let Some(frame) = reader.next().map_err(io::Error::other)? {
                bodies.push(frame.body.to_vec());
            }
            if reader.ending() == Some(Ending::Torn { at: 0 }) {
                disk.remove(&path)?;
                disk.sync_dir("log")?;
                break;
            }
            seed = reader.tail().chain;
            last = Some((path, reader.tail()));
        }
        let (writer, sequence) = match last {
            Some((path, tail)) => (SegmentWriter::resume(disk, &path, &tail)?, tail.header.sequence),
            None => (Log::segment(disk, 0, 0)?, 0),
        };
        let disk = disk.clone();
        let log = Log { disk, writer, sequence };
        Ok((log, bodies))
    }

    fn segment(disk: &SimDisk, sequence: u64, chain_seed: u32) -> io::Result<SegmentWriter<SimFile>> {
        let header = SegmentHeader { kind: LogKind::WAL, sequence, chain_seed };
        SegmentWriter::create(disk, &path(sequence), header)
    }

    fn rotate(&mut self) -> io::Result<()> {
        self.writer.sync()?;
        self.sequence += 1;
        self.writer = Log::segment(&self.disk, self.sequence, self.writer.chain())?;
        Ok(())
    }
}

/// The body with this number: sizes from nothing to several sectors, some of them all zeros, all different.
fn body(number: u64) -> Vec<u8> {
    let len = [3, 0, 700, 40, 1500, 512, 24, 2100][number as usize % 8];
    let mut body = vec![if number.is_multiple_of(3) { 0 } else { number as u8 }; len];
    body.extend(number.to_le_bytes());
    body
}

/// Appends, syncs and rotates until the end or an error; returns how many frames were synced and how many were begun.
fn work(log: &mut Log, from: u64) -> (u64, u64, io::Result<()>) {
    let (mut synced, mut begun) = (from, from);
    let mut live = || -> io::Result<()> {
        for step in 0..14 {
            let batch: Vec<Vec<u8>> = (begun..begun + 1 + step % 3).map(body).collect();
            let parts: Vec<[&[u8]; 1]> = batch.iter().map(|body| [&body[..]]).collect();
            let frames: Vec<(u8, &[&[u8]])> = parts.iter().map(|part| (1, &part[..])).collect();
            begun += batch.len() as u64;
            log.writer.append(&frames)?;
            if step % 3 == 2 {
                log.writer.sync()?;
                synced = begun;
            }
            if step % 6 == 5 {
                log.rotate()?;
                synced = begun;
            }
        }
        Ok(())
    };
    let result = live();
    (synced, begun, result)
}

/// What is found is a prefix of what was begun, and holds at least what was synced.
fn check(found: &[Vec<u8>], synced: u64, begun: u64, story: &str) {
    let count = found.len() as u64;
    assert!(count >= synced, "{story}: {synced} were synced, {count} are there");
    assert!(count <= begun, "{story}: {begun} were begun, {count} are there");
    for (number, found) in found.iter().enumerate() {
        assert_eq!(*found, body(number as u64), "{story}: frame {number}");
    }
}

fn dies_at(operation: u64) -> SimFaults {
    SimFaults { dies_at: Some(operation), ..SimFaults::default() }
}

#[test]
fn a_crash_at_any_operation_loses_nothing_that_was_synced() {
    let whole = SimDisk::new(0, SimFaults::default());
    let (mut log, _) = Log::open(&whole).unwrap();
    work(&mut log, 0).2.unwrap();
    let operations = whole.operations();
    assert!(operations > 25, "the story is long enough to be worth it");
    let (mut torn, mut kept) = (0, 0);
    for seed in 0..40 {
        for operation in 1..=operations {
            let story = format!("seed {seed}, power lost at operation {operation}");
            let disk = SimDisk::new(seed * 1000 + operation, dies_at(operation));
            let (synced, begun) = match Log::open(&disk) {
                Ok((mut log, _)) => {
                    let (synced, begun, result) = work(&mut log, 0);
                    assert!(result.is_err(), "{story}");
                    (synced, begun)
                }
                Err(_) => (0, 0),
            };
            assert!(disk.is_dead(), "{story}");
            let disk = disk.restart();
            // Recovery itself is interrupted too, as often as it takes to come through.
            let mut step = 1;
            let (mut log, found) = loop {
                disk.set_faults(dies_at(disk.operations() + step));
                match Log::open(&disk) {
                    Ok(open) => break open,
                    Err(error) if disk.is_dead() => {
                        drop(error);
                        disk.restart();
                        step += 1;
                    }
                    Err(error) => panic!("{story}: {error}"),
                }
            };
            check(&found, synced, begun, &story);
            // Life goes on, and what is found now includes what was found before.
            disk.set_faults(SimFaults::default());
            let before = found.len() as u64;
            let (synced, begun, result) = work(&mut log, before);
            result.unwrap();
            let disk = disk.restart();
            let (_, found) = Log::open(&disk).unwrap();
            check(&found, synced, begun, &story);
            assert!(found.len() as u64 >= before, "{story}");
            torn += disk.stats().sectors_lost;
            kept += disk.stats().sectors_kept;
        }
    }
    assert!(torn > 1000 && kept > 1000, "{torn} sectors lost, {kept} kept");
}

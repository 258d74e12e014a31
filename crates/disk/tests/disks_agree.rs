//! The simulated disk and the operating system's answer alike, as long as nothing goes wrong.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use disk::{Disk, DiskFile, OpenMode, OsDisk, SimDisk, SimFaults};

/// A directory that goes away with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let path = std::env::temp_dir().join(format!("quorate-disk-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        Scratch(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A tiny generator: the same calls for both disks.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) % bound
    }
}

fn kind<T>(result: io::Result<T>) -> Result<T, io::ErrorKind> {
    result.map_err(|error| error.kind())
}

/// Runs `steps` drawn calls and writes down every answer.
fn diary<D: Disk>(disk: D, seed: u64, steps: u32) -> Vec<String> {
    let mut dice = Dice(seed);
    let mut diary = Vec::new();
    let mut files: Vec<D::File> = Vec::new();
    let paths = ["a", "b", "wal/0", "wal/1", "wal/deep/2", "none/3", "wal", "../x", "a//b", ""];
    for _ in 0..steps {
        let path = paths[dice.below(paths.len() as u64) as usize];
        let other = paths[dice.below(6) as usize];
        let offset = dice.below(3000);
        let size = dice.below(1500) as usize;
        let line = match dice.below(14) {
            0..=2 => {
                let mode = [OpenMode::Read, OpenMode::ReadWrite, OpenMode::Create][dice.below(3) as usize];
                let opened = disk.open(path, mode);
                let said = kind(opened.as_ref().map(|_| ()).map_err(|e| e.kind().into()));
                // A file opened for reading is read only; what a write to it says differs between systems.
                if let (Ok(file), true) = (opened, mode != OpenMode::Read) {
                    files.push(file);
                }
                format!("open {path} {mode:?}: {said:?}")
            }
            3 => match disk.list(path) {
                Ok(names) => format!("list {path}: {names:?}"),
                Err(error) => format!("list {path}: {:?}", error.kind()),
            },
            4 => format!("exists {path}: {:?}", kind(disk.exists(path))),
            5 if path != "a" && path != "b" => {
                format!("dir {path}: {:?}", kind(disk.create_dir(path)).is_ok())
            }
            6 => format!("sync dir {path}: {:?}", disk.sync_dir(path).is_ok()),
            7 => format!("remove {path}: {:?}", disk.remove(path).is_ok()),
            8 => format!("rename {path} {other}: {:?}", disk.rename(path, other).is_ok()),
            _ if files.is_empty() => continue,
            step => {
                let which = dice.below(files.len() as u64) as usize;
                let file = &files[which];
                match step {
                    9 | 10 => {
                        let (first, second) = (vec![which as u8 + 1; size], vec![0xee; size / 2]);
                        let said = kind(file.write_at(offset, &[&first, &second]));
                        format!("write {which} {offset} {size}: {said:?}")
                    }
                    11 => {
                        let mut bytes = vec![0; size];
                        let said = kind(file.read_at(offset, &mut bytes));
                        format!("read {which} {offset}: {said:?} {bytes:?}")
                    }
                    12 => format!("truncate {which}: {:?}", kind(file.truncate(offset))),
                    _ => format!("sync {which}: {:?} {:?}", kind(file.sync()), kind(file.len())),
                }
            }
        };
        diary.push(line);
    }
    diary
}

#[test]
fn both_disks_give_the_same_answers() {
    for seed in 0..15 {
        let scratch = Scratch::new(&format!("agree-{seed}"));
        let os = diary(OsDisk::new(&scratch.0).unwrap(), seed, 300);
        let sim = diary(SimDisk::new(seed, SimFaults::default()), seed, 300);
        for (number, (os, sim)) in os.iter().zip(&sim).enumerate() {
            assert_eq!(os, sim, "seed {seed}, call {number}");
        }
        assert_eq!(os.len(), sim.len());
    }
}

#[test]
fn nobody_else_may_read_the_files() {
    let scratch = Scratch::new("modes");
    let disk = OsDisk::new(scratch.0.join("data")).unwrap();
    disk.create_dir("wal/deep").unwrap();
    disk.open("wal/0", OpenMode::Create).unwrap();
    let mode = |path: &str| {
        let metadata = std::fs::metadata(disk.root().join(path)).unwrap();
        metadata.permissions().mode() & 0o777
    };
    assert_eq!(mode(""), 0o700);
    assert_eq!(mode("wal"), 0o700);
    assert_eq!(mode("wal/deep"), 0o700);
    assert_eq!(mode("wal/0"), 0o600);
}

#[test]
fn a_data_directory_belongs_to_one_at_a_time() {
    let scratch = Scratch::new("lock");
    let held = OsDisk::lock(&scratch.0).unwrap();
    let error = OsDisk::lock(&scratch.0).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ResourceBusy);
    assert!(error.to_string().contains("is already in use"), "{error}");
    drop(held);
    OsDisk::lock(&scratch.0).unwrap();
}

#[test]
fn errors_name_the_path() {
    let scratch = Scratch::new("errors");
    let disk = OsDisk::new(&scratch.0).unwrap();
    let error = disk.open("wal/7", OpenMode::Read).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
    assert!(error.to_string().contains("wal/7"), "{error}");
    let error = disk.open("../secret", OpenMode::Read).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
}

/// A device takes no sync, which shows whether one was made.
#[test]
fn without_sync_none_is_made() {
    let device = OsDisk::new("/dev").unwrap();
    let refused = device.open("null", OpenMode::ReadWrite).unwrap().sync().unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::InvalidInput);
    device.without_sync().open("null", OpenMode::ReadWrite).unwrap().sync().unwrap();
}

//! A small file system for one member: an ext4 image in memory behind a loop
//! device, or a tmpfs where there are no loop devices.
//!
//! It can be filled, and with ext4 the power can go: the file system is shut
//! down without writing anything more, then mounted again. What was synced is
//! there, what was only written is not, exactly as the kernel has it.

use crate::room::run;
use anyhow::{Context, Result};
use rustix::fs::FallocateFlags;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hasher};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Room on a disk: two segments of the log and what else a member keeps.
const DISK_BYTES: u64 = 320 << 20;

/// How often ext4 writes by itself: hardly ever, so that a loss of power takes
/// all that was not synced.
const COMMIT_SECONDS: u32 = 300;

/// One member's disk.
pub struct Disk {
    image: Option<PathBuf>,
    place: PathBuf,
    /// Faults that have filled it.
    fills: u32,
}

impl Disk {
    /// A new one, mounted at `place`; the image lies in `images`.
    pub fn new(images: &Path, place: &Path, powered: bool) -> Result<Disk> {
        fs::create_dir_all(place)?;
        let image = images.join(place.file_name().context("a disk has a name")?);
        if powered {
            File::create(&image)?.set_len(DISK_BYTES)?;
            let mut format = Command::new("mkfs.ext4");
            run(format.args(["-q", "-m", "0", "-E", "nodiscard", "-J", "size=8"]).arg(&image))?;
        }
        let disk = Disk { image: powered.then_some(image), place: place.to_owned(), fills: 0 };
        disk.mount()?;
        Ok(disk)
    }

    fn mount(&self) -> Result<()> {
        let mut mount = Command::new("mount");
        match &self.image {
            Some(image) => mount.args(["-o", &format!("loop,commit={COMMIT_SECONDS}")]).arg(image),
            None => mount.args(["-t", "tmpfs", "-o", &format!("size={DISK_BYTES}"), "tmpfs"]),
        };
        run(mount.arg(&self.place))
    }

    /// Where it is mounted.
    pub fn place(&self) -> &Path {
        &self.place
    }

    fn ballast(&self) -> PathBuf {
        self.place.join("ballast")
    }

    /// Takes all the room there is, also what another fault has left of it.
    pub fn fill(&mut self) -> Result<()> {
        self.fills += 1;
        let more = |path: PathBuf| File::options().create(true).append(true).open(path);
        let mut file = more(self.ballast())?;
        // Large pieces first, and then every last block.
        let (mut at, mut piece) = (file.metadata()?.len(), DISK_BYTES);
        while piece >= 4096 {
            match rustix::fs::fallocate(&file, FallocateFlags::empty(), at, piece) {
                Ok(()) => at += piece,
                Err(_) => piece /= 2,
            }
        }
        let mut small = more(self.place.join("ballast-small"))?;
        for _ in 0..1024 {
            if file.write(&[0; 1024]).is_err() || small.write(&[0; 1024]).is_err() {
                break;
            }
        }
        Ok(())
    }

    /// One fault less that has filled it; the last gives the room back.
    pub fn free(&mut self) {
        self.fills = self.fills.saturating_sub(1);
        if self.fills > 0 {
            return;
        }
        self.remove_ballast();
    }

    fn remove_ballast(&self) {
        // Whatever was not synced before a loss of power is gone already.
        let _ = fs::remove_file(self.ballast());
        let _ = fs::remove_file(self.place.join("ballast-small"));
    }

    /// Writes all of it, whatever its members have asked for.
    pub fn sync(&self) -> Result<()> {
        run(Command::new("sync").arg("--file-system").arg(&self.place))
    }

    /// The power goes and comes back. Nobody may have files open here. Whether
    /// anything is not as it was: something was written, and not synced.
    pub fn lose_power(&self) -> Result<bool> {
        let before = contents(&self.place)?;
        run(Command::new("xfs_io").args(["-x", "-c", "shutdown"]).arg(&self.place))?;
        run(Command::new("umount").arg(&self.place))?;
        self.mount()?;
        let lost = contents(&self.place)? != before;
        // What was taken away and not synced is back: no fault would take that away again.
        if self.fills == 0 {
            self.remove_ballast();
        }
        Ok(lost)
    }
}

/// Every file that is no ballast, with a hash of what is in it.
fn contents(place: &Path) -> io::Result<BTreeMap<PathBuf, u64>> {
    let (mut all, mut directories) = (BTreeMap::new(), vec![place.join("data")]);
    while let Some(directory) = directories.pop() {
        let Ok(entries) = fs::read_dir(&directory) else { continue };
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() {
                directories.push(path);
            } else {
                all.insert(path.clone(), hash(&path)?);
            }
        }
    }
    Ok(all)
}

fn hash(path: &Path) -> io::Result<u64> {
    let (mut file, mut hasher, mut piece) = (File::open(path)?, DefaultHasher::new(), vec![0; 1 << 20]);
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(hasher.finish()),
            read => hasher.write(&piece[..read]),
        }
    }
}

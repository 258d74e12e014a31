//! A disk in memory that behaves as badly as disks do, by a seed.
//!
//! What is promised: bytes survive a power loss after a successful [`DiskFile::sync`], names after [`Disk::sync_dir`].
//! What is not promised is taken away as adversarially as a real disk may: of every un-synced write each 512-byte sector is
//! kept or lost by itself, names come and go one by one. Two runs with the same seed and the same calls do the same.
//!
//! It must never look at a clock or at anything but its own generator.

mod chance;
mod inode;
mod names;

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{Disk, DiskFile, OpenMode, check_path};
use chance::Chance;
use inode::Inode;
use names::Names;

const SECTOR_BYTES: u64 = 512;

/// What goes wrong and how often. Probabilities are between 0 (never, the default) and 1 (always), per call.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct SimFaults {
    /// A read fails.
    pub read_error: f64,
    /// A write fails after writing some of its sectors.
    pub write_error: f64,
    /// A sync fails. What it should have made durable never becomes so unless it is written again.
    pub sync_error: f64,
    /// One bit of what a write writes is wrong from then on.
    pub bit_flip: f64,
    /// A write lands at another place of the file, some sectors away, and nothing changes where it should have landed.
    pub misdirected_write: f64,
    /// A read brings what lies at another place of the file, some sectors away.
    pub misdirected_read: f64,
    /// A sector of a read is as it was before it was last written. Only sectors written while this was possible can be so.
    pub stale_read: f64,
    /// All files together may hold this many bytes; writes beyond fail with `StorageFull`, and when nothing is left, so does
    /// sometimes the creation of a file.
    pub capacity_bytes: Option<u64>,
    /// There may be this many files; the creation of more fails with `StorageFull`.
    pub files_max: Option<u64>,
    /// What has no room is told that a quota is exceeded.
    pub over_quota: bool,
    /// Power is lost during the operation with this number ([`SimDisk::operations`] counts them from 1).
    pub dies_at: Option<u64>,
}

/// What was done to the files so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SimStats {
    /// Reads that failed.
    pub read_errors: u64,
    /// Writes that failed.
    pub write_errors: u64,
    /// Syncs that failed.
    pub sync_errors: u64,
    /// Writes and creations refused for want of space.
    pub no_space: u64,
    /// Bytes written, whether they became durable or not.
    pub written_bytes: u64,
    /// Bits turned.
    pub bit_flips: u64,
    /// Writes that landed elsewhere.
    pub misdirected_writes: u64,
    /// Reads that brought what lies elsewhere.
    pub misdirected_reads: u64,
    /// Reads that brought a sector as it was once.
    pub stale_reads: u64,
    /// Losses of power.
    pub power_losses: u64,
    /// Sectors with un-synced bytes that a power loss kept.
    pub sectors_kept: u64,
    /// Sectors with un-synced bytes that a power loss took.
    pub sectors_lost: u64,
    /// Creations, renames and removals that a power loss kept.
    pub names_kept: u64,
    /// Creations, renames and removals that a power loss took back.
    pub names_lost: u64,
}

/// A simulated disk. Clones are the same disk.
#[derive(Debug, Clone)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

/// An open file of a [`SimDisk`]. It does not outlive a restart.
#[derive(Debug)]
pub struct SimFile {
    state: Arc<Mutex<State>>,
    inode: u64,
    writable: bool,
    /// The life of the machine in which it was opened.
    life: u64,
}

#[derive(Debug)]
struct State {
    chance: Chance,
    faults: SimFaults,
    stats: SimStats,
    operations: u64,
    dead: bool,
    life: u64,
    inodes: BTreeMap<u64, Inode>,
    next_inode: u64,
    names: Names,
    /// Sum of the files' lengths.
    used_bytes: u64,
    /// The directory whose names are said to be durable and are not.
    lies_about: Option<String>,
}

/// Whether the operation that is beginning is the one during which power is lost.
#[derive(PartialEq)]
enum Fate {
    Lives,
    Dies,
}

impl SimDisk {
    /// An empty disk. All chance comes from `seed`.
    pub fn new(seed: u64, faults: SimFaults) -> SimDisk {
        SimDisk {
            state: Arc::new(Mutex::new(State {
                chance: Chance::new(seed),
                faults,
                stats: SimStats::default(),
                operations: 0,
                dead: false,
                life: 0,
                inodes: BTreeMap::new(),
                next_inode: 1,
                names: Names::new(),
                used_bytes: 0,
                lies_about: None,
            })),
        }
    }

    /// What goes wrong from now on.
    pub fn set_faults(&self, faults: SimFaults) {
        self.locked().faults = faults;
    }

    /// From now on syncs of this directory do nothing and say that all is well, whatever [`SimDisk::set_faults`] says.
    pub fn lie_about_names(&self, dir: &str) {
        self.locked().lies_about = Some(dir.to_owned());
    }

    /// What can go wrong now.
    pub fn faults(&self) -> SimFaults {
        self.locked().faults
    }

    /// What has gone wrong.
    pub fn stats(&self) -> SimStats {
        self.locked().stats
    }

    /// How many operations that change something (create, write, truncate, sync, rename, remove, make directory, sync directory)
    /// were begun.
    pub fn operations(&self) -> u64 {
        self.locked().operations
    }

    /// How many files of a directory hold something that no sync has made durable.
    pub fn unsynced_in(&self, dir: &str) -> usize {
        let state = self.locked();
        state.names.inodes_in(dir).filter(|inode| state.inodes[inode].is_unsynced()).count()
    }

    /// Whether power is off.
    pub fn is_dead(&self) -> bool {
        self.locked().dead
    }

    /// Takes the power away: every call fails until [`SimDisk::restart`] or [`SimDisk::restart_process`].
    pub fn kill(&self) {
        self.locked().dead = true;
    }

    /// The disk after power came back: un-synced bytes and names are kept, lost or torn. Files open from before are
    /// closed for good. `dies_at` is cleared.
    pub fn restart(&self) -> SimDisk {
        let mut state = self.locked();
        state.lose_power();
        state.begin_life();
        drop(state);
        self.clone()
    }

    /// The disk after the process died but the machine lived: everything written is there, still un-synced. Files open
    /// from before are closed for good. `dies_at` is cleared.
    pub fn restart_process(&self) -> SimDisk {
        self.locked().begin_life();
        self.clone()
    }

    /// Turns one bit (0..8) of the byte at `offset` of a file, durably.
    pub fn flip_bit(&self, path: &str, offset: u64, bit: u8) -> io::Result<()> {
        let mut state = self.locked();
        let inode = state.names.inode(path).ok_or(io::ErrorKind::NotFound)?;
        let inode = state.inodes.get_mut(&inode).expect("a name has an inode");
        if offset >= inode.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        inode.flip_bit(offset, bit);
        state.stats.bit_flips += 1;
        Ok(())
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        locked(&self.state)
    }
}

impl Disk for SimDisk {
    type File = SimFile;

    fn open(&self, path: &str, mode: OpenMode) -> io::Result<SimFile> {
        check_path(path, false)?;
        let mut state = self.locked();
        state.check_power()?;
        if state.names.is_dir(path) {
            let exists = mode == OpenMode::Create;
            return Err(match exists {
                true => io::ErrorKind::AlreadyExists.into(),
                false => io::ErrorKind::IsADirectory.into(),
            });
        }
        state.names.check_parent(path)?;
        let inode = match (mode, state.names.inode(path)) {
            (OpenMode::Create, Some(_)) => return Err(io::ErrorKind::AlreadyExists.into()),
            (OpenMode::Create, None) => {
                let fate = state.begin_operation()?;
                if !state.has_room_for_a_file() {
                    state.end_operation(fate)?;
                    return Err(state.no_room());
                }
                let inode = state.next_inode;
                state.next_inode += 1;
                state.inodes.insert(inode, Inode::default());
                state.names.create(path, inode);
                state.end_operation(fate)?;
                inode
            }
            (_, None) => return Err(io::ErrorKind::NotFound.into()),
            (_, Some(inode)) => inode,
        };
        let opened = state.inodes.get_mut(&inode).expect("a name has an inode");
        opened.handles += 1;
        Ok(SimFile { state: self.state.clone(), inode, writable: mode != OpenMode::Read, life: state.life })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        check_path(from, false)?;
        check_path(to, false)?;
        let mut state = self.locked();
        state.check_power()?;
        if state.names.is_dir(from) || state.names.is_dir(to) {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        state.names.check_parent(to)?;
        if state.names.inode(from).is_none() {
            return Err(io::ErrorKind::NotFound.into());
        }
        let fate = state.begin_operation()?;
        let replaced = state.names.rename(from, to);
        state.collect(replaced);
        state.end_operation(fate)
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        check_path(path, false)?;
        let mut state = self.locked();
        state.check_power()?;
        if state.names.is_dir(path) {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        if state.names.inode(path).is_none() {
            return Err(io::ErrorKind::NotFound.into());
        }
        let fate = state.begin_operation()?;
        let removed = state.names.remove(path);
        state.collect(removed);
        state.end_operation(fate)
    }

    fn free_bytes(&self, _dir: &str) -> io::Result<Option<u64>> {
        let state = self.locked();
        state.check_power()?;
        Ok(state.faults.capacity_bytes.map(|_| state.free_bytes()))
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        check_path(dir, true)?;
        let state = self.locked();
        state.check_power()?;
        let names = state.names.list(dir);
        names.ok_or_else(|| state.names.no_directory(dir))
    }

    fn create_dir(&self, dir: &str) -> io::Result<()> {
        check_path(dir, true)?;
        let mut state = self.locked();
        state.check_power()?;
        let fate = state.begin_operation()?;
        state.names.create_dir(dir)?;
        state.end_operation(fate)
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        check_path(dir, true)?;
        let mut state = self.locked();
        state.check_power()?;
        if !state.names.is_dir(dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let fate = state.begin_operation()?;
        let lies = state.lies_about.as_deref() == Some(dir);
        if !lies && (fate == Fate::Lives || state.chance.coin()) {
            let dropped = state.names.sync_dir(dir);
            state.collect(dropped);
        }
        state.end_operation(fate)
    }

    fn exists(&self, path: &str) -> io::Result<bool> {
        check_path(path, true)?;
        let state = self.locked();
        state.check_power()?;
        Ok(state.names.is_dir(path) || state.names.inode(path).is_some())
    }
}

impl DiskFile for SimFile {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut state = self.locked()?;
        let faults = state.faults;
        if state.chance.happens(faults.read_error) {
            state.stats.read_errors += 1;
            return Err(io::Error::other("simulated read error"));
        }
        let mut place = offset;
        if state.chance.happens(faults.misdirected_read) {
            state.stats.misdirected_reads += 1;
            place = state.elsewhere(offset);
        }
        let count = state.inode(self.inode).read(offset, place, buffer);
        if state.chance.happens(faults.stale_read) {
            let state = &mut *state;
            let inode = state.inodes.get_mut(&self.inode).expect("an open file has an inode");
            state.stats.stale_reads += u64::from(inode.show_stale(&mut state.chance, offset, &mut buffer[..count]));
        }
        Ok(count)
    }

    fn write_at(&self, offset: u64, data: &[&[u8]]) -> io::Result<()> {
        let mut state = self.locked()?;
        self.check_writable()?;
        let data = data.concat();
        if data.is_empty() {
            return Ok(());
        }
        let fate = state.begin_operation()?;
        if fate == Fate::Dies {
            // What arrived before the lights went out is for the restart to decide; here it may be nothing at all.
            if state.chance.coin() {
                state.write(self.inode, offset, data);
            }
            return state.end_operation(fate);
        }
        state.write_with_faults(self.inode, offset, data)
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.locked()?;
        let fate = state.begin_operation()?;
        let faults = state.faults;
        if fate == Fate::Lives && state.chance.happens(faults.sync_error) {
            state.stats.sync_errors += 1;
            let state = &mut *state;
            let inode = state.inodes.get_mut(&self.inode).expect("open");
            inode.fail_sync(&mut state.chance, &mut state.stats);
            return Err(io::Error::other("simulated sync error"));
        }
        if fate == Fate::Lives || state.chance.coin() {
            state.inode(self.inode).sync();
        }
        state.end_operation(fate)
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        let mut state = self.locked()?;
        self.check_writable()?;
        let fate = state.begin_operation()?;
        if fate == Fate::Lives || state.chance.coin() {
            let before = state.inode(self.inode).len();
            if len > before && state.free_bytes() < len - before {
                return Err(state.no_room());
            }
            state.inode(self.inode).truncate(len);
            state.used_bytes = state.used_bytes - before + len;
        }
        state.end_operation(fate)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.locked()?.inode(self.inode).len())
    }
}

impl SimFile {
    fn locked(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = locked(&self.state);
        state.check_power()?;
        if state.life != self.life {
            return Err(power_is_off());
        }
        Ok(state)
    }

    fn check_writable(&self) -> io::Result<()> {
        match self.writable {
            true => Ok(()),
            false => Err(io::Error::other("the file was opened for reading")),
        }
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        let mut state = locked(&self.state);
        if let Some(inode) = state.inodes.get_mut(&self.inode) {
            inode.handles -= 1;
            state.collect(Some(self.inode));
        }
    }
}

impl State {
    fn inode(&mut self, inode: u64) -> &mut Inode {
        self.inodes.get_mut(&inode).expect("an open file has an inode")
    }

    fn check_power(&self) -> io::Result<()> {
        match self.dead {
            true => Err(power_is_off()),
            false => Ok(()),
        }
    }

    fn begin_operation(&mut self) -> io::Result<Fate> {
        self.check_power()?;
        self.operations += 1;
        Ok(match self.faults.dies_at == Some(self.operations) {
            true => Fate::Dies,
            false => Fate::Lives,
        })
    }

    fn end_operation(&mut self, fate: Fate) -> io::Result<()> {
        if fate == Fate::Dies {
            self.dead = true;
        }
        self.check_power()
    }

    fn free_bytes(&self) -> u64 {
        let capacity = self.faults.capacity_bytes.unwrap_or(u64::MAX);
        capacity.saturating_sub(self.used_bytes)
    }

    fn has_room_for_a_file(&mut self) -> bool {
        let count = self.names.inodes().len() as u64;
        let few = self.faults.files_max.is_none_or(|max| count < max);
        few && (self.free_bytes() > 0 || self.chance.coin())
    }

    fn no_room(&mut self) -> io::Error {
        self.stats.no_space += 1;
        match self.faults.over_quota {
            true => io::ErrorKind::QuotaExceeded.into(),
            false => io::ErrorKind::StorageFull.into(),
        }
    }

    /// A place some sectors away.
    fn elsewhere(&mut self, offset: u64) -> u64 {
        let away = SECTOR_BYTES * (1 + self.chance.below(8));
        match offset >= away && self.chance.coin() {
            true => offset - away,
            false => offset + away,
        }
    }

    fn write(&mut self, inode: u64, offset: u64, data: Vec<u8>) {
        let file = self.inodes.get_mut(&inode).expect("open");
        let before = file.len();
        if self.faults.stale_read > 0.0 {
            file.remember(offset, data.len() as u64);
        }
        self.stats.written_bytes += data.len() as u64;
        file.write(offset, data);
        self.used_bytes = self.used_bytes - before + file.len();
    }

    fn write_with_faults(&mut self, inode: u64, offset: u64, mut data: Vec<u8>) -> io::Result<()> {
        let faults = self.faults;
        let end = offset + data.len() as u64;
        let growth = end.saturating_sub(self.inode(inode).len());
        let free = self.free_bytes();
        let full = growth > free;
        if full || self.chance.happens(faults.write_error) {
            // A write that fails has written some sectors from the front, or none.
            let first = SECTOR_BYTES - offset % SECTOR_BYTES;
            let sectors = self.chance.below(1 + data.len() as u64 / SECTOR_BYTES);
            let cut = match sectors {
                0 => 0,
                more => first + (more - 1) * SECTOR_BYTES,
            };
            data.truncate(cut as usize);
            if full {
                let fits = end.saturating_sub(offset + growth - free);
                data.truncate(fits as usize);
            } else {
                self.stats.write_errors += 1;
            }
            if !data.is_empty() {
                self.write(inode, offset, data);
            }
            return Err(match full {
                true => self.no_room(),
                false => io::Error::other("simulated write error"),
            });
        }
        if self.chance.happens(faults.bit_flip) {
            self.stats.bit_flips += 1;
            let bit = self.chance.below(data.len() as u64 * 8);
            data[(bit / 8) as usize] ^= 1 << (bit % 8);
        }
        let mut place = offset;
        if self.chance.happens(faults.misdirected_write) {
            self.stats.misdirected_writes += 1;
            place = self.elsewhere(offset);
        }
        self.write(inode, place, data);
        Ok(())
    }

    fn lose_power(&mut self) {
        self.stats.power_losses += 1;
        self.names.lose_power(&mut self.chance, &mut self.stats);
        let named = self.names.inodes();
        self.inodes.retain(|inode, _| named.contains(inode));
        self.used_bytes = 0;
        for inode in self.inodes.values_mut() {
            inode.lose_power(&mut self.chance, &mut self.stats);
            self.used_bytes += inode.len();
        }
    }

    fn begin_life(&mut self) {
        self.life += 1;
        self.dead = false;
        self.faults.dies_at = None;
    }

    /// Forgets a file that has neither a name nor a reader.
    fn collect(&mut self, inodes: impl IntoIterator<Item = u64>) {
        for inode in inodes {
            let unused = self.inodes.get(&inode).is_some_and(|it| it.handles == 0);
            if unused && !self.names.holds(inode) {
                let gone = self.inodes.remove(&inode).expect("just seen");
                self.used_bytes -= gone.len();
            }
        }
    }
}

fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn power_is_off() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the simulated disk has lost power")
}

//! The bytes of one simulated file: what readers see, what is durable, and the changes between the two.

use std::collections::BTreeMap;

use super::chance::Chance;
use super::{SECTOR_BYTES, SimStats};

/// One file, with or without a name.
#[derive(Debug, Default)]
pub(super) struct Inode {
    /// What readers see.
    seen: Vec<u8>,
    /// What a power loss leaves for certain.
    durable: Vec<u8>,
    /// Changes since the last sync, in order. Each sector of each of them may or may not survive a power loss.
    pending: Vec<Change>,
    /// Places where `seen` differs from `durable` although a sync has been answered since: a sync failed, and the
    /// system believes the pages clean.
    given_up: bool,
    /// Sectors as they were before they were last written, where that may still be shown.
    stale: BTreeMap<u64, Vec<u8>>,
    /// How many open files point here.
    pub handles: u64,
}

#[derive(Debug)]
enum Change {
    Write { offset: u64, data: Vec<u8> },
    Truncate { len: u64 },
}

impl Inode {
    pub fn len(&self) -> u64 {
        self.seen.len() as u64
    }

    /// Reads what lies at `place` as if it lay at `offset`, which says how much there is; zeros where there is nothing.
    pub fn read(&self, offset: u64, place: u64, buffer: &mut [u8]) -> usize {
        let count = buffer.len().min((self.len() - offset.min(self.len())) as usize);
        let start = place.min(self.len()) as usize;
        let there = count.min(self.seen.len() - start);
        buffer[..there].copy_from_slice(&self.seen[start..start + there]);
        buffer[there..count].fill(0);
        count
    }

    /// Remembers the sectors of a range as they are, because they are about to be written.
    pub fn remember(&mut self, offset: u64, len: u64) {
        for sector in offset / SECTOR_BYTES..(offset + len).div_ceil(SECTOR_BYTES) {
            let start = (sector * SECTOR_BYTES).min(self.len()) as usize;
            let end = ((sector + 1) * SECTOR_BYTES).min(self.len()) as usize;
            self.stale.insert(sector, self.seen[start..end].to_vec());
        }
    }

    /// Puts one of the sectors that `bytes`, read at `offset`, lie in as it was before it was last written; false if none was.
    pub fn show_stale(&self, chance: &mut Chance, offset: u64, bytes: &mut [u8]) -> bool {
        let end = offset + bytes.len() as u64;
        let there: Vec<_> = self.stale.range(offset / SECTOR_BYTES..end.div_ceil(SECTOR_BYTES)).collect();
        if there.is_empty() {
            return false;
        }
        let (sector, old) = there[chance.below(there.len() as u64) as usize];
        for at in (sector * SECTOR_BYTES).max(offset)..((sector + 1) * SECTOR_BYTES).min(end) {
            bytes[(at - offset) as usize] = old.get((at - sector * SECTOR_BYTES) as usize).copied().unwrap_or(0);
        }
        true
    }

    pub fn write(&mut self, offset: u64, data: Vec<u8>) {
        put(&mut self.seen, offset, &data);
        self.pending.push(Change::Write { offset, data });
    }

    /// Whether it holds something that no sync has made durable.
    pub fn is_unsynced(&self) -> bool {
        !self.pending.is_empty()
    }

    pub fn truncate(&mut self, len: u64) {
        self.seen.resize(len as usize, 0);
        self.pending.push(Change::Truncate { len });
    }

    pub fn sync(&mut self) {
        for change in std::mem::take(&mut self.pending) {
            match change {
                Change::Write { offset, data } => {
                    if self.given_up {
                        // The whole sectors around go to the disk, and they hold what is seen.
                        self.settle(offset, offset + data.len() as u64);
                    } else {
                        put(&mut self.durable, offset, &data);
                    }
                }
                Change::Truncate { len } => self.durable.resize(len as usize, 0),
            }
        }
        if self.given_up {
            // The length is kept apart from the pages, so it comes through.
            self.durable.resize(self.seen.len(), 0);
        }
    }

    /// Some of the un-synced sectors reach the disk; the others never will unless they are written again.
    pub fn fail_sync(&mut self, chance: &mut Chance, stats: &mut SimStats) {
        self.lose_pending(chance, stats);
        self.given_up = true;
    }

    pub fn lose_power(&mut self, chance: &mut Chance, stats: &mut SimStats) {
        self.lose_pending(chance, stats);
        self.seen = self.durable.clone();
        self.given_up = false;
    }

    pub fn flip_bit(&mut self, offset: u64, bit: u8) {
        for bytes in [&mut self.seen, &mut self.durable] {
            if let Some(byte) = bytes.get_mut(offset as usize) {
                *byte ^= 1 << (bit % 8);
            }
        }
        for change in &mut self.pending {
            if let Change::Write { offset: start, data } = change
                && let Some(index) = offset.checked_sub(*start)
                && let Some(byte) = data.get_mut(index as usize)
            {
                *byte ^= 1 << (bit % 8);
            }
        }
    }

    /// Carries what is seen in the sectors of a range over to the disk.
    fn settle(&mut self, start: u64, end: u64) {
        let start = start / SECTOR_BYTES * SECTOR_BYTES;
        let end = end.next_multiple_of(SECTOR_BYTES).min(self.len());
        if start < end {
            put(&mut self.durable, start, &self.seen[start as usize..end as usize]);
        }
    }

    /// Makes `durable` what a power loss could leave: each sector has seen some of its changes, from the first up to any
    /// of them, and so has the length.
    fn lose_pending(&mut self, chance: &mut Chance, stats: &mut SimStats) {
        let pending = std::mem::take(&mut self.pending);
        if pending.is_empty() {
            return;
        }
        // A third of the power losses takes all, a third takes nothing, a third tears.
        let (keep_all, lose_all) = match chance.below(3) {
            0 => (true, false),
            1 => (false, true),
            _ => (false, false),
        };
        let mut before = std::mem::take(&mut self.durable);
        let len = surviving_len(before.len() as u64, &pending, |changes| {
            if keep_all {
                changes
            } else if lose_all {
                0
            } else {
                chance.below(changes + 1)
            }
        });
        before.resize(before.len().max(self.seen.len()).max(len as usize), 0);
        let touched = touched_sectors(&pending, before.len() as u64);
        for (sector, changes) in touched {
            let count = changes.len() as u64;
            let kept = if keep_all {
                count
            } else if lose_all {
                0
            } else if chance.coin() {
                count * u64::from(chance.coin())
            } else {
                chance.below(count + 1)
            };
            match kept == count {
                true => stats.sectors_kept += 1,
                false => stats.sectors_lost += 1,
            }
            for change in &changes[..kept as usize] {
                apply_to_sector(&mut before, sector, &pending[*change]);
            }
        }
        before.resize(len as usize, 0);
        self.durable = before;
    }
}

/// The file's length after some of the changes to it.
fn surviving_len(before: u64, pending: &[Change], mut pick: impl FnMut(u64) -> u64) -> u64 {
    let mut lengths = vec![before];
    let mut len = before;
    for change in pending {
        let next = match change {
            Change::Write { offset, data } => len.max(offset + data.len() as u64),
            Change::Truncate { len } => *len,
        };
        // A write that makes the file longer does so sector by sector.
        while len < next && matches!(change, Change::Write { .. }) {
            len = ((len + 1).next_multiple_of(SECTOR_BYTES)).min(next);
            lengths.push(len);
        }
        if next != len {
            len = next;
            lengths.push(len);
        }
    }
    let kept = pick(lengths.len() as u64 - 1);
    lengths[kept as usize]
}

/// For each sector the changes that touch it, by number, in order.
fn touched_sectors(pending: &[Change], len: u64) -> Vec<(u64, Vec<usize>)> {
    let mut touched = BTreeMap::<u64, Vec<usize>>::new();
    for (number, change) in pending.iter().enumerate() {
        let (start, end) = match change {
            Change::Write { offset, data } => (*offset, offset + data.len() as u64),
            Change::Truncate { len: cut } => (*cut, len),
        };
        for sector in start / SECTOR_BYTES..end.div_ceil(SECTOR_BYTES) {
            touched.entry(sector).or_default().push(number);
        }
    }
    touched.into_iter().collect()
}

fn apply_to_sector(bytes: &mut [u8], sector: u64, change: &Change) {
    let sector_start = sector * SECTOR_BYTES;
    let sector_end = (sector_start + SECTOR_BYTES).min(bytes.len() as u64);
    match change {
        Change::Write { offset, data } => {
            let start = sector_start.max(*offset);
            let end = sector_end.min(offset + data.len() as u64);
            if start < end {
                bytes[start as usize..end as usize]
                    .copy_from_slice(&data[(start - offset) as usize..(end - offset) as usize]);
            }
        }
        Change::Truncate { len } => {
            let start = sector_start.max(*len);
            if start < sector_end {
                bytes[start as usize..sector_end as usize].fill(0);
            }
        }
    }
}

/// Writes into a growing vector.
fn put(bytes: &mut Vec<u8>, offset: u64, data: &[u8]) {
    let end = offset as usize + data.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[offset as usize..end].copy_from_slice(data);
}

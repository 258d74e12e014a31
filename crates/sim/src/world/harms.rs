//! What a disk does wrong: several things at once, each of them the doing of a fault, which counts when the disk has done it.

use super::Micros;
use super::slot::Slot;
use crate::ledger::{Ledger, TroubleId};
use disk::{SimFaults, SimStats};

/// One thing that a disk does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Harm {
    /// Power is lost during the operation with this number.
    Dies(u64),
    /// Writes and syncs fail.
    FailsToWrite,
    /// Reads fail.
    FailsToRead,
    /// There is no room.
    Full,
    /// Bits turn in what is written.
    Flips,
    /// Writes land elsewhere.
    Misplaces,
    /// Sectors are read as they once were.
    ReadsStale,
    /// Reads bring what lies elsewhere.
    ReadsElsewhere,
}

/// What a disk does wrong now: each harm once, whose doing it is, and how often it had been done when that was last looked at.
#[derive(Debug, Default)]
pub(super) struct Harms(Vec<(Harm, TroubleId, u64)>);

impl Harm {
    fn is_like(self, other: Harm) -> bool {
        std::mem::discriminant(&self) == std::mem::discriminant(&other)
    }

    /// How often a disk has done this.
    fn done(self, stats: &SimStats) -> u64 {
        match self {
            // Whose disk that was is known when the process ends.
            Harm::Dies(_) => 0,
            Harm::FailsToWrite => stats.write_errors + stats.sync_errors,
            Harm::FailsToRead => stats.read_errors,
            Harm::Full => stats.no_space,
            Harm::Flips => stats.bit_flips,
            Harm::Misplaces => stats.misdirected_writes,
            Harm::ReadsStale => stats.stale_reads,
            Harm::ReadsElsewhere => stats.misdirected_reads,
        }
    }

    fn add_to(self, faults: &mut SimFaults) {
        match self {
            Harm::Dies(at) => faults.dies_at = Some(at),
            Harm::FailsToWrite => (faults.sync_error, faults.write_error) = (0.5, 0.1),
            Harm::FailsToRead => faults.read_error = 0.2,
            Harm::Full => faults.capacity_bytes = Some(0),
            Harm::Flips => faults.bit_flip = 0.05,
            Harm::Misplaces => faults.misdirected_write = 0.05,
            Harm::ReadsStale => faults.stale_read = 1.0,
            Harm::ReadsElsewhere => faults.misdirected_read = 1.0,
        }
    }
}

impl Slot {
    /// Its disk does this wrong from now on, beside what it does already.
    pub fn spoil_disk(&mut self, by: TroubleId, harm: Harm) {
        self.end_harm(harm);
        self.harms.0.push((harm, by, harm.done(&self.disk.stats())));
        self.set_harms();
    }

    /// Its disk does this wrong no more.
    pub fn mend_disk(&mut self, harm: Harm) {
        self.end_harm(harm);
        self.set_harms();
    }

    /// Its disk does nothing wrong any more. By whom it was to lose power.
    pub fn mend_disk_wholly(&mut self) -> Option<TroubleId> {
        let harms = std::mem::take(&mut self.harms.0);
        self.set_harms();
        harms.into_iter().find(|(harm, ..)| harm.is_like(Harm::Dies(0))).map(|(_, by, _)| by)
    }

    /// If its disk has done what it was made to do wrong: that was an effect.
    pub fn look_at_disk(&mut self, ledger: &mut Ledger, now: Micros) {
        if self.harms.0.is_empty() {
            return;
        }
        let stats = self.disk.stats();
        for (harm, by, seen) in &mut self.harms.0 {
            let done = harm.done(&stats);
            if done > *seen {
                ledger.strikes(*by, now);
                *seen = done;
            }
        }
    }

    /// Whether its disk fails at something that a process does not survive. A full disk is survived.
    pub fn fails_at_disk(&self) -> bool {
        self.harms.0.iter().any(|(harm, ..)| matches!(harm, Harm::FailsToWrite | Harm::FailsToRead))
    }

    fn end_harm(&mut self, harm: Harm) {
        self.harms.0.retain(|(known, ..)| !known.is_like(harm));
    }

    fn set_harms(&self) {
        let mut faults = SimFaults::default();
        self.harms.0.iter().for_each(|(harm, ..)| harm.add_to(&mut faults));
        self.disk.set_faults(faults);
    }
}

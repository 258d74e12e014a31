//! What has gone wrong, whether anything came of it, and what went wrong together.
//!
//! A fault may befall a cluster without effect: a partition over which nobody has anything to say, a disk that is full while
//! nobody writes, a vote that nobody asks for. Such a fault is drawn and does not count. What counts is
//! told by the place where it bites: [`Ledger::strikes`].

use crate::faults::{HEAL, KINDS};
use crate::world::Micros;

/// A fault of this run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TroubleId(usize);

/// All faults of a run.
#[derive(Debug, Default)]
pub struct Ledger {
    troubles: Vec<Trouble>,
    /// Kinds of those that have had their first effect since this was last asked.
    begun: Vec<usize>,
}

#[derive(Clone, Copy, Debug)]
struct Trouble {
    kind: usize,
    /// Its first and its last effect.
    struck: Option<(Micros, Micros)>,
}

/// After its last effect a fault still counts for an election timeout: so long the cluster has to do with it.
const AFTERMATH: Micros = 1_000_000;

/// Faults by kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kinds {
    /// How many were drawn.
    pub drawn: [u32; KINDS],
    /// How many of those had an effect.
    pub struck: [u32; KINDS],
    /// With which others each overlapped in time, both with effect: bit `other` of place `kind`.
    pub met: [u64; KINDS],
}

impl Default for Kinds {
    fn default() -> Kinds {
        Kinds { drawn: [0; KINDS], struck: [0; KINDS], met: [0; KINDS] }
    }
}

impl Kinds {
    /// Takes those of another run in.
    pub fn add(&mut self, other: &Kinds) {
        for kind in 0..KINDS {
            self.drawn[kind] += other.drawn[kind];
            self.struck[kind] += other.struck[kind];
            self.met[kind] |= other.met[kind];
        }
    }

    /// How many had an effect.
    pub fn all_struck(&self) -> u64 {
        self.struck.iter().map(|&count| u64::from(count)).sum()
    }

    /// How many were drawn.
    pub fn all_drawn(&self) -> u64 {
        self.drawn.iter().map(|&count| u64::from(count)).sum()
    }

    /// Whether two kinds have overlapped.
    pub fn have_met(&self, one: usize, other: usize) -> bool {
        self.met[one] & 1 << other != 0
    }
}

impl Ledger {
    /// Something goes wrong from now on.
    pub fn begin(&mut self, kind: usize) -> TroubleId {
        self.troubles.push(Trouble { kind, struck: None });
        TroubleId(self.troubles.len() - 1)
    }

    /// It has an effect, at this time.
    pub fn strikes(&mut self, trouble: TroubleId, at: Micros) {
        let Trouble { kind, struck } = self.troubles[trouble.0];
        let (first, last) = struck.unwrap_or_else(|| {
            self.begun.push(kind);
            (at, at)
        });
        self.troubles[trouble.0].struck = Some((first.min(at), last.max(at)));
    }

    /// If it has had an effect: what came of that lasts until then.
    pub fn outlasts(&mut self, trouble: TroubleId, until: Micros) {
        if let Some((_, last)) = &mut self.troubles[trouble.0].struck {
            *last = until.max(*last);
        }
    }

    /// Kinds of faults that have had their first effect since this was last asked.
    pub fn begun(&mut self) -> Vec<usize> {
        std::mem::take(&mut self.begun)
    }

    /// What came of it all.
    pub fn kinds(&self) -> Kinds {
        let mut kinds = Kinds::default();
        let mut struck = Vec::new();
        for trouble in self.troubles.iter().filter(|trouble| trouble.kind != HEAL) {
            kinds.drawn[trouble.kind] += 1;
            if let Some((first, last)) = trouble.struck {
                kinds.struck[trouble.kind] += 1;
                struck.push((trouble.kind, first, last + AFTERMATH));
            }
        }
        for (place, &(kind, first, last)) in struck.iter().enumerate() {
            for &(other, begins, ends) in &struck[..place] {
                if first <= ends && begins <= last {
                    kinds.met[kind] |= 1 << other;
                    kinds.met[other] |= 1 << kind;
                }
            }
        }
        kinds
    }
}

/// Something that lasts until then, and whose doing it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lasting {
    /// Until when.
    pub until: Micros,
    by: Option<TroubleId>,
}

impl Lasting {
    /// As a fault does it.
    pub fn new(until: Micros, by: TroubleId) -> Lasting {
        Lasting { until, by: Some(by) }
    }

    /// Whether it lasts still.
    pub fn lasts(&self, now: Micros) -> bool {
        self.until > now
    }

    /// If it lasts still: that has an effect now.
    pub fn strikes(&self, ledger: &mut Ledger, now: Micros) -> bool {
        if let Some(by) = self.by.filter(|_| self.lasts(now)) {
            ledger.strikes(by, now);
        }
        self.lasts(now)
    }

    /// The same, and its effect lasts until its end.
    pub fn holds_up(&self, ledger: &mut Ledger, now: Micros) -> bool {
        if let Some(by) = self.by.filter(|_| self.lasts(now)) {
            ledger.strikes(by, now);
            ledger.strikes(by, self.until);
        }
        self.lasts(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_effect_is_drawn_and_does_not_count() {
        let mut ledger = Ledger::default();
        let (one, _two) = (ledger.begin(3), ledger.begin(3));
        ledger.strikes(one, 5);
        let kinds = ledger.kinds();
        assert_eq!((kinds.drawn[3], kinds.struck[3]), (2, 1));
        assert_eq!((kinds.all_drawn(), kinds.all_struck()), (2, 1));
    }

    #[test]
    fn those_meet_whose_effects_overlap() {
        let mut ledger = Ledger::default();
        let (early, long, late) = (ledger.begin(0), ledger.begin(1), ledger.begin(2));
        let silent = ledger.begin(4);
        ledger.strikes(early, 10);
        ledger.strikes(long, 10 + AFTERMATH);
        ledger.strikes(long, 10 * AFTERMATH);
        ledger.strikes(late, 9 * AFTERMATH);
        let kinds = ledger.kinds();
        assert!(kinds.have_met(0, 1) && kinds.have_met(1, 0) && kinds.have_met(1, 2));
        assert!(!kinds.have_met(0, 2) && !kinds.have_met(0, 0));
        assert!((0..KINDS).all(|kind| !kinds.have_met(kind, 4)), "{silent:?} has no effect");
    }
}

//! What a history must hold to, one file per promise.
//!
//! Every change has a revision and witnesses were told of all of them, so the
//! commit order is known and nothing is searched: the order is replayed on the
//! simulator's model, each answer and each read is compared with it, and real
//! time must agree with it. That is linearizability, in n log n.

mod backwards;
mod committed;
pub mod enough;
mod leases;
mod order;
mod owners;
mod replay;
mod watches;

#[cfg(test)]
mod tests;

use crate::history::History;
use committed::Committed;
use owners::Owners;

/// Violations that are told in full.
const TOLD_MAX: usize = 12;

/// What a history came to.
#[derive(Debug, Default)]
pub struct Verdict {
    /// What does not hold, with the requests concerned.
    pub wrong: Vec<String>,
    /// Writes that were acknowledged and are not there.
    pub lost: usize,
    /// The last revision.
    pub revisions: i64,
    /// Events that all watches together were told.
    pub events: usize,
    /// Reads that were compared with the model.
    pub reads: usize,
}

/// Checks everything.
pub fn check(history: &History) -> Verdict {
    let mut wrong = Vec::new();
    let committed = Committed::of(history, &mut wrong);
    let (mut owners, lost) = Owners::of(history, &committed, &mut wrong);
    let replayed = replay::replay(history, &committed, &mut owners, &mut wrong);
    order::check(history, &committed, &owners, &mut wrong);
    watches::check(history, &replayed.model, committed.last(), &mut wrong);
    leases::check(history, &committed, &replayed, &mut wrong);
    backwards::check(history, &committed, &mut wrong);
    if wrong.len() > TOLD_MAX {
        let more = wrong.len() - TOLD_MAX;
        wrong.truncate(TOLD_MAX);
        wrong.push(format!("… and {more} more"));
    }
    let told = history.watches.iter().flat_map(|told| &told.responses);
    Verdict {
        wrong,
        lost,
        revisions: committed.last(),
        events: told.map(|(_, response)| response.events.len()).sum(),
        reads: replayed.reads,
    }
}

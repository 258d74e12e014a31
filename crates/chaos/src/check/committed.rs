//! What was committed, revision by revision, as all witnesses were told it, and
//! when anybody first knew of it.

use crate::history::{History, Nanos, reached};
use proto::mvccpb::Event;
use std::collections::BTreeMap;

/// The committed changes.
#[derive(Debug, Default)]
pub struct Committed {
    /// The events of each revision, without previous values.
    pub events: BTreeMap<i64, Vec<Event>>,
    /// (revision, when), ascending in both: from then on somebody knew that the
    /// revision was committed.
    known: Vec<(i64, Nanos)>,
}

impl Committed {
    /// Puts together what all witnesses were told; they must not differ, and no
    /// revision may be missing. What members have kept is what counts.
    pub fn of(history: &History, wrong: &mut Vec<String>) -> Committed {
        let mut events: BTreeMap<i64, Vec<Event>> = BTreeMap::new();
        let (again, live) =
            history.watches.iter().filter(|told| told.is_witness()).partition::<Vec<_>, _>(|told| told.again);
        let kept = again.iter().map(|told| told.upto()).max();
        for told in again.into_iter().chain(live) {
            let mut of_this: BTreeMap<i64, Vec<Event>> = BTreeMap::new();
            for event in told.responses.iter().flat_map(|(_, response)| &response.events) {
                let revision = event.kv.as_ref().map_or(0, |kv| kv.mod_revision);
                of_this.entry(revision).or_default().push(Event { prev_kv: None, ..event.clone() });
            }
            for (revision, told_events) in of_this {
                let first = events.entry(revision).or_insert_with(|| told_events.clone());
                if *first != told_events {
                    wrong.push(format!(
                        "revision {revision} is {told_events:?} to the witness on m{}, and {first:?} to one before it",
                        told.client + 1
                    ));
                }
            }
        }
        let last = events.keys().next_back().copied().unwrap_or(1);
        if let Some(kept) = kept.filter(|kept| *kept < last) {
            wrong.push(format!("witnesses were told of revision {last}, and no member has one above {kept}"));
            events.retain(|revision, _| *revision <= kept);
        }
        let last = last.min(kept.unwrap_or(last));
        let missing: Vec<i64> = (2..=last).filter(|revision| !events.contains_key(revision)).collect();
        if let (Some(first), count) = (missing.first(), missing.len()) {
            wrong.push(format!("no witness was told of {count} revisions, the first of them {first}"));
        }
        Committed { events, known: known(history) }
    }

    /// The last revision.
    pub fn last(&self) -> i64 {
        self.events.keys().next_back().copied().unwrap_or(1)
    }

    /// When anybody first knew that this revision was committed.
    pub fn known(&self, revision: i64) -> Option<Nanos> {
        let place = self.known.partition_point(|(other, _)| *other < revision);
        self.known.get(place).map(|(_, when)| *when)
    }

    /// The highest revision that anybody knew of before `when`.
    pub fn floor(&self, when: Nanos) -> i64 {
        let place = self.known.partition_point(|(_, known)| *known < when);
        place.checked_sub(1).map_or(1, |place| self.known[place].0)
    }
}

/// Whoever is told a revision knows that it is committed: by an answer, also a
/// serializable one, or by a watch.
fn known(history: &History) -> Vec<(i64, Nanos)> {
    let answers = history.ops.iter().filter_map(|op| Some((op.end, op.revision()?)));
    let told = history.watches.iter().filter(|told| !told.again).flat_map(|told| &told.responses);
    let told = told.filter_map(|(when, response)| Some((*when, reached(response)?)));
    let mut all: Vec<(Nanos, i64)> = answers.chain(told).collect();
    all.sort_unstable();
    let mut known: Vec<(i64, Nanos)> = Vec::new();
    for (when, revision) in all {
        if known.last().is_none_or(|(highest, _)| revision > *highest) {
            known.push((revision, when));
        }
    }
    known
}

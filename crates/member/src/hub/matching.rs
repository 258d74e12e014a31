//! Which synced watchers an event concerns.

use super::{End, WatcherId};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

/// Watchers by what they watch. Single keys are found by look-up; ranges by
/// their start, which is fast while ranges are few beside keys.
#[derive(Debug, Default)]
pub(super) struct Matching {
    singles: BTreeMap<Bytes, BTreeSet<WatcherId>>,
    spans: BTreeMap<Bytes, BTreeMap<WatcherId, End>>,
}

impl Matching {
    pub fn insert(&mut self, id: WatcherId, key: &Bytes, end: &End) {
        let new = match end {
            End::Single => self.singles.entry(key.clone()).or_default().insert(id),
            _ => self.spans.entry(key.clone()).or_default().insert(id, end.clone()).is_none(),
        };
        assert!(new, "watcher {id:?} is matched once");
    }

    pub fn remove(&mut self, id: WatcherId, key: &Bytes, end: &End) {
        let gone = match end {
            End::Single => take(&mut self.singles, key, |ids| ids.remove(&id), BTreeSet::is_empty),
            _ => take(&mut self.spans, key, |ids| ids.remove(&id).is_some(), BTreeMap::is_empty),
        };
        assert!(gone, "watcher {id:?} was matched");
    }

    /// Calls `found` for every watcher whose range holds `key`.
    pub fn find(&self, key: &[u8], mut found: impl FnMut(WatcherId)) {
        if let Some(ids) = self.singles.get(key) {
            ids.iter().copied().for_each(&mut found);
        }
        for (from, ids) in self.spans.range::<[u8], _>((Bound::Unbounded, Bound::Included(key))) {
            ids.iter().filter(|(_, end)| end.covers(from, key)).for_each(|(&id, _)| found(id));
        }
    }
}

/// Removes from the set under `key`, and the set when it is empty.
fn take<S>(
    sets: &mut BTreeMap<Bytes, S>,
    key: &Bytes,
    remove: impl FnOnce(&mut S) -> bool,
    empty: impl FnOnce(&S) -> bool,
) -> bool {
    let Some(set) = sets.get_mut(key) else { return false };
    let gone = remove(set);
    if empty(set) {
        sets.remove(key);
    }
    gone
}

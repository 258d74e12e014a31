//! Which synced watchers an event concerns.

mod spans;

use super::{End, WatcherId};
use bytes::Bytes;
use spans::Spans;
use std::collections::{BTreeMap, BTreeSet};

/// Watchers by what they watch: single keys by look-up, ranges in a tree, both
/// in a time that hardly grows with those that are not concerned.
#[derive(Debug, Default)]
pub(super) struct Matching {
    singles: BTreeMap<Bytes, BTreeSet<WatcherId>>,
    spans: Spans,
}

impl Matching {
    pub fn insert(&mut self, id: WatcherId, key: &Bytes, end: &End) {
        let new = match end {
            End::Single => self.singles.entry(key.clone()).or_default().insert(id),
            _ => self.spans.insert(id, key, end),
        };
        assert!(new, "watcher {id:?} is matched once");
    }

    pub fn remove(&mut self, id: WatcherId, key: &Bytes, end: &End) {
        let gone = match end {
            End::Single => self.remove_single(id, key),
            _ => self.spans.remove(id, key, end),
        };
        assert!(gone, "watcher {id:?} was matched");
    }

    /// Calls `found` for every watcher whose range holds `key`.
    pub fn find(&self, key: &[u8], mut found: impl FnMut(WatcherId)) {
        if let Some(ids) = self.singles.get(key) {
            ids.iter().copied().for_each(&mut found);
        }
        self.spans.find(key, found);
    }

    fn remove_single(&mut self, id: WatcherId, key: &Bytes) -> bool {
        let Some(ids) = self.singles.get_mut(key) else { return false };
        let gone = ids.remove(&id);
        if ids.is_empty() {
            self.singles.remove(key);
        }
        gone
    }
}

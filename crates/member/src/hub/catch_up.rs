//! Who is behind reads history, many in one pass, in slices; so do all that
//! are synced, together, when Hub was shown a View without its events.

use super::{Delivered, End, Hub, Response, WatchId, WatcherId, delivered};
use crate::Fault;
use crate::limits;
use disk::Disk;
use std::collections::BTreeMap;

impl<D: Disk> Hub<D> {
    /// Whether [`Hub::catch_up`] has something to do now.
    pub fn has_work(&self) -> bool {
        self.lags() || self.behind.iter().any(|(stream, _)| self.streams[stream].has_room())
    }

    /// Moves all that are synced, and some watchers that are behind, by one
    /// slice of history. Bounded in revisions, bytes and watchers, so that
    /// live events are not delayed.
    ///
    /// # Errors
    /// When history cannot be read.
    pub fn catch_up(&mut self) -> Result<(), Fault> {
        self.catch_up_synced()?;
        self.catch_up_behind()
    }

    /// Tells what the View shows and those who are synced have not been told.
    fn catch_up_synced(&mut self) -> Result<(), Fault> {
        if !self.lags() {
            return Ok(());
        }
        let present = self.view.revision();
        if self.told + 1 < self.view.compacted() {
            // Each learns by itself what is left of its history.
            self.all_fall_behind();
        }
        if self.nobody_is_synced() {
            self.told = present;
            return Ok(());
        }
        let upto = present.min(self.told + self.settings.catch_up_revisions);
        let mut bytes = 0;
        for change in self.view.history(self.told + 1, upto) {
            let change = change?;
            self.tell_synced(&change)?;
            bytes += change.events.iter().map(|event| event.kv.len()).sum::<usize>();
            if bytes >= self.settings.catch_up_bytes {
                self.cut_slices += 1;
                return Ok(());
            }
        }
        self.cut_slices += u64::from(upto < present);
        self.told = upto;
        Ok(())
    }

    fn catch_up_behind(&mut self) -> Result<(), Fault> {
        let batch = self.next_batch();
        let compacted = self.view.compacted();
        let present = self.view.revision();
        let mut reading = Vec::with_capacity(batch.len());
        for id in batch {
            let cursor = self.watchers[&id].cursor;
            if cursor < compacted {
                self.end_compacted(id, compacted);
            } else if cursor > present {
                self.synced(id);
            } else {
                reading.push(id);
            }
        }
        let Some(from) = reading.iter().map(|id| self.watchers[id].cursor).min() else { return Ok(()) };
        let upto = present.min(from + self.settings.catch_up_revisions - 1);
        let (gathered, reached) = self.gather(&reading, from, upto)?;
        self.cut_slices += u64::from(reached < present);
        self.hand_out(&reading, gathered, reached, present);
        Ok(())
    }

    /// Watchers with room on their stream, beginning where the last slice
    /// ended.
    fn next_batch(&mut self) -> Vec<WatcherId> {
        let ready = |id: &&WatcherId| self.streams[&id.0].has_room();
        let after = self.behind.range((std::ops::Bound::Excluded(self.turn), std::ops::Bound::Unbounded)).filter(ready);
        let before = self.behind.range(..=self.turn).filter(ready);
        let batch: Vec<WatcherId> = after.chain(before).take(limits::WATCH_CATCH_UP_BATCH).copied().collect();
        if let Some(&last) = batch.last() {
            self.turn = last;
        }
        batch
    }

    /// Reads [from, upto], or less if it grows too large, and returns what
    /// each watcher is owed of it and the last revision read.
    #[allow(clippy::type_complexity)]
    fn gather(
        &self,
        reading: &[WatcherId],
        from: i64,
        upto: i64,
    ) -> Result<(BTreeMap<WatcherId, Vec<Delivered>>, i64), Fault> {
        let mut gathered: BTreeMap<WatcherId, Vec<Delivered>> = BTreeMap::new();
        let mut bytes = 0;
        let wide = reading.iter().any(|id| self.watchers[id].end != End::Single);
        let mut keys: BTreeMap<&[u8], Vec<WatcherId>> = BTreeMap::new();
        if !wide {
            for &id in reading {
                keys.entry(&self.watchers[&id].key).or_default().push(id);
            }
        }
        for change in self.view.history(from, upto) {
            let change = change?;
            for event in change.events.iter() {
                let candidates = if wide { reading } else { keys.get(&event.key[..]).map_or(&[][..], |ids| ids) };
                for &id in candidates {
                    let watcher = &self.watchers[&id];
                    if change.revision >= watcher.cursor && watcher.wants(event) {
                        let event = delivered(&self.view, change.revision, event, watcher.previous)?;
                        bytes += event.size_bytes();
                        gathered.entry(id).or_default().push(event);
                    }
                }
            }
            if bytes >= self.settings.catch_up_bytes {
                return Ok((gathered, change.revision));
            }
        }
        Ok((gathered, upto))
    }

    fn hand_out(
        &mut self,
        reading: &[WatcherId],
        mut gathered: BTreeMap<WatcherId, Vec<Delivered>>,
        reached: i64,
        present: i64,
    ) {
        for &id in reading {
            let cursor = self.watchers[&id].cursor;
            if cursor > reached {
                continue;
            }
            match gathered.remove(&id) {
                Some(events) => self.deliver(id, cursor, reached, present, events),
                None => self.watchers.get_mut(&id).expect("reading").cursor = reached + 1,
            }
            if reached == present {
                self.synced(id);
            }
        }
    }

    /// From now on this watcher gets events as they are published.
    fn synced(&mut self, id: WatcherId) {
        let watcher = &self.watchers[&id];
        assert!(self.behind.remove(&id), "watcher {id:?} was behind");
        self.matching.insert(id, &watcher.key, &watcher.end);
    }

    /// What the watcher is owed is gone: it ends, and is told from where
    /// history can be had (02 §5: no reason, header revision 0).
    fn end_compacted(&mut self, id: WatcherId, compacted: i64) {
        assert!(self.forget(id), "watcher {id:?} exists");
        let (stream, watch_id): (_, WatchId) = id;
        if let Some(state) = self.streams.get_mut(&stream) {
            state.ended.insert(watch_id);
        }
        let response = Response { watch_id, canceled: true, compact_revision: compacted, ..Response::default() };
        self.send(stream, response);
    }
}

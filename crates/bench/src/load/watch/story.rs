//! What the watchers of one key are told, held against what was put.
//!
//! ```text
//!   put      0   1   2        numbers, in the order of sending; in the values
//!   version  7   9   8        in the order of the store: the story
//!   a        7   8   9        every watcher is told the same story,
//!   b        7   8            each as far as it has come
//! ```
//!
//! Only compares: it knows no server. Nobody else may write the key, so its
//! version grows by one with each put, and an event that is missing, comes
//! twice or out of order has another version than the next.

use std::collections::BTreeMap;

use proto::etcdserverpb::WatchResponse;
use proto::mvccpb::Event;
use proto::mvccpb::event::EventType;
use tokio::time::Instant;

use crate::keyspace::Keyspace;

/// A put, by number.
struct Put {
    sent: Instant,
    /// The highest revision known when it was sent.
    floor: i64,
    answered: Option<i64>,
}

/// A put, by version.
struct Told {
    number: usize,
    revision: i64,
    /// Watchers that still have to be told.
    left: usize,
}

/// All puts to the key since the watchers were made.
pub struct Story {
    watchers: usize,
    /// The key's version before the first.
    version: i64,
    /// The highest revision in any reply or event.
    highest: i64,
    puts: Vec<Put>,
    told: Vec<Told>,
    whole: usize,
}

impl Story {
    /// For so many watchers of a key that has this version at this revision.
    pub fn new(watchers: usize, version: i64, revision: i64) -> Self {
        Self { watchers, version, highest: revision, puts: Vec::new(), told: Vec::new(), whole: 0 }
    }

    /// Puts that were sent.
    pub fn sent(&self) -> usize {
        self.puts.len()
    }

    /// Puts that everybody has been told of.
    pub fn whole(&self) -> usize {
        self.whole
    }

    /// A put is sent; its number is how many were sent before.
    pub fn send(&mut self, now: Instant) {
        self.puts.push(Put { sent: now, floor: self.highest, answered: None });
    }

    /// What the revision of this put must be above.
    pub fn floor(&self, number: usize) -> i64 {
        self.puts[number].floor
    }

    /// A put was answered with this revision.
    pub fn answer(&mut self, number: usize, revision: i64) {
        self.puts[number].answered = Some(revision);
        self.highest = self.highest.max(revision);
    }

    /// One watcher of a stream is told something. Calls `each` for every event
    /// that is right, with the moment when its put was sent.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn take(
        &mut self,
        keyspace: &Keyspace,
        watchers: &mut BTreeMap<i64, usize>,
        response: &WatchResponse,
        mut each: impl FnMut(Instant),
    ) -> Result<(), String> {
        if response.created || response.canceled {
            return Err(format!("a watcher was made or ended amid the events: {}", response.cancel_reason));
        }
        let known = response.header.as_ref().ok_or("a response without a header")?.revision;
        let count = watchers.get_mut(&response.watch_id).ok_or("an event for a watcher that was never made")?;
        for event in &response.events {
            each(self.tell(keyspace, *count, known, event)?);
            *count += 1;
        }
        Ok(())
    }

    /// A watcher that has been told `count` events is told one more.
    fn tell(&mut self, keyspace: &Keyspace, count: usize, known: i64, event: &Event) -> Result<Instant, String> {
        let kv = event.kv.as_ref().ok_or("an event without a key")?;
        if event.r#type != EventType::Put as i32 || kv.key != keyspace.key(super::KEY) {
            return Err("an event that is no put of the key".to_owned());
        }
        let (version, revision) = (kv.version, kv.mod_revision);
        let next = self.version + 1 + count as i64;
        if version != next {
            return Err(format!("told of version {version} where {next} is next"));
        }
        if revision > known {
            return Err(format!("told of revision {revision} when the store had {known}"));
        }
        let number = keyspace.number_of(&kv.value).filter(|number| *number < self.puts.len());
        let number = number.ok_or_else(|| format!("version {version} has a value that was never put"))?;
        if count == self.told.len() {
            if self.told.last().is_some_and(|before| revision <= before.revision) || revision <= self.puts[number].floor
            {
                return Err(format!("version {version} has revision {revision}, which was there before it"));
            }
            self.told.push(Told { number, revision, left: self.watchers });
            self.highest = self.highest.max(revision);
        }
        let told = &mut self.told[count];
        if (told.number, told.revision) != (number, revision) {
            return Err(format!("two watchers are told different things of version {version}"));
        }
        told.left -= 1;
        if told.left == 0 {
            // Everybody is told in order, so the one before is whole already.
            self.whole = count + 1;
        }
        Ok(self.puts[number].sent)
    }

    /// Doubts what can be known only when all puts were answered and told.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn check_end(&self) -> Result<(), String> {
        if self.whole != self.puts.len() {
            return Err(format!("of {} puts {} were told to everybody", self.puts.len(), self.whole));
        }
        // Revisions in the story differ, so no put can stand there twice.
        for told in &self.told {
            let answered = self.puts[told.number].answered;
            if answered != Some(told.revision) {
                return Err(format!("a put was answered with {answered:?} and told as revision {}", told.revision));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proto::etcdserverpb::ResponseHeader;
    use proto::mvccpb::KeyValue;

    use super::*;

    /// Puts 0, 1 and 2 were sent at revision 20, when the key had version 7, and
    /// two watchers, 10 and 11, are to be told.
    struct Stage {
        keyspace: Keyspace,
        story: Story,
        watchers: BTreeMap<i64, usize>,
    }

    impl Stage {
        fn new() -> Self {
            let mut story = Story::new(2, 7, 20);
            (0..3).for_each(|_| story.send(Instant::now()));
            Self { keyspace: Keyspace::new(2, 256), story, watchers: [(10, 0), (11, 0)].into() }
        }

        fn event(&self, number: usize, version: i64, revision: i64) -> Event {
            let (key, value) = (self.keyspace.key(0), self.keyspace.value(number));
            let kv = KeyValue { key, value, version, mod_revision: revision, ..Default::default() };
            Event { kv: Some(kv), ..Default::default() }
        }

        /// Tells a watcher of one event; how many were taken.
        fn tell(&mut self, watch_id: i64, event: Event) -> Result<usize, String> {
            let header = Some(ResponseHeader { revision: 30, ..Default::default() });
            self.take(WatchResponse { header, watch_id, events: vec![event], ..Default::default() })
        }

        fn take(&mut self, response: WatchResponse) -> Result<usize, String> {
            let mut taken = 0;
            self.story.take(&self.keyspace, &mut self.watchers, &response, |_| taken += 1)?;
            Ok(taken)
        }

        fn put(&mut self, watch_id: i64, number: usize, version: i64, revision: i64) -> Result<usize, String> {
            let event = self.event(number, version, revision);
            self.tell(watch_id, event)
        }
    }

    #[test]
    fn everybody_is_told_the_same_story_in_the_order_of_the_store() {
        let mut stage = Stage::new();
        for (number, version, revision) in [(0, 8, 21), (2, 9, 22)] {
            assert_eq!(stage.put(10, number, version, revision), Ok(1));
        }
        assert_eq!(stage.story.whole(), 0, "the other one knows nothing yet");
        assert_eq!(stage.put(11, 0, 8, 21), Ok(1));
        assert_eq!(stage.story.whole(), 1);
        let header = Some(ResponseHeader { revision: 23, ..Default::default() });
        let events = vec![stage.event(2, 9, 22), stage.event(1, 10, 23)];
        assert_eq!(stage.take(WatchResponse { header, watch_id: 11, events, ..Default::default() }), Ok(2));
        assert!(stage.story.check_end().unwrap_err().contains("of 3 puts 2"));
        assert_eq!(stage.put(10, 1, 10, 23), Ok(1));
        for (number, revision) in [(0, 21), (1, 23)] {
            stage.story.answer(number, revision);
        }
        assert!(stage.story.check_end().unwrap_err().contains("answered with None"));
        stage.story.answer(2, 24);
        assert!(stage.story.check_end().unwrap_err().contains("answered with Some(24)"));
        stage.story.answer(2, 22);
        assert_eq!(stage.story.check_end(), Ok(()));
        stage.story.send(Instant::now());
        assert_eq!((stage.story.sent(), stage.story.floor(3)), (4, 24), "all that was heard is below");
    }

    #[test]
    fn what_is_missing_comes_twice_or_out_of_order_is_seen() {
        let mut stage = Stage::new();
        assert_eq!(stage.put(10, 1, 9, 22).unwrap_err(), "told of version 9 where 8 is next");
        assert_eq!(stage.put(10, 0, 8, 21), Ok(1));
        assert_eq!(stage.put(10, 0, 8, 21).unwrap_err(), "told of version 8 where 9 is next");
        assert_eq!(stage.put(10, 1, 9, 21).unwrap_err(), "version 9 has revision 21, which was there before it");
        assert_eq!(stage.put(11, 1, 8, 21).unwrap_err(), "two watchers are told different things of version 8");
        assert_eq!(stage.put(11, 0, 8, 22).unwrap_err(), "two watchers are told different things of version 8");
        assert_eq!(stage.put(12, 0, 8, 21).unwrap_err(), "an event for a watcher that was never made");
    }

    #[test]
    fn an_event_is_of_the_key_and_of_a_put_that_was_sent() {
        let mut stage = Stage::new();
        assert!(stage.put(10, 3, 8, 21).unwrap_err().contains("never put"));
        assert!(stage.put(10, 0, 8, 20).unwrap_err().contains("there before it"));
        assert!(stage.put(10, 0, 8, 31).unwrap_err().contains("when the store had 30"));
        let event = stage.event(0, 8, 21);
        let other_key = KeyValue { key: stage.keyspace.key(1), ..event.kv.clone().unwrap() };
        assert!(stage.tell(10, Event { kv: Some(other_key), ..event.clone() }).is_err());
        assert!(stage.tell(10, Event { r#type: EventType::Delete as i32, ..event.clone() }).is_err());
        assert!(stage.tell(10, Event { kv: None, ..event.clone() }).is_err());
        let header = Some(ResponseHeader { revision: 30, ..Default::default() });
        let right = WatchResponse { header, watch_id: 10, events: vec![event], ..Default::default() };
        assert!(stage.take(WatchResponse { header: None, ..right.clone() }).is_err());
        assert!(stage.take(WatchResponse { canceled: true, ..right.clone() }).is_err());
        assert_eq!(stage.take(right), Ok(1));
    }
}

//! A client that watches: one stream at a time, with several watches on it, each of which goes on where it was when the stream
//! is another.

use super::Micros;
use crate::load;
use crate::record::{Record, Run, Told, Watched};
use bytes::Bytes;
use fastrand::Rng;
use member::hub::{EventKind, Response};
use prost::Message as _;
use proto::etcdserverpb::WatchCreateRequest;
use proto::etcdserverpb::watch_create_request::FilterType;
use proto::mvccpb::KeyValue;
use std::collections::VecDeque;

/// Who watches.
#[derive(Debug, Default)]
pub(super) struct Watcher {
    /// Takes up to this long to read a response.
    pub slow: Micros,
    /// Where it is connected: member and stream.
    pub at: Option<(usize, u64)>,
    /// Event bytes that it has been sent and has not read.
    pub unread: usize,
    pub watches: Vec<Watch>,
    /// Those that it has asked for and that are not answered, in order, and what the member had shown by then.
    creating: VecDeque<(usize, i64)>,
}

/// One watch.
#[derive(Debug, Default)]
pub(super) struct Watch {
    key: Bytes,
    range_end: Bytes,
    previous: bool,
    no_put: bool,
    no_delete: bool,
    fragment: bool,
    notices: bool,
    begins: Begins,
    /// Its id, if it chooses one.
    chosen: i64,
    state: State,
    /// It has been created before.
    pub has_begun: bool,
    /// The next revision it is owed; 0 before that is known.
    next: i64,
    /// Parts of a response that is not whole yet.
    parts: Vec<(i64, Told)>,
    /// Its place in the record.
    record: usize,
}

/// Where a watch begins that has seen nothing.
#[derive(Clone, Copy, Debug)]
enum Begins {
    /// So many revisions ago.
    Before(i64),
    /// With whatever comes next.
    Now,
    /// So many revisions later.
    After(i64),
}

impl Default for Begins {
    fn default() -> Begins {
        Begins::Before(0)
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Nobody knows of it.
    #[default]
    Gone,
    /// It is asked for.
    Asked,
    /// It lives, under this id.
    Lives(i64),
    /// It was cancelled by its client, or a compaction has ended it and its client says that it knows.
    Ending(i64),
}

/// What a client does because of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    Nothing,
    /// A watch has ended for a compaction: its id is free when it is cancelled.
    Cancel(i64),
    /// A watch is asked for again.
    Create(usize),
}

/// Watchers of a run.
pub(super) fn draw(rng: &mut Rng) -> Vec<Watcher> {
    let count = rng.usize(1..6);
    draw_more(rng, count, 0)
}

/// So many more of them, with places in the record from this one on.
pub(super) fn draw_more(rng: &mut Rng, count: usize, mut record: usize) -> Vec<Watcher> {
    (0..count)
        .map(|_| {
            let slow = [0, 0, 300_000, 6_000_000][rng.usize(..4)];
            let count = [1, 1, 2, 3][rng.usize(..4)];
            let mut watches: Vec<Watch> = (record..record + count).map(|record| Watch::draw(rng, record)).collect();
            record += count;
            // Nobody says how far a whole stream is that has a watch of the future.
            if watches.iter().any(|watch| matches!(watch.begins, Begins::After(_))) {
                watches.iter_mut().for_each(|watch| watch.notices = true);
            }
            Watcher { slow, watches, ..Watcher::default() }
        })
        .collect()
}

impl Watch {
    fn draw(rng: &mut Rng, record: usize) -> Watch {
        let (key, range_end) = load::span(rng);
        // An empty range is refused at once; watch one key instead.
        let range_end = if range_end != "\0" && range_end <= key { Bytes::new() } else { range_end };
        let begins = match rng.u8(..6) {
            0 => Begins::Now,
            1 => Begins::After(rng.i64(1..80)),
            _ => Begins::Before(rng.i64(0..40)),
        };
        // Beside those that the server picks, which are small.
        let chosen = if rng.u8(..3) == 0 { 1_000 + record as i64 } else { 0 };
        let filter = rng.u8(..8);
        Watch {
            key,
            range_end,
            previous: rng.bool(),
            no_put: filter == 0,
            no_delete: filter == 1,
            fragment: rng.u8(..4) > 0,
            notices: rng.bool(),
            begins,
            chosen,
            record,
            ..Watch::default()
        }
    }

    /// What a watch is of, for the checker.
    fn watched(&self) -> Watched {
        Watched {
            key: self.key.clone(),
            range_end: self.range_end.clone(),
            runs: Vec::new(),
            previous: self.previous,
            no_put: self.no_put,
            no_delete: self.no_delete,
        }
    }
}

impl Watcher {
    /// Told all up to this revision.
    pub fn has_seen(&self, revision: i64) -> bool {
        self.watches.iter().all(|watch| watch.next > revision)
    }

    /// Its watches that have not begun yet see everything, and all of it.
    pub fn sees_all(&mut self) {
        for watch in &mut self.watches {
            (watch.key, watch.range_end) = (Bytes::from_static(b"\0"), Bytes::from_static(b"\0"));
            (watch.no_put, watch.no_delete) = (false, false);
        }
    }

    /// Its stream is lost.
    pub fn disconnect(&mut self) {
        self.at = None;
        self.creating.clear();
        self.watches.iter_mut().for_each(|watch| watch.state = State::Gone);
    }

    /// It is connected anew.
    pub fn connect(&mut self, slot: usize, stream: u64) {
        (self.at, self.unread) = (Some((slot, stream)), 0);
    }

    /// Asks for a watch, of a member that has shown `present` by now.
    pub fn create(&mut self, number: usize, present: i64) -> WatchCreateRequest {
        let watch = &mut self.watches[number];
        watch.parts.clear();
        if watch.next == 0 {
            watch.next = match watch.begins {
                Begins::Before(revisions) => (present - revisions).max(1),
                Begins::Now => 0,
                Begins::After(revisions) => present + revisions,
            };
        }
        watch.state = State::Asked;
        self.creating.push_back((number, present));
        let filters = [(watch.no_put, FilterType::Noput), (watch.no_delete, FilterType::Nodelete)];
        WatchCreateRequest {
            key: watch.key.clone(),
            range_end: watch.range_end.clone(),
            start_revision: watch.next,
            progress_notify: watch.notices,
            filters: filters.into_iter().filter(|(leaves_out, _)| *leaves_out).map(|(_, kind)| kind.into()).collect(),
            prev_kv: watch.previous,
            watch_id: watch.chosen,
            fragment: watch.fragment,
        }
    }

    /// Ends one of its watches by itself, to ask for it again when that is answered. Its id, if there is one to end.
    pub fn cancel(&mut self, number: usize) -> Option<i64> {
        let State::Lives(id) = self.watches[number].state else { return None };
        self.watches[number].state = State::Ending(id);
        Some(id)
    }

    /// Takes a response.
    ///
    /// # Panics
    /// When it breaks a promise by itself: what it says is compared with the log later.
    pub fn told(&mut self, record: &mut Record, response: Response) -> Then {
        record.spoken_of = record.spoken_of.max(response.revision);
        if response.compact_revision > 0 {
            record.cancelled_for.insert(response.compact_revision);
        }
        if response.created {
            self.created(record, &response);
            return Then::Nothing;
        }
        if response.watch_id == -1 {
            self.told_progress(record, &response);
            return Then::Nothing;
        }
        let known = |watch: &Watch| match watch.state {
            State::Lives(id) | State::Ending(id) => id == response.watch_id,
            State::Gone | State::Asked => false,
        };
        let Some(number) = self.watches.iter().position(known) else { panic!("nobody has that watch: {response:?}") };
        let watch = &mut self.watches[number];
        if response.canceled {
            return watch.canceled(number, &response);
        }
        assert!(watch.fragment || !response.fragment, "fragments come only if asked for");
        let run = record.watches[watch.record].runs.last_mut().expect("a watch that lives has a run");
        if response.events.is_empty() {
            assert!(watch.notices, "notices of progress come only if asked for: {response:?}");
            watch.has_come_to(run, response.revision);
            return Then::Nothing;
        }
        for event in response.events {
            let revision = KeyValue::decode(event.kv.clone()).expect("events carry key-values").mod_revision;
            assert!(revision >= watch.next, "revision {revision} is told again or late: {} is owed", watch.next);
            let told = Told { delete: event.kind == EventKind::Delete, kv: event.kv, previous: event.previous };
            watch.parts.push((revision, told));
        }
        let last = watch.parts.last().expect("a response with events").0;
        assert!(response.revision >= last, "events of revision {last} in a response of {}", response.revision);
        if response.fragment {
            return Then::Nothing;
        }
        record.counts.events += watch.parts.len() as u64;
        run.events.append(&mut watch.parts);
        run.upto = run.upto.max(last);
        watch.next = last + 1;
        Then::Nothing
    }

    /// The answer to a create request.
    fn created(&mut self, record: &mut Record, response: &Response) {
        let (number, shown) = self.creating.pop_front().expect("nobody has asked");
        assert!(!response.canceled, "a sound watch is not refused: {response:?}");
        assert!(response.events.is_empty(), "no events in the answer to a create request");
        assert!(
            response.revision >= shown,
            "a watch was created at {}, and {shown} had been shown before",
            response.revision
        );
        let taken =
            |watch: &Watch| matches!(watch.state, State::Lives(id) | State::Ending(id) if id == response.watch_id);
        assert!(!self.watches.iter().any(taken), "watch {} is there already", response.watch_id);
        let watch = &mut self.watches[number];
        assert!(watch.chosen == 0 || watch.chosen == response.watch_id, "the id is the one that was chosen");
        (watch.state, watch.has_begun) = (State::Lives(response.watch_id), true);
        if watch.next == 0 {
            // From now on is from behind what the answer speaks of.
            watch.next = response.revision + 1;
        }
        while record.watches.len() <= watch.record {
            record.watches.push(Watched::default());
        }
        let watched = &mut record.watches[watch.record];
        let runs = std::mem::take(&mut watched.runs);
        *watched = Watched { runs, ..watch.watched() };
        watched.runs.push(Run { from: watch.next, upto: watch.next - 1, events: Vec::new() });
    }

    /// The answer to who asks how far the whole stream is: it speaks of all watches on it.
    fn told_progress(&mut self, record: &mut Record, response: &Response) {
        assert!(!response.canceled && response.events.is_empty(), "{response:?}");
        for watch in &mut self.watches {
            if let State::Lives(_) = watch.state {
                let run = record.watches[watch.record].runs.last_mut().expect("a watch that lives has a run");
                watch.has_come_to(run, response.revision);
                record.counts.progress += 1;
            }
        }
    }
}

impl Watch {
    /// All that matches up to this revision has been told.
    fn has_come_to(&mut self, run: &mut Run, revision: i64) {
        assert!(self.parts.is_empty(), "progress came between two parts of one response");
        assert!(revision >= run.upto, "progress goes back from {} to {revision}", run.upto);
        run.upto = run.upto.max(revision);
        self.next = self.next.max(revision + 1);
    }

    fn canceled(&mut self, number: usize, response: &Response) -> Then {
        assert!(response.events.is_empty() && response.cancel_reason.is_empty(), "{response:?}");
        match self.state {
            State::Lives(id) => {
                assert!(response.compact_revision > 0, "only a compaction ends a sound watch: {response:?}");
                assert!(
                    response.compact_revision > self.next,
                    "revision {} was there, but the watch was cancelled for {}",
                    self.next,
                    response.compact_revision
                );
                self.next = response.compact_revision;
                self.state = State::Ending(id);
                Then::Cancel(id)
            }
            // Both have ended it at once.
            State::Ending(_) if response.compact_revision > 0 => {
                self.next = self.next.max(response.compact_revision);
                Then::Nothing
            }
            _ => {
                self.state = State::Gone;
                Then::Create(number)
            }
        }
    }
}

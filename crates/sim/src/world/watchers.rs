//! Watches: each follows a range from member to member, resuming where it was.

use super::{Event, Micros, World};
use crate::check::{self, room::Waiting};
use crate::load;
use crate::mutant::Mutant;
use crate::record::{Run, Told, Watched};
use bytes::Bytes;
use fastrand::Rng;
use member::hub::{EventKind, Response};
use prost::Message as _;
use proto::etcdserverpb::WatchCreateRequest;
use proto::mvccpb::KeyValue;

/// Who watches.
#[derive(Debug, Default)]
pub(super) struct Watcher {
    key: Bytes,
    range_end: Bytes,
    previous: bool,
    /// Takes up to this long to read a response.
    pub slow: Micros,
    /// Where it is connected: member and stream.
    at: Option<(usize, u64)>,
    /// The next revision it is owed; 0 before it first connects.
    next: i64,
    /// Parts of a response that is not whole yet.
    parts: Vec<(i64, Told)>,
    /// Event bytes that it has been sent and has not read.
    unread: usize,
    /// Its place in the record.
    record: usize,
}

/// Watchers of a run.
pub(super) fn draw(rng: &mut Rng) -> Vec<Watcher> {
    (0..rng.usize(1..7))
        .map(|record| {
            let (key, range_end) = load::span(rng);
            // An empty range is refused at once; watch one key instead.
            let range_end = if range_end != "\0" && range_end <= key { Bytes::new() } else { range_end };
            let slow = [0, 0, 300_000, 6_000_000][rng.usize(..4)];
            Watcher { key, range_end, previous: rng.bool(), slow, record, ..Watcher::default() }
        })
        .collect()
}

/// A lost watch comes back after this.
const RECONNECT: Micros = 150_000;

impl Watcher {
    /// Told all up to this revision.
    pub(super) fn has_seen(&self, revision: i64) -> bool {
        self.next > revision
    }
}

impl World {
    pub(super) fn connect(&mut self, number: usize) {
        let anyone = self.chances.load.usize(..self.slots.len());
        let slot = self.watches_at.unwrap_or(anyone);
        let again = self.now + RECONNECT;
        if self.slots[slot].clients_cut.strikes(&mut self.ledger, self.now) {
            return self.at(again, Event::Connect(number));
        }
        let watcher = &mut self.watchers[number];
        if watcher.at.is_some() {
            return;
        }
        let Some(member) = self.slots[slot].alive.as_mut() else { return self.at(again, Event::Connect(number)) };
        if watcher.next == 0 {
            let present = member.view().revision();
            watcher.next = (present - self.chances.load.i64(0..40)).max(1);
        }
        let stream = self.next_stream;
        self.next_stream += 1;
        watcher.at = Some((slot, stream));
        watcher.parts.clear();
        watcher.unread = 0;
        while self.record.watches.len() <= watcher.record {
            self.record.watches.push(Watched::default());
        }
        let record = &mut self.record.watches[watcher.record];
        record.key = watcher.key.clone();
        record.range_end = watcher.range_end.clone();
        record.previous = watcher.previous;
        record.runs.push(Run { from: watcher.next, upto: watcher.next - 1, events: Vec::new() });
        let late = i64::from(self.habits.mutant == Some(Mutant::ResumesLate) && record.runs.len() > 1);
        let request = WatchCreateRequest {
            key: watcher.key.clone(),
            range_end: watcher.range_end.clone(),
            start_revision: watcher.next + late,
            progress_notify: true,
            prev_kv: watcher.previous,
            fragment: true,
            ..WatchCreateRequest::default()
        };
        member.hub.open(stream);
        member.hub.create(stream, &request);
        self.trace.note(self.now, [9, slot as u64, stream], || format!("watcher {number} at m{slot}: {request:?}"));
        self.settle(slot);
    }

    /// A member's clients lose their connections.
    pub(super) fn hang_up(&mut self, slot: usize) {
        let streams: Vec<u64> =
            self.watchers.iter().filter_map(|watcher| watcher.at).filter(|at| at.0 == slot).map(|at| at.1).collect();
        if !streams.is_empty() {
            self.slots[slot].clients_cut.strikes(&mut self.ledger, self.now);
        }
        if let Some(member) = self.slots[slot].alive.as_mut() {
            streams.into_iter().for_each(|stream| member.hub.close(stream));
        }
        self.disconnect(slot);
    }

    /// A member has gone; its watchers look for another.
    pub(super) fn disconnect(&mut self, slot: usize) {
        for number in 0..self.watchers.len() {
            if self.watchers[number].at.is_some_and(|(at, _)| at == slot) {
                self.watchers[number].at = None;
                self.at(self.now + RECONNECT, Event::Connect(number));
            }
        }
    }

    /// A stream of a life of a member has read a response.
    pub(super) fn read(&mut self, slot: usize, life: u32, stream: u64, bytes: usize) {
        let Some(member) = self.life(slot, life) else { return };
        if !member.breaks(Mutant::UnboundedWatch) {
            member.hub.credit(stream, 1, bytes);
        }
        if let Some(watcher) = self.watchers.iter_mut().find(|watcher| watcher.at == Some((slot, stream))) {
            watcher.unread = watcher.unread.saturating_sub(bytes);
        }
    }

    /// Opens a stream with one watch that nobody follows from member to member.
    pub fn watch_apart(&mut self, slot: usize, start_revision: i64) -> u64 {
        let stream = self.next_stream;
        self.next_stream += 1;
        let everything = Bytes::from_static(b"\0");
        let Some(member) = self.slots[slot].alive.as_mut() else { return stream };
        let start_revision =
            if member.breaks(Mutant::MinusOneIsFirst) { start_revision.max(1) } else { start_revision };
        let request = WatchCreateRequest {
            key: everything.clone(),
            range_end: everything,
            start_revision,
            ..WatchCreateRequest::default()
        };
        member.hub.open(stream);
        member.hub.create(stream, &request);
        self.apart.insert(stream, Vec::new());
        self.settle(slot);
        stream
    }

    /// What such a stream has been told.
    pub fn told_apart(&self, stream: u64) -> &[Response] {
        self.apart.get(&stream).map_or(&[], Vec::as_slice)
    }

    /// Watches that have not begun yet see everything.
    pub fn watches_see_all(&mut self) {
        for watcher in &mut self.watchers {
            (watcher.key, watcher.range_end) = (Bytes::from_static(b"\0"), Bytes::from_static(b"\0"));
        }
    }

    pub(super) fn tell_watchers(&mut self, slot: usize) {
        let life = self.slots[slot].life;
        let Some(member) = self.slots[slot].alive.as_mut() else { return };
        for (stream, response) in member.told() {
            let Some(number) = self.watchers.iter().position(|watcher| watcher.at == Some((slot, stream))) else {
                self.apart.entry(stream).and_modify(|told| told.push(response));
                continue;
            };
            let (slow, bytes) = (self.watchers[number].slow, response.size_bytes());
            if slow == 0 || self.calm {
                member.hub.credit(stream, 1, bytes);
            } else {
                let read = self.now + self.chances.load.u64(..slow);
                self.queue.push(read, Event::Credit(slot, life, stream, bytes));
                if member.breaks(Mutant::UnboundedWatch) {
                    member.hub.credit(stream, 1, bytes);
                }
                self.watchers[number].unread += bytes;
                let watch_bytes = self.watchers[number].unread;
                check::room::settled(
                    &mut self.record,
                    &member.bounds(),
                    &Waiting { watch_bytes, ..Waiting::default() },
                );
            }
            self.trace.note(self.now, [10, stream, response.revision as u64], || {
                format!("watcher {number} is told {} events at revision {}", response.events.len(), response.revision)
            });
            if self.watchers[number].told(&mut self.record, response) {
                member.hub.close(stream);
                self.watchers[number].at = None;
                self.queue.push(self.now + RECONNECT, Event::Connect(number));
            }
        }
    }
}

impl Watcher {
    /// Takes a response; true when the watch has ended and must be renewed.
    fn told(&mut self, record: &mut crate::record::Record, response: Response) -> bool {
        if response.canceled {
            assert!(response.compact_revision > 0, "a sound watch is only cancelled by compaction: {response:?}");
            assert!(
                response.compact_revision > self.next,
                "revision {} was there, but the watch was cancelled for {}",
                self.next,
                response.compact_revision
            );
            self.next = response.compact_revision;
            return true;
        }
        let run = record.watches[self.record].runs.last_mut().expect("connected watches have a run");
        if response.created {
            assert!(response.events.is_empty(), "no events in the answer to a create request");
            return false;
        }
        if response.events.is_empty() {
            assert!(response.revision >= run.upto, "progress goes back from {} to {}", run.upto, response.revision);
            run.upto = run.upto.max(response.revision);
            self.next = self.next.max(response.revision + 1);
            return false;
        }
        for event in response.events {
            let revision = KeyValue::decode(event.kv.clone()).expect("events carry key-values").mod_revision;
            assert!(revision >= self.next, "revision {revision} is told again or late: {} is owed", self.next);
            let told = Told { delete: event.kind == EventKind::Delete, kv: event.kv, previous: event.previous };
            self.parts.push((revision, told));
        }
        if response.fragment {
            return false;
        }
        record.counts.events += self.parts.len() as u64;
        let last = self.parts.last().expect("a response with events").0;
        run.events.append(&mut self.parts);
        run.upto = run.upto.max(last);
        self.next = last + 1;
        false
    }
}

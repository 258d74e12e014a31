//! Watches: each client that watches goes from member to member, and its watches resume where they were.

use super::watching::{Then, draw_more};
use super::{Event, Micros, World};
use crate::check::{self, room::Waiting};
use crate::mutant::Mutant;
use bytes::Bytes;
use member::hub::Response;
use proto::etcdserverpb::WatchCreateRequest;

/// A lost stream is opened again after this.
const RECONNECT: Micros = 150_000;
/// From one look of a client at its watches to the next, at most; at rest always half of this.
const LOOK: Micros = 1_000_000;

impl World {
    pub(super) fn connect(&mut self, number: usize) {
        let anyone = self.chances.load.usize(..self.slots.len());
        let slot = self.watches_at.unwrap_or(anyone);
        let again = self.now + RECONNECT;
        if self.slots[slot].clients_cut.strikes(&mut self.ledger, self.now) {
            return self.at(again, Event::Connect(number));
        }
        if self.watchers[number].at.is_some() {
            return;
        }
        let Some(member) = self.slots[slot].alive.as_mut() else { return self.at(again, Event::Connect(number)) };
        let stream = self.next_stream;
        self.next_stream += 1;
        member.hub.open(stream);
        self.watchers[number].connect(slot, stream);
        for watch in 0..self.watchers[number].watches.len() {
            self.create_watch(number, watch);
        }
        self.settle(slot);
    }

    /// Asks for a watch on the stream of its client.
    fn create_watch(&mut self, number: usize, watch: usize) {
        let Some((slot, stream)) = self.watchers[number].at else { return };
        let Some(member) = self.slots[slot].alive.as_mut() else { return };
        let present = member.view().revision();
        let resumes = self.watchers[number].watches[watch].has_begun;
        let mut request = self.watchers[number].create(watch, present);
        member.break_watch(&mut request, present, resumes);
        member.hub.create(stream, &request);
        self.trace.note(self.now, [9, slot as u64, stream], || format!("watcher {number} at m{slot}: {request:?}"));
    }

    /// A client looks at its watches: it asks how far they are, or ends one to ask for it again.
    pub(super) fn look_at_watches(&mut self, number: usize) {
        let wait = if self.calm { LOOK / 2 } else { 1 + self.chances.load.u64(..LOOK) };
        self.at(self.now + wait, Event::Look(number));
        let Some((slot, stream)) = self.watchers[number].at else { return };
        if self.slots[slot].paused.lasts(self.now) {
            return;
        }
        let Some(member) = self.slots[slot].alive.as_mut() else { return };
        if self.calm || self.chances.load.u8(..4) > 0 {
            member.hub.progress(stream);
        } else {
            let watch = self.chances.load.usize(..self.watchers[number].watches.len());
            if let Some(id) = self.watchers[number].cancel(watch) {
                member.hub.cancel(stream, id);
            }
        }
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
                self.watchers[number].disconnect();
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

    /// So many more clients watch, from now on.
    pub fn more_watch(&mut self, count: usize) {
        let known: usize = self.watchers.iter().map(|watcher| watcher.watches.len()).sum();
        let more = draw_more(&mut self.chances.load, count, known);
        for watcher in more {
            let number = self.watchers.len();
            self.watchers.push(watcher);
            self.at(self.now + 1, Event::Connect(number));
            self.at(self.now + LOOK, Event::Look(number));
        }
    }

    /// Watches that have not begun yet see everything.
    pub fn watches_see_all(&mut self) {
        self.watchers.iter_mut().for_each(super::watching::Watcher::sees_all);
    }

    pub(super) fn tell_watchers(&mut self, slot: usize) {
        // What a client does because of what it is told has an answer of its own.
        loop {
            let Some(member) = self.slots[slot].alive.as_mut() else { return };
            let told = member.told();
            if told.is_empty() {
                return;
            }
            told.into_iter().for_each(|(stream, response)| self.tell_watcher(slot, stream, response));
        }
    }

    fn tell_watcher(&mut self, slot: usize, stream: u64, response: Response) {
        let (now, life) = (self.now, self.slots[slot].life);
        let Some(number) = self.watchers.iter().position(|watcher| watcher.at == Some((slot, stream))) else {
            self.apart.entry(stream).and_modify(|told| told.push(response));
            return;
        };
        let member = self.slots[slot].alive.as_mut().expect("who tells lives");
        let (slow, bytes) = (self.watchers[number].slow, response.size_bytes());
        if slow == 0 || self.calm {
            member.hub.credit(stream, 1, bytes);
        } else {
            let read = now + self.chances.load.u64(..slow);
            self.queue.push(read, Event::Credit(slot, life, stream, bytes));
            if member.breaks(Mutant::UnboundedWatch) {
                member.hub.credit(stream, 1, bytes);
            }
            self.watchers[number].unread += bytes;
            let watch_bytes = self.watchers[number].unread;
            check::room::settled(&mut self.record, &member.bounds(), &Waiting { watch_bytes, ..Waiting::default() });
        }
        self.trace.note(now, [10, stream, response.revision as u64], || {
            let Response { watch_id, revision, events, .. } = &response;
            format!("watcher {number} is told {} events of watch {watch_id} at revision {revision}", events.len())
        });
        match self.watchers[number].told(&mut self.record, response) {
            Then::Nothing => {}
            Then::Cancel(id) => member.hub.cancel(stream, id),
            Then::Create(watch) => self.create_watch(number, watch),
        }
    }
}

//! Hub tells: every watcher gets every event it asked for, once, in order.
//!
//! Each watcher has a *cursor*: the next revision it is owed. There is one
//! place where events leave ([`Hub::deliver`]); it asserts that what is
//! delivered starts at the cursor, and moves the cursor forward.
//!
//! A watcher is *synced* while it gets events as they are published, or
//! *behind* when it starts in the past or its stream has no room. A watcher
//! that is behind reads history from a View, in slices, together with others,
//! and nobody waits for it. A frozen View is also why a compaction cannot
//! take a deletion away under a watcher that is reading (etcd #18089).
//!
//! ```text
//!   told to all that are synced │ in the View, not told yet │ not published
//! ──────────────────────────────┼───────────────────────────┼──────────────→
//!                             told                    view.revision()
//! ```
//!
//! The two are one, unless Hub was shown a later moment without its events
//! ([`Hub::refresh`]): then all that are synced read them from history
//! together. Progress says how far Hub has told, never how far the View is,
//! and uses the same queue as events: it cannot overtake them (etcd #15220).
//!
//! Hub knows no stream and no socket: the driver carries [`Response`]s to
//! their stream and gives [credit](Hub::credit) back when they have left.

mod catch_up;
mod matching;
mod response;
#[cfg(test)]
mod tests;

use crate::Fault;
use crate::limits;
use bytes::Bytes;
use disk::Disk;
use matching::Matching;
use proto::etcdserverpb::WatchCreateRequest;
use std::collections::{BTreeMap, BTreeSet};
use store::{Events, View};

pub use response::{Delivered, EventKind, Response};

/// A watch stream of this member.
pub type StreamId = u64;
/// A watch on its stream.
pub type WatchId = i64;
/// One watcher of all.
type WatcherId = (StreamId, WatchId);
/// Time since an arbitrary moment, milliseconds.
pub type Millis = u64;

const REASON_EMPTY_RANGE: &str = "mvcc: watcher range is empty";
const REASON_DUPLICATE_ID: &str = "mvcc: duplicate watch ID provided on the WatchStream";
const REASON_COMPACTED: &str = "etcdserver: mvcc: required revision has been compacted";

/// What Hub is told at birth.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Time between two progress notices of a watcher that asked for them.
    pub progress_interval_ms: Millis,
    /// Responses larger than this are split if the watcher allows fragments.
    pub fragment_bytes: usize,
    /// Revisions that one look at history may pass: see [`limits::WATCH_CATCH_UP_REVISIONS`].
    pub catch_up_revisions: i64,
    /// Event bytes that it may gather: see [`limits::WATCH_CATCH_UP_BYTES`].
    pub catch_up_bytes: usize,
}

impl Settings {
    /// With what `limits` says of history.
    pub fn new(progress_interval_ms: Millis, fragment_bytes: usize) -> Settings {
        Settings {
            progress_interval_ms,
            fragment_bytes,
            catch_up_revisions: limits::WATCH_CATCH_UP_REVISIONS,
            catch_up_bytes: limits::WATCH_CATCH_UP_BYTES,
        }
    }
}

/// Plain numbers, copied by whoever wants to show them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Open streams.
    pub streams: usize,
    /// Watchers on them.
    pub watchers: usize,
    /// Watchers that read history.
    pub behind: usize,
    /// Events delivered since start.
    pub events: u64,
    /// Responses on their way to streams.
    pub pending: usize,
    /// Event bytes in those to the stream that has most.
    pub most_pending_bytes: usize,
    /// Looks at history since start that ended at a bound, and not at the present.
    pub cut_slices: u64,
}

/// All watchers of a member.
pub struct Hub<D: Disk> {
    settings: Settings,
    view: View<D>,
    /// Whoever is synced has been told all up to this revision, or begins behind it.
    told: i64,
    now: Millis,
    streams: BTreeMap<StreamId, Stream>,
    watchers: BTreeMap<WatcherId, Watcher>,
    matching: Matching,
    behind: BTreeSet<WatcherId>,
    /// Where the next catch-up slice begins, so that all get their turn.
    turn: WatcherId,
    /// Watchers by the time of their next progress notice.
    notices: BTreeSet<(Millis, WatcherId)>,
    out: Vec<(StreamId, Response)>,
    events: u64,
    /// Looks at history that ended at a bound.
    cut_slices: u64,
}

#[derive(Debug, Default)]
struct Stream {
    next_id: WatchId,
    /// Watches that a compaction has ended and the client has not cancelled:
    /// as in etcd, their ids stay taken until then.
    ended: BTreeSet<WatchId>,
    in_flight: usize,
    in_flight_bytes: usize,
}

impl Stream {
    fn has_room(&self) -> bool {
        self.in_flight < limits::WATCH_RESPONSES_MAX && self.in_flight_bytes < limits::WATCH_BYTES_MAX
    }
}

#[derive(Debug)]
struct Watcher {
    key: Bytes,
    end: End,
    /// The next revision this watcher is owed.
    cursor: i64,
    previous: bool,
    fragment: bool,
    no_put: bool,
    no_delete: bool,
    /// When the next progress notice is due, if it wants any.
    notice: Option<Millis>,
    sent_since_notice: bool,
}

/// Where a watched range ends; greater when it is later.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    /// One key.
    Single,
    /// Up to this key, exclusive.
    Before(Bytes),
    /// No end.
    Open,
}

impl End {
    fn covers(&self, from: &[u8], key: &[u8]) -> bool {
        match self {
            End::Single => key == from,
            _ => key >= from && self.is_beyond(key),
        }
    }

    /// Whether a range that starts at or before `key` and ends here holds it.
    fn is_beyond(&self, key: &[u8]) -> bool {
        match self {
            End::Single => false,
            End::Before(end) => key < &end[..],
            End::Open => true,
        }
    }
}

impl Watcher {
    fn wants(&self, event: &store::Event) -> bool {
        let filtered = match event.kind {
            store::EventKind::Put => self.no_put,
            store::EventKind::Delete => self.no_delete,
        };
        !filtered && self.end.covers(&self.key, &event.key)
    }
}

impl<D: Disk> Hub<D> {
    /// No streams yet. `view` is the present moment.
    pub fn new(settings: Settings, view: View<D>) -> Hub<D> {
        Hub {
            settings,
            told: view.revision(),
            view,
            now: 0,
            streams: BTreeMap::new(),
            watchers: BTreeMap::new(),
            matching: Matching::default(),
            behind: BTreeSet::new(),
            turn: (0, 0),
            notices: BTreeSet::new(),
            out: Vec::new(),
            events: 0,
            cut_slices: 0,
        }
    }

    /// A stream begins. Ids are the driver's and never used again.
    pub fn open(&mut self, stream: StreamId) {
        let known = self.streams.insert(stream, Stream::default());
        assert!(known.is_none(), "stream {stream} was opened twice");
    }

    /// A stream has ended: nothing more is sent to it.
    pub fn close(&mut self, stream: StreamId) {
        self.streams.remove(&stream);
        let ids: Vec<WatcherId> =
            self.watchers.range((stream, WatchId::MIN)..=(stream, WatchId::MAX)).map(|(&id, _)| id).collect();
        for id in ids {
            self.forget(id);
        }
        self.out.retain(|(to, _)| *to != stream);
    }

    /// `responses` with `bytes` of events have left for the client.
    pub fn credit(&mut self, stream: StreamId, responses: usize, bytes: usize) {
        if let Some(stream) = self.streams.get_mut(&stream) {
            stream.in_flight = stream.in_flight.checked_sub(responses).expect("credit for what was sent");
            stream.in_flight_bytes = stream.in_flight_bytes.checked_sub(bytes).expect("credit for what was sent");
        }
    }

    /// A client asks for a watch. The answer is a response with `created`.
    pub fn create(&mut self, stream: StreamId, request: &WatchCreateRequest) {
        let Some(state) = self.streams.get_mut(&stream) else { return };
        let (key, end) = match range_of(request) {
            Some(range) => range,
            None => return self.refuse(stream, REASON_EMPTY_RANGE),
        };
        if request.start_revision < 0 {
            return self.refuse(stream, REASON_COMPACTED);
        }
        let watch_id = if request.watch_id == 0 {
            while self.watchers.contains_key(&(stream, state.next_id)) || state.ended.contains(&state.next_id) {
                state.next_id += 1;
            }
            state.next_id += 1;
            state.next_id - 1
        } else {
            request.watch_id
        };
        let id = (stream, watch_id);
        if self.watchers.contains_key(&id) || state.ended.contains(&watch_id) {
            return self.refuse(stream, REASON_DUPLICATE_ID);
        }
        let present = self.view.revision();
        let cursor = if request.start_revision == 0 { present + 1 } else { request.start_revision };
        let filter = |kind: i32| request.filters.contains(&kind);
        let notice = request.progress_notify.then(|| self.next_notice(id));
        let watcher = Watcher {
            key,
            end,
            cursor,
            previous: request.prev_kv,
            fragment: request.fragment,
            no_put: filter(0),
            no_delete: filter(1),
            notice,
            sent_since_notice: false,
        };
        if let Some(due) = notice {
            self.notices.insert((due, id));
        }
        if cursor > self.told {
            self.matching.insert(id, &watcher.key, &watcher.end);
        } else {
            self.behind.insert(id);
        }
        self.watchers.insert(id, watcher);
        self.send(stream, Response { watch_id, revision: present, created: true, ..Response::default() });
    }

    /// A client ends a watch. An unknown id has no answer.
    pub fn cancel(&mut self, stream: StreamId, watch_id: WatchId) {
        let ended = self.streams.get_mut(&stream).is_some_and(|state| state.ended.remove(&watch_id));
        if ended || self.forget((stream, watch_id)) {
            let revision = self.view.revision();
            self.send(stream, Response { watch_id, revision, canceled: true, ..Response::default() });
        }
    }

    /// A client asks how far its stream is. Answered only if every watcher of
    /// the stream is synced, none starts in the future and none was ended by a
    /// compaction without being cancelled; else dropped, as etcd does.
    pub fn progress(&mut self, stream: StreamId) {
        let mut watchers = self.watchers.range((stream, WatchId::MIN)..=(stream, WatchId::MAX)).peekable();
        let ended = self.streams.get(&stream).is_some_and(|state| !state.ended.is_empty());
        if ended || watchers.peek().is_none() {
            return;
        }
        if watchers.all(|(id, watcher)| !self.behind.contains(id) && watcher.cursor <= self.told + 1) {
            self.send(stream, Response { watch_id: -1, revision: self.told, ..Response::default() });
        }
    }

    /// Store has published: `view` is the present moment, `news` what changed
    /// since the one before, ascending.
    ///
    /// # Errors
    /// When a previous value cannot be read.
    pub fn publish(&mut self, view: View<D>, news: &[Events]) -> Result<(), Fault> {
        if view.applied() <= self.view.applied() {
            // The View shows it already; who is owed it reads it from there.
            return Ok(());
        }
        let follows = !self.lags();
        self.view = view;
        if follows {
            for change in news {
                self.tell_synced(change)?;
            }
            self.told = self.view.revision();
        }
        Ok(())
    }

    /// Looks at a later moment, if it is one. Whatever happened up to it is
    /// read from history, in [`Hub::catch_up`].
    pub fn refresh(&mut self, view: View<D>) {
        if view.applied() > self.view.applied() {
            self.view = view;
        }
        if self.nobody_is_synced() {
            // So nobody is owed what lies between.
            self.told = self.view.revision();
        }
    }

    fn nobody_is_synced(&self) -> bool {
        self.watchers.len() == self.behind.len()
    }

    /// Whether the View shows what those who are synced have not been told.
    fn lags(&self) -> bool {
        self.told < self.view.revision()
    }

    /// Store was replaced by a snapshot: everybody reads history from here.
    pub fn replaced(&mut self, view: View<D>) {
        self.all_fall_behind();
        self.view = view;
        self.told = self.view.revision();
    }

    /// Everybody reads history, from where they are.
    fn all_fall_behind(&mut self) {
        for (&id, watcher) in &mut self.watchers {
            if self.behind.insert(id) {
                self.matching.remove(id, &watcher.key, &watcher.end);
                // Who was synced has seen all that was told; one that waits
                // for the future keeps waiting (etcd #15271, #20221).
                watcher.cursor = watcher.cursor.max(self.told + 1);
            }
        }
    }

    /// Time passes: progress notices.
    pub fn tick(&mut self, now: Millis) {
        self.now = now;
        let told = self.told;
        while let Some(&(due, id)) = self.notices.first() {
            if due > now {
                break;
            }
            self.notices.remove(&(due, id));
            let next = self.next_notice(id);
            self.notices.insert((next, id));
            let behind = self.behind.contains(&id);
            let watcher = self.watchers.get_mut(&id).expect("a notice has its watcher");
            watcher.notice = Some(next);
            let quiet = !std::mem::take(&mut watcher.sent_since_notice);
            if quiet && !behind && watcher.cursor <= told + 1 {
                let (stream, watch_id) = id;
                self.send(stream, Response { watch_id, revision: told, ..Response::default() });
            }
        }
    }

    /// Moves what is ready to `out`, in order per stream.
    pub fn take(&mut self, out: &mut Vec<(StreamId, Response)>) {
        out.append(&mut self.out);
    }

    /// Numbers for others to see.
    pub fn stats(&self) -> Stats {
        Stats {
            streams: self.streams.len(),
            watchers: self.watchers.len(),
            behind: self.behind.len(),
            events: self.events,
            pending: self.streams.values().map(|stream| stream.in_flight).sum(),
            most_pending_bytes: self.streams.values().map(|stream| stream.in_flight_bytes).max().unwrap_or(0),
            cut_slices: self.cut_slices,
        }
    }

    /// One revision for all that are synced.
    fn tell_synced(&mut self, change: &Events) -> Result<(), Fault> {
        let mut matched: BTreeMap<WatcherId, Vec<usize>> = BTreeMap::new();
        for (position, event) in change.events.iter().enumerate() {
            self.matching.find(&event.key, |id| matched.entry(id).or_default().push(position));
        }
        for (id, positions) in matched {
            self.tell(id, change, &positions)?;
        }
        self.told = change.revision;
        Ok(())
    }

    /// One revision for one synced watcher.
    fn tell(&mut self, id: WatcherId, change: &Events, positions: &[usize]) -> Result<(), Fault> {
        let watcher = &self.watchers[&id];
        if change.revision < watcher.cursor {
            return Ok(());
        }
        let mut events = Vec::with_capacity(positions.len());
        for &position in positions {
            let event = &change.events[position];
            if watcher.wants(event) {
                events.push(delivered(&self.view, change.revision, event, watcher.previous)?);
            }
        }
        if events.is_empty() {
            return Ok(());
        }
        if self.streams[&id.0].has_room() {
            self.deliver(id, change.revision, change.revision, change.revision, events);
        } else {
            let watcher = self.watchers.get_mut(&id).expect("just seen");
            watcher.cursor = change.revision;
            self.matching.remove(id, &watcher.key, &watcher.end);
            self.behind.insert(id);
        }
        Ok(())
    }

    /// The one place where events leave. `events` are all this watcher is owed
    /// of the revisions `first` to `last`.
    fn deliver(&mut self, id: WatcherId, first: i64, last: i64, header_revision: i64, events: Vec<Delivered>) {
        let watcher = self.watchers.get_mut(&id).expect("only watchers are told");
        assert!(
            first >= watcher.cursor && last >= first,
            "watcher {id:?} is owed revision {} and would be told {first} to {last}",
            watcher.cursor
        );
        watcher.cursor = last + 1;
        watcher.sent_since_notice = true;
        self.events += events.len() as u64;
        let (stream, watch_id) = id;
        let limit = if watcher.fragment { self.settings.fragment_bytes } else { usize::MAX };
        let base = Response { watch_id, revision: header_revision, ..Response::default() };
        for response in base.split(events, limit) {
            self.send(stream, response);
        }
    }

    fn refuse(&mut self, stream: StreamId, reason: &str) {
        let revision = self.view.revision();
        let response = Response {
            watch_id: -1,
            revision,
            created: true,
            canceled: true,
            cancel_reason: reason.to_owned(),
            ..Response::default()
        };
        self.send(stream, response);
    }

    fn send(&mut self, to: StreamId, response: Response) {
        let Some(stream) = self.streams.get_mut(&to) else { return };
        stream.in_flight += 1;
        stream.in_flight_bytes += response.size_bytes();
        self.out.push((to, response));
    }

    /// Removes a watcher everywhere; false if there was none.
    fn forget(&mut self, id: WatcherId) -> bool {
        let Some(watcher) = self.watchers.remove(&id) else { return false };
        if !self.behind.remove(&id) {
            self.matching.remove(id, &watcher.key, &watcher.end);
        }
        if let Some(due) = watcher.notice {
            self.notices.remove(&(due, id));
        }
        true
    }

    /// An interval from now, spread a little so that a thousand watchers do
    /// not speak in the same millisecond.
    fn next_notice(&self, id: WatcherId) -> Millis {
        let interval = self.settings.progress_interval_ms;
        let spread = (interval / 10).max(1);
        let jitter = (id.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ id.1 as u64) % spread;
        self.now + interval + jitter
    }
}

/// The watched range by etcd's conventions; `None` if it is empty.
fn range_of(request: &WatchCreateRequest) -> Option<(Bytes, End)> {
    let key = if request.key.is_empty() { Bytes::from_static(b"\0") } else { request.key.clone() };
    match &request.range_end[..] {
        b"" => Some((key, End::Single)),
        b"\0" => Some((key, End::Open)),
        end if key[..] < *end => Some((key, End::Before(request.range_end.clone()))),
        _ => None,
    }
}

/// An event as a watcher gets it.
fn delivered<D: Disk>(view: &View<D>, revision: i64, event: &store::Event, previous: bool) -> Result<Delivered, Fault> {
    let before = if previous && !event.created { view.kv_at(&event.key, revision - 1)? } else { None };
    let kind = match event.kind {
        store::EventKind::Put => EventKind::Put,
        store::EventKind::Delete => EventKind::Delete,
    };
    Ok(Delivered { kind, kv: event.kv.clone(), previous: before })
}

//! Hub told as stories, over a real Store on a simulated disk.

mod catching_up;
mod creating;
mod progress;
mod replaced;
mod telling;
mod unpublished;

use super::*;
use disk::{SimDisk, SimFaults};
use prost::Message;
use proto::etcdserverpb as pb;
use proto::mvccpb::KeyValue;
use store::{Applied, Entry, Store};

const INTERVAL_MS: Millis = 1_000;
const FRAGMENT_BYTES: usize = 400;
const STREAM: StreamId = 1;

/// A Store, the Hub behind it, and what its streams have been told.
struct Story {
    disk: SimDisk,
    store: Store<SimDisk>,
    hub: Hub<SimDisk>,
    told: Vec<(StreamId, Response)>,
    /// Streams that read what they are told; others give no credit.
    reads: bool,
}

impl Story {
    /// An empty store and one open stream that reads.
    fn begins() -> Story {
        let disk = SimDisk::new(3, SimFaults::default());
        let store = Store::create(disk.clone(), "store", settings()).expect("an empty disk takes a store");
        let hub_settings = Settings::new(INTERVAL_MS, FRAGMENT_BYTES);
        let mut hub = Hub::new(hub_settings, store.view());
        hub.open(STREAM);
        Story { disk, store, hub, told: Vec::new(), reads: true }
    }

    /// A store in which `keys` have been put, one revision each from 2 on.
    fn after_puts(keys: &[&str]) -> Story {
        let mut story = Story::begins();
        for key in keys {
            story.put(key, "before");
        }
        story
    }

    fn apply(&mut self, requests: Vec<pb::InternalRaftRequest>) -> Applied {
        let (first, _) = self.store.applied();
        let entries: Vec<Entry> =
            requests.into_iter().zip(first + 1..).map(|(request, index)| entry(index, request)).collect();
        self.store.apply(&entries, &|_| true).expect("the disk is well")
    }

    /// Applies a batch, and Hub hears of it.
    fn happens(&mut self, requests: Vec<pb::InternalRaftRequest>) {
        let applied = self.apply(requests);
        self.hub.publish(self.store.view(), &applied.events).expect("the disk is well");
        self.listen();
    }

    fn put(&mut self, key: &str, value: &str) {
        self.happens(vec![put(key, value)]);
    }

    fn delete(&mut self, key: &str) {
        self.happens(vec![delete(key, "")]);
    }

    fn compact(&mut self, revision: i64) {
        self.happens(vec![compact(revision)]);
    }

    fn watch(&mut self, request: pb::WatchCreateRequest) {
        self.hub.create(STREAM, &request);
        self.listen();
    }

    fn cancel(&mut self, id: WatchId) {
        self.hub.cancel(STREAM, id);
        self.listen();
    }

    fn ask_progress(&mut self) {
        self.hub.progress(STREAM);
        self.listen();
    }

    fn time(&mut self, now: Millis) {
        self.hub.tick(now);
        self.listen();
    }

    /// Lets those that are behind read all the history they may.
    fn catch_up(&mut self) {
        for _ in 0..10_000 {
            if !self.hub.has_work() {
                return;
            }
            self.hub.catch_up().expect("the disk is well");
            self.listen();
        }
        panic!("catching up has no end");
    }

    fn listen(&mut self) {
        let from = self.told.len();
        self.hub.take(&mut self.told);
        if self.reads {
            for (stream, response) in &self.told[from..] {
                self.hub.credit(*stream, 1, response.size_bytes());
            }
        }
    }

    /// All that was told since the last look, in words.
    fn heard(&mut self) -> Vec<String> {
        std::mem::take(&mut self.told).into_iter().map(|(stream, response)| words(stream, &response)).collect()
    }

    /// The events that were told since the last look, per watch, as
    /// `key@revision` or `key!revision` for deletions.
    fn events(&mut self) -> BTreeMap<WatchId, Vec<String>> {
        let mut all: BTreeMap<WatchId, Vec<String>> = BTreeMap::new();
        for (_, response) in std::mem::take(&mut self.told) {
            all.entry(response.watch_id).or_default().extend(response.events.iter().map(event_words));
        }
        all.retain(|_, events| !events.is_empty());
        all
    }
}

fn settings() -> store::Settings {
    store::Settings {
        member_id: 1,
        cluster_id: 2,
        segment_bytes: 8 << 10,
        resident_bytes: 4 << 10,
        ..Default::default()
    }
}

/// `1: watch 0 created at 3`, `1: watch 0 at 4: PUT a=x@4 was y`.
fn words(stream: StreamId, response: &Response) -> String {
    let mut words = format!("{stream}: watch {}", response.watch_id);
    for (set, word) in
        [(response.created, " created"), (response.canceled, " canceled"), (response.fragment, " fragment")]
    {
        if set {
            words += word;
        }
    }
    words += &format!(" at {}", response.revision);
    if response.compact_revision != 0 {
        words += &format!(" compacted {}", response.compact_revision);
    }
    if !response.cancel_reason.is_empty() {
        words += &format!(" because {}", response.cancel_reason);
    }
    if !response.events.is_empty() {
        let events: Vec<String> = response.events.iter().map(long_event_words).collect();
        words += &format!(": {}", events.join(", "));
    }
    words
}

fn pair(bytes: &Bytes) -> KeyValue {
    KeyValue::decode(bytes.clone()).expect("events carry key-values")
}

fn text(bytes: &Bytes) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn event_words(event: &Delivered) -> String {
    let kv = pair(&event.kv);
    let mark = if event.kind == EventKind::Put { '@' } else { '!' };
    format!("{}{mark}{}", text(&kv.key), kv.mod_revision)
}

fn long_event_words(event: &Delivered) -> String {
    let kv = pair(&event.kv);
    let previous = event.previous.as_ref().map_or(String::new(), |kv| format!(" was {}", text(&pair(kv).value)));
    match event.kind {
        EventKind::Put => format!("PUT {}={}@{}{previous}", text(&kv.key), text(&kv.value), kv.mod_revision),
        EventKind::Delete => format!("DELETE {}@{}{previous}", text(&kv.key), kv.mod_revision),
    }
}

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn entry(index: u64, request: pb::InternalRaftRequest) -> Entry {
    let header = Some(pb::RequestHeader { id: index, ..Default::default() });
    let data = pb::InternalRaftRequest { header, ..request }.encode_to_vec().into();
    Entry { index, term: 1, kind: store::EntryKind::Normal, data }
}

fn put(key: &str, value: &str) -> pb::InternalRaftRequest {
    let put = Some(pb::PutRequest { key: bytes(key), value: bytes(value), ..Default::default() });
    pb::InternalRaftRequest { put, ..Default::default() }
}

fn delete(key: &str, end: &str) -> pb::InternalRaftRequest {
    let delete_range = Some(pb::DeleteRangeRequest { key: bytes(key), range_end: bytes(end), prev_kv: false });
    pb::InternalRaftRequest { delete_range, ..Default::default() }
}

fn compact(revision: i64) -> pb::InternalRaftRequest {
    let compaction = Some(pb::CompactionRequest { revision, physical: false });
    pb::InternalRaftRequest { compaction, ..Default::default() }
}

/// Puts of several keys in one revision.
fn puts_at_once(keys: &[&str], value: &str) -> pb::InternalRaftRequest {
    let success = keys
        .iter()
        .map(|key| pb::RequestOp {
            request: Some(pb::request_op::Request::RequestPut(pb::PutRequest {
                key: bytes(key),
                value: bytes(value),
                ..Default::default()
            })),
        })
        .collect();
    let txn = Some(pb::TxnRequest { success, ..Default::default() });
    pb::InternalRaftRequest { txn, ..Default::default() }
}

/// A watch of [key, end) from `start` on (0: from now).
fn watch(key: &str, end: &str, start: i64) -> pb::WatchCreateRequest {
    pb::WatchCreateRequest { key: bytes(key), range_end: bytes(end), start_revision: start, ..Default::default() }
}

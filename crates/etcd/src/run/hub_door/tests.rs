//! What waits for Hub is counted, never timed: nobody takes it until a story says so.

use super::*;
use crate::run::hub_loop::{Desk, WatchStream};
use crate::run::scratch::Scratch;
use futures_util::FutureExt;
use member::hub::Settings;
use prost::Message;
use proto::etcdserverpb::{CompactionRequest, InternalRaftRequest, PutRequest, WatchCreateRequest};
use proto::mvccpb::KeyValue;
use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use store::{Entry, EntryKind, Store};

struct Story {
    store: Store<OsDisk>,
    shown: Arc<ArcSwap<View>>,
    door: HubDoor,
    desk: Desk,
    ids: AtomicU64,
    _scratch: Scratch,
}

/// A stream, and what each of its watches was told.
struct Told {
    stream: WatchStream,
    /// The revisions at which they were created.
    created: BTreeMap<i64, i64>,
    revisions: BTreeMap<i64, Vec<i64>>,
    /// The compactions that ended them.
    ended: BTreeMap<i64, i64>,
}

impl Story {
    fn begins() -> Story {
        let scratch = Scratch::new("hub-door");
        let store = Store::create(scratch.disk.clone(), "store", store::Settings::default()).unwrap();
        let shown = Arc::new(ArcSwap::from_pointee(store.view()));
        let (door, queue) = new();
        let settings = Settings::new(1_000, 1 << 20);
        let desk = Desk::new(settings, shown.clone(), queue);
        Story { store, shown, door, desk, ids: AtomicU64::new(1), _scratch: scratch }
    }

    fn apply(&mut self, request: InternalRaftRequest) {
        let (applied, _) = self.store.applied();
        let data = request.encode_to_vec().into();
        let entry = Entry { index: applied + 1, term: 1, kind: EntryKind::Normal, data };
        let applied = self.store.apply(&[entry], &|_| false).unwrap();
        self.door.publish(&self.shown, self.store.view(), applied.events);
    }

    fn put(&mut self, value: &[u8]) {
        let put = Some(PutRequest { key: "k".into(), value: value.to_vec().into(), ..PutRequest::default() });
        self.apply(InternalRaftRequest { put, ..InternalRaftRequest::default() });
    }

    /// The revision that a serializable range would show.
    fn shown(&self) -> i64 {
        self.shown.load().revision()
    }

    fn stream(&self) -> Told {
        let stream = WatchStream::open(self.door.clone(), &self.ids);
        Told { stream, created: BTreeMap::new(), revisions: BTreeMap::new(), ended: BTreeMap::new() }
    }

    /// Hub takes what waits, does all that it has to do, and `told` is read, until all is still.
    fn hub_works(&mut self, told: &mut [&mut Told]) {
        loop {
            let mut still = true;
            while let Ok(input) = self.desk.queue.inputs.try_recv() {
                self.desk.take(input).unwrap();
                still = false;
            }
            while self.desk.hub.has_work() {
                self.desk.hub.catch_up().unwrap();
            }
            self.desk.hand_out();
            for told in told.iter_mut() {
                told.read();
            }
            if still {
                return;
            }
        }
    }

    fn counts(&self) -> (usize, usize) {
        let counts = self.door.waiting.lock();
        (counts.moments, counts.bytes)
    }
}

impl Told {
    fn watch(&self, start_revision: i64) {
        self.stream.create(WatchCreateRequest { key: "k".into(), start_revision, ..WatchCreateRequest::default() });
    }

    /// Reads all that has come.
    fn read(&mut self) {
        // One look more than there is: it gives credit for the last.
        while let Some(response) = self.stream.next().now_or_never() {
            let response = response.expect("the desk keeps its end");
            if response.created {
                self.created.insert(response.watch_id, response.revision);
            }
            if response.canceled {
                self.ended.insert(response.watch_id, response.compact_revision);
            }
            let told = self.revisions.entry(response.watch_id).or_default();
            for event in response.events {
                told.push(KeyValue::decode(event.kv).unwrap().mod_revision);
            }
        }
    }
}

#[test]
fn what_waits_for_hub_is_bounded_in_moments_and_all_is_told_once_in_order() {
    let mut story = Story::begins();
    let mut told = story.stream();
    let mut other = story.stream();
    told.watch(0);
    told.watch(0);
    other.watch(0);
    story.hub_works(&mut [&mut told, &mut other]);
    let most = limits::WATCH_MOMENTS_MAX;
    for _ in 0..3 * most {
        story.put(b"v");
    }
    assert_eq!(story.counts().0, most);
    let inputs: Vec<HubInput> = story.desk.queue.inputs.try_iter().collect();
    let moments = inputs.iter().filter(|input| matches!(input, HubInput::Publish(..))).count();
    assert_eq!((moments, inputs.len()), (most, most + 1), "behind the moments it is told once that there is more");
    // Hub takes a part, and life goes on before it comes to the end.
    let mut inputs = inputs.into_iter();
    for input in inputs.by_ref().take(most / 2) {
        story.desk.take(input).unwrap();
    }
    assert_eq!(story.counts().0, most - most / 2);
    story.put(b"has room, and comes later than what has none");
    assert_eq!(story.counts().0, most - most / 2);
    inputs.for_each(|input| story.desk.take(input).unwrap());
    assert_eq!(story.counts(), (0, 0));
    story.put(b"comes before history has been read");
    story.hub_works(&mut [&mut told, &mut other]);
    story.put(b"and after");
    story.hub_works(&mut [&mut told, &mut other]);
    let last = 1 + 3 * most as i64 + 3;
    assert_eq!(story.shown(), last);
    let all: Vec<i64> = (2..=last).collect();
    assert_eq!(told.revisions, BTreeMap::from([(0, all.clone()), (1, all.clone())]));
    assert_eq!(other.revisions, BTreeMap::from([(0, all)]));
}

#[test]
fn what_waits_for_hub_is_bounded_in_bytes() {
    let mut story = Story::begins();
    let mut told = story.stream();
    told.watch(0);
    story.hub_works(&mut [&mut told]);
    let value = vec![b'v'; limits::WATCH_NEWS_BYTES_MAX / 4];
    for _ in 0..8 {
        story.put(&value);
    }
    let (moments, bytes) = story.counts();
    assert_eq!(moments, 3, "the fourth and its key are too much");
    assert!(bytes <= limits::WATCH_NEWS_BYTES_MAX);
    story.hub_works(&mut [&mut told]);
    // One may always wait, however long.
    story.put(&vec![b'v'; limits::WATCH_NEWS_BYTES_MAX + 1]);
    assert_eq!(story.counts().0, 1);
    story.put(b"v");
    assert_eq!(story.counts().0, 1);
    story.hub_works(&mut [&mut told]);
    assert_eq!(story.counts(), (0, 0));
    assert_eq!(told.revisions[&0], (2..=11).collect::<Vec<i64>>());
}

#[test]
fn a_watch_from_now_begins_behind_what_could_be_read_before() {
    let mut story = Story::begins();
    story.put(b"nobody watches");
    // Nobody was told of it, and it is not told to the first who comes.
    let mut first = story.stream();
    let mut expected = BTreeMap::from([(0, story.shown())]);
    first.watch(0);
    story.hub_works(&mut [&mut first]);
    story.put(b"behind the first watch");
    // While moments wait, and while there is no room for more.
    for number in 1..=2 * limits::WATCH_MOMENTS_MAX as i64 {
        expected.insert(number, story.shown());
        first.watch(0);
        story.put(b"v");
    }
    let mut second = story.stream();
    let shown = story.shown();
    second.watch(0);
    second.watch(shown);
    story.hub_works(&mut [&mut first, &mut second]);
    story.put(b"v");
    let last = story.shown();
    story.hub_works(&mut [&mut first, &mut second]);
    for (watch, shown) in expected {
        // Where Hub has only the latest moment it begins there: that was shown to nobody yet when it was asked for.
        assert!(first.created[&watch] >= shown, "watch {watch} began at {}", first.created[&watch]);
        assert_eq!(first.revisions[&watch], (first.created[&watch] + 1..=last).collect::<Vec<i64>>(), "watch {watch}");
    }
    assert_eq!(first.created[&0], 2);
    assert_eq!(second.created[&0], shown);
    assert_eq!(second.revisions[&0], [last]);
    assert_eq!(second.revisions[&1], [shown, last]);
}

#[test]
fn progress_does_not_overtake_what_waits() {
    let mut story = Story::begins();
    let mut first = story.stream();
    first.watch(0);
    story.hub_works(&mut [&mut first]);
    // Another stream opens and progress is asked for while two puts wait behind both.
    let mut second = story.stream();
    second.watch(0);
    first.stream.progress();
    story.put(b"v");
    story.put(b"v");
    while let Ok(input) = story.desk.queue.inputs.try_recv() {
        story.desk.take(input).unwrap();
    }
    story.desk.hand_out();
    let mut heard = Vec::new();
    while let Some(Some(response)) = first.stream.next().now_or_never() {
        heard.push((response.watch_id, response.revision, response.events.len()));
    }
    assert_eq!(heard, [(-1, 1, 0), (0, 2, 1), (0, 3, 1)]);
    second.read();
    assert_eq!(second.revisions[&0], [2, 3]);
}

#[test]
fn what_a_compaction_took_while_there_was_no_room_ends_the_watch() {
    let mut story = Story::begins();
    let (mut told, mut late) = (story.stream(), story.stream());
    told.watch(0);
    late.watch(0);
    story.hub_works(&mut [&mut told, &mut late]);
    let inputs = |story: &mut Story| -> Vec<HubInput> { story.desk.queue.inputs.try_iter().collect() };
    for _ in 0..limits::WATCH_MOMENTS_MAX {
        story.put(b"v");
    }
    let before = inputs(&mut story);
    story.put(b"there is no room for this one");
    let revision = story.shown() + 1;
    story.put(b"nor for this");
    let compaction = Some(CompactionRequest { revision, physical: false });
    story.apply(InternalRaftRequest { compaction, ..InternalRaftRequest::default() });
    // One stream is read while the moments come, the other is not.
    for input in before {
        story.desk.take(input).unwrap();
        story.desk.hand_out();
        told.read();
    }
    story.hub_works(&mut [&mut told]);
    late.read();
    story.hub_works(&mut [&mut told, &mut late]);
    for told in [&told, &late] {
        let seen = told.revisions[&0].last().copied().unwrap();
        assert_eq!(told.revisions[&0], (2..=seen).collect::<Vec<i64>>());
        assert!(seen < revision);
        assert_eq!(told.ended, BTreeMap::from([(0, revision)]));
    }
}

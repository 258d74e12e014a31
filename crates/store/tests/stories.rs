//! Stories with a beginning and an end: alarms, quota, members, leases, compaction, damage.

mod support;

use bytes::Bytes;
use disk::{Disk, DiskFile};
use prost::Message;
use proto::etcdserverpb as pb;
use proto::raftpb;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use store::{
    AlarmKind, ChangeKind, ClusterChange, Entry, EntryKind, EventKind, Fault, LeaseChange, ReadError, Refusal, Reply,
    Settings, Store,
};
use support::*;

fn new_store() -> Store<disk::SimDisk> {
    Store::create(disk(), "revisions", settings()).unwrap()
}

fn sweep_all(store: &mut Store<disk::SimDisk>) {
    for _ in 0..1000 {
        if !store.wants_sweep() {
            return;
        }
        store.sweep(10_000).unwrap();
    }
    panic!("there is no end to it: {:?}", store.stats());
}

fn alarm(action: pb::alarm_request::AlarmAction, member_id: u64, kind: AlarmKind) -> pb::InternalRaftRequest {
    let alarm = pb::AlarmRequest { action: action.into(), member_id, alarm: kind.0 };
    pb::InternalRaftRequest { alarm: Some(alarm), ..request() }
}

fn txn(success: Vec<pb::request_op::Request>) -> pb::InternalRaftRequest {
    let success = success.into_iter().map(|request| pb::RequestOp { request: Some(request) }).collect();
    pb::InternalRaftRequest { txn: Some(pb::TxnRequest { success, ..Default::default() }), ..request() }
}

#[test]
fn a_member_without_space_lets_nothing_grow() {
    use pb::alarm_request::AlarmAction::*;
    let mut store = new_store();
    apply(&mut store, put("a", "1")).unwrap();
    apply(&mut store, grant(7, 60)).unwrap();
    apply(&mut store, alarm(Activate, 9, AlarmKind::NO_SPACE)).unwrap();

    let refused = Err(Refusal::NoSpace);
    assert_eq!(apply(&mut store, put("b", "1")), refused);
    assert_eq!(apply(&mut store, grant(8, 60)), refused);
    let put_b = || pb::request_op::Request::RequestPut(put_request("b", "1", 0));
    assert_eq!(apply(&mut store, txn(vec![put_b()])), refused);
    // etcd looks at the txn's own operations alone, and every member must decide alike.
    let nested = pb::TxnRequest { success: vec![pb::RequestOp { request: Some(put_b()) }], ..Default::default() };
    assert!(apply(&mut store, txn(vec![pb::request_op::Request::RequestTxn(nested)])).is_ok());

    assert!(apply(&mut store, delete("a", "")).is_ok());
    assert!(apply(&mut store, revoke(7)).is_ok());
    assert!(apply(&mut store, compact(3)).is_ok());
    let empty = txn(vec![pb::request_op::Request::RequestRange(range_request("a", "", 0))]);
    assert!(apply(&mut store, empty).is_ok());
    // Another member's alarm of the same kind is another alarm.
    let reply = apply(&mut store, alarm(Deactivate, 0, AlarmKind::NO_SPACE)).unwrap();
    assert!(matches!(reply, Reply::Alarm(reply) if reply.alarms.is_empty()));
    assert_eq!(apply(&mut store, put("b", "1")), refused);
    let applied = apply_all(&mut store, vec![alarm(Deactivate, 9, AlarmKind::NO_SPACE), put("b", "1")]);
    assert!(applied.alarms_changed && applied.outcomes.iter().all(|(_, outcome)| outcome.is_ok()));
}

#[test]
fn a_corrupt_cluster_still_answers_who_asks_a_view() {
    use pb::alarm_request::AlarmAction::*;
    let mut store = new_store();
    apply(&mut store, put("a", "1")).unwrap();
    apply(&mut store, alarm(Activate, 0, AlarmKind::CORRUPT)).unwrap();
    let range = pb::InternalRaftRequest { range: Some(range_request("a", "", 0)), ..request() };
    for request in [put("a", "2"), delete("a", ""), txn(vec![]), compact(2), grant(1, 1), revoke(1), range] {
        assert_eq!(apply(&mut store, request), Err(Refusal::Corrupt));
    }
    assert_eq!(store.view().revision(), 2);
    assert_eq!(store.view().range(&range_request("a", "", 0)).unwrap().count, 1);
    let reply = apply(&mut store, alarm(Get, 3, AlarmKind::NONE)).unwrap();
    assert!(matches!(reply, Reply::Alarm(reply) if reply.alarms.len() == 1));
}

#[test]
fn a_quota_changes_the_answer_and_not_the_effect() {
    let disk = disk();
    let tight = Settings { quota_bytes: Some(4000), ..settings() };
    let mut store = Store::create(disk.clone(), "a", tight).unwrap();
    let mut wide = Store::create(disk, "b", settings()).unwrap();
    let value = "v".repeat(500);
    let mut refused = 0;
    for at in 0..10 {
        let (answer, other) =
            (apply(&mut store, put(&format!("k{at}"), &value)), apply(&mut wide, put(&format!("k{at}"), &value)));
        assert!(other.is_ok());
        refused += i32::from(answer == Err(Refusal::NoSpace));
    }
    assert!((2..9).contains(&refused), "{refused}");
    assert_eq!(store.view().hash_kv(0).unwrap(), wide.view().hash_kv(0).unwrap());
    assert!(apply(&mut store, delete("k", "l")).is_ok(), "deleting costs nothing");
}

#[test]
fn a_txn_that_names_a_missing_lease_or_revision_changes_nothing() {
    use pb::request_op::Request::*;
    let mut store = new_store();
    apply_all(&mut store, vec![put("a", "1"), put("a", "2"), put("a", "3"), compact(3)]);
    let first = RequestPut(put_request("b", "1", 0));
    let refusals = [
        (RequestPut(put_request("c", "1", 99)), Refusal::LeaseNotFound),
        (RequestRange(range_request("a", "", 5)), Refusal::FutureRev),
        (RequestRange(range_request("a", "", 2)), Refusal::Compacted),
        (RequestRange(range_request("a", "", -1)), Refusal::Compacted),
        (
            RequestPut(pb::PutRequest { key: "c".into(), ignore_value: true, ..Default::default() }),
            Refusal::KeyNotFound,
        ),
    ];
    for (request, refusal) in refusals {
        assert_eq!(apply(&mut store, txn(vec![first.clone(), request])), Err(refusal));
        assert_eq!(store.view().revision(), 4);
    }
    // A key that the txn itself makes was not there before it.
    let keep =
        RequestPut(pb::PutRequest { key: "b".into(), ignore_lease: true, value: "2".into(), ..Default::default() });
    assert_eq!(apply(&mut store, txn(vec![first, keep])), Err(Refusal::KeyNotFound));
}

#[test]
fn a_put_may_keep_what_its_own_txn_deletes() {
    use pb::request_op::Request::*;
    let mut store = new_store();
    apply(&mut store, put("k", "kept")).unwrap();
    let keep = RequestPut(pb::PutRequest { key: "k".into(), ignore_value: true, ..Default::default() });
    apply(&mut store, txn(vec![RequestDeleteRange(delete_request("a", "\0")), keep])).unwrap();
    let reply = store.view().range(&range_request("k", "", 0)).unwrap();
    let kv = proto::mvccpb::KeyValue::decode(reply.kvs[0].clone()).unwrap();
    assert_eq!((&kv.value[..], kv.version, kv.create_revision), (&b"kept"[..], 1, 3));
}

#[test]
fn a_lease_takes_its_keys_along_in_order() {
    let mut store = new_store();
    let with = |key: &str| pb::InternalRaftRequest { put: Some(put_request(key, "v", 7)), ..request() };
    apply_all(&mut store, vec![grant(7, -3), grant(8, 100), with("b"), with("a"), with("c")]);
    assert_eq!(store.view().lease(7).unwrap().ttl_seconds(), 2, "raised to the least there is");
    // c moves to no lease, b stays because only its value changes.
    let keep = pb::PutRequest { key: "b".into(), value: "w".into(), ignore_lease: true, ..Default::default() };
    apply_all(&mut store, vec![put("c", "v"), pb::InternalRaftRequest { put: Some(keep), ..request() }]);
    assert_eq!(store.view().lease_keys(7), ["a", "b"]);

    let checkpoint = pb::LeaseCheckpointRequest {
        checkpoints: [(8, 40), (99, 1), (7, 1)]
            .map(|(id, remaining_ttl)| pb::LeaseCheckpoint { id, remaining_ttl })
            .to_vec(),
    };
    let checkpoint = pb::InternalRaftRequest { lease_checkpoint: Some(checkpoint), ..request() };
    let applied = apply_all(&mut store, vec![checkpoint, revoke(7)]);
    assert_eq!(applied.outcomes[0].1, Err(Refusal::LeaseNotFound));
    assert_eq!(
        applied.leases,
        [LeaseChange::Checkpointed { id: 8, remaining_seconds: 40 }, LeaseChange::Revoked { id: 7 }]
    );
    let [events] = &applied.events[..] else { panic!("{applied:?}") };
    let gone: Vec<(&[u8], u32)> = events.events.iter().map(|event| (&event.key[..], event.sub)).collect();
    assert_eq!((events.revision, gone), (7, vec![(&b"a"[..], 0), (b"b", 1)]));
    assert!(events.events.iter().all(|event| event.kind == EventKind::Delete));
    assert_eq!(apply(&mut store, revoke(7)), Err(Refusal::LeaseNotFound));
}

#[test]
fn members_come_and_go_and_publish_themselves() {
    let disk = disk();
    let mut store = Store::create(disk.clone(), "revisions", settings()).unwrap();
    let change = |index: u64, kind: raftpb::ConfChangeType, id: u64, url: &str| {
        let context = format!(r#"{{"id":{id},"peerURLs":["{url}"]}}"#).into();
        let change = raftpb::ConfChange { id: 100 + index, r#type: kind.into(), node_id: id, context };
        Entry { index, term: 1, kind: EntryKind::ConfChange, data: change.encode_to_vec().into() }
    };
    let add = raftpb::ConfChangeType::ConfChangeAddNode;
    let entries = [
        change(1, add, 5, "http://a:1"),
        change(2, add, 6, "http://a:1"),
        change(3, add, 6, "http://b:1"),
        Entry { index: 4, term: 1, kind: EntryKind::Normal, data: Bytes::new() },
    ];
    let applied = store.apply(&entries, &|_| true).unwrap();
    let refused = (102, Err(Refusal::PeerUrlExist));
    assert_eq!(applied.outcomes.len(), 3);
    assert_eq!(applied.outcomes[1], refused);
    assert!(matches!(&applied.outcomes[2], (103, Ok(Reply::MemberAdd(reply))) if reply.members.len() == 2));
    let changes: Vec<_> = applied.roster.iter().map(|change| (change.index, &change.change)).collect();
    assert!(
        matches!(changes[0], (1, ClusterChange::Configuration(Some(change))) if change.kind == ChangeKind::AddVoter)
    );
    assert_eq!(changes[1], (2, &ClusterChange::Configuration(None)));
    assert_eq!(changes.len(), 3);

    // As etcd 3.5 publishes a member and the cluster version.
    #[derive(Clone, PartialEq, Message)]
    struct Legacy {
        #[prost(uint64, tag = "1")]
        id: u64,
        #[prost(string, tag = "2")]
        method: String,
        #[prost(string, tag = "3")]
        path: String,
        #[prost(string, tag = "4")]
        value: String,
    }
    let legacy = |index: u64, path: &str, value: &str| {
        let request = Legacy { id: index, method: "PUT".into(), path: path.into(), value: value.into() };
        Entry { index, term: 1, kind: EntryKind::Normal, data: request.encode_to_vec().into() }
    };
    let attributes = r#"{"name":"five","clientURLs":["http://a:2"]}"#;
    let entries = [legacy(5, "/0/members/5/attributes", attributes), legacy(6, "/0/version", "3.5.0")];
    let applied = store.apply(&entries, &|_| true).unwrap();
    assert_eq!(applied.outcomes, [(5, Ok(Reply::Done)), (6, Ok(Reply::Done))]);
    assert_eq!(applied.roster[0].change, ClusterChange::Attributes(5));
    store.sync().unwrap();
    drop(store);

    let store = Store::open(disk, "revisions", settings()).unwrap();
    let view = store.view();
    assert_eq!((view.applied(), view.roster().cluster_version()), (6, Some("3.5.0")));
    assert_eq!(view.roster().get(5).unwrap().name, "five");
    assert_eq!(view.conf_state().voters, [5, 6]);
    assert_eq!(view.revision(), 1, "members are not keys");
}

#[test]
fn what_is_not_known_stops_the_member() {
    let mut store = new_store();
    let enable = pb::InternalRaftRequest { auth_enable: Some(Default::default()), ..request() };
    let fault = store.apply(&[entry(1, enable)], &|_| true).unwrap_err();
    let words = "entry 1 carries the request auth_enable (field 1000), which this version cannot apply; \
                 stopping rather than diverge";
    assert_eq!(fault.to_string(), words);
}

#[test]
fn the_revision_outlives_the_last_deletion() {
    // etcd #17780: compaction removed the last tombstone, and a restart counted from what was left.
    let disk = disk();
    let mut store = Store::create(disk.clone(), "revisions", settings()).unwrap();
    apply_all(&mut store, vec![put("a", "1"), delete("a", ""), put("b", "1"), delete("b", ""), compact(5)]);
    while store.view().revision() < 200 {
        apply_all(&mut store, vec![put("c", &"v".repeat(300)), delete("c", "")]);
    }
    let revision = store.view().revision();
    apply_all(&mut store, vec![compact(revision)]);
    sweep_all(&mut store);
    assert!(store.stats().swept_bytes > 10_000, "{:?}", store.stats());
    let rows: Vec<_> = store.view().records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 1, "the deletion at the compacted revision itself stays");
    assert_eq!((rows[0].revision.main, rows[0].tombstone), (revision, true));
    store.sync().unwrap();
    drop(store);
    let mut store = Store::open(disk, "revisions", settings()).unwrap();
    assert_eq!((store.view().revision(), store.view().compacted()), (revision, revision));
    let events: Vec<_> = store.view().history(revision, revision).map(Result::unwrap).collect();
    assert_eq!(events[0].events[0].kind, EventKind::Delete, "a watcher from there is owed it");
    apply(&mut store, put("d", "1")).unwrap();
    assert_eq!(store.view().revision(), revision + 1);
}

#[test]
fn a_compacted_past_is_refused_at_once_and_its_edge_is_not() {
    let mut store = new_store();
    apply_all(&mut store, vec![put("a", "1"), put("a", "2"), put("a", "3")]);
    assert_eq!(apply(&mut store, compact(5)), Err(Refusal::FutureRev));
    let old = store.view();
    apply(&mut store, compact(3)).unwrap();
    assert_eq!(apply(&mut store, compact(3)), Err(Refusal::Compacted));
    let view = store.view();
    let read = |revision| view.range(&range_request("a", "", revision));
    assert!(matches!(read(2), Err(ReadError::Refusal(Refusal::Compacted))));
    assert!(read(3).is_ok() && read(4).is_ok());
    assert!(matches!(read(5), Err(ReadError::Refusal(Refusal::FutureRev))));
    assert_eq!(view.kv_at(b"a", 2).unwrap(), None);
    assert!(old.kv_at(b"a", 2).unwrap().is_some(), "an older view keeps what it had");
    assert!(matches!(view.hash_kv(2), Err(ReadError::Refusal(Refusal::Compacted))));
    assert_eq!(view.hash_kv(3).unwrap().compact_revision, 3);
}

#[test]
fn members_that_are_at_different_points_of_sweeping_hash_alike() {
    let disk = disk();
    let mut swept = Store::create(disk.clone(), "swept", settings()).unwrap();
    let mut whole = Store::create(disk, "whole", Settings { segment_bytes: 1 << 30, ..settings() }).unwrap();
    let mut chance = Chance::new(3);
    for round in 0..60 {
        let requests: Vec<_> = (0..30)
            .map(|_| {
                let key = format!("k{}", chance.below(40));
                if chance.one_in(5) { delete(&key, "") } else { put(&key, &"v".repeat(chance.below(100) as usize)) }
            })
            .collect();
        let a = apply_all(&mut swept, requests.clone());
        let b = apply_all(&mut whole, requests);
        assert_eq!(a, b);
        if round % 10 == 9 {
            let to = swept.view().revision() - 20;
            apply(&mut swept, compact(to)).unwrap();
            apply(&mut whole, compact(to)).unwrap();
        }
        swept.sweep(20_000).unwrap();
        assert_eq!(swept.view().hash_kv(0).unwrap(), whole.view().hash_kv(0).unwrap());
        assert_eq!(swept.view().hash().unwrap(), whole.view().hash().unwrap());
    }
    let (small, large) = (swept.stats(), whole.stats());
    assert!(small.segments_swept > 2 && small.size_bytes < large.size_bytes / 2, "{small:?} {large:?}");
}

#[test]
fn a_turned_bit_is_found_with_file_and_place() {
    let disk = disk();
    let mut store = Store::create(disk.clone(), "revisions", Settings { resident_bytes: 0, ..settings() }).unwrap();
    for at in 0..200 {
        apply(&mut store, put(&format!("k{at:03}"), &"v".repeat(100))).unwrap();
    }
    store.sync().unwrap();
    let view = store.view();
    let first = disk.list("revisions").unwrap().remove(0);
    let path = format!("revisions/{first}");
    assert!(view.records().all(|record| record.is_ok()));
    // In the middle of some value in the first segment.
    let mut bytes = vec![0; 4096];
    disk.open(&path, disk::OpenMode::Read).unwrap().read_at(0, &mut bytes).unwrap();
    let value = bytes.windows(100).rposition(|window| window == [b'v'; 100]).expect("a value");
    disk.flip_bit(&path, value as u64 + 50, 3).unwrap();
    let fault = view.records().find_map(Result::err).expect("a walk meets it");
    assert!(matches!(&fault, Fault::Corrupt { file, .. } if *file == path), "{fault}");
    let met = (0..200).filter(|at| view.kv_at(format!("k{at:03}").as_bytes(), i64::MAX).is_err()).count();
    assert_eq!(met, 1, "and a read of the one key that it hit");
    drop((view, store));
    let fault = Store::open(disk, "revisions", settings()).unwrap_err();
    assert!(matches!(&fault, Fault::Corrupt { file, .. } if *file == path), "{fault}");
}

#[test]
fn a_store_is_made_once() {
    let disk = disk();
    assert!(!Store::exists(&disk, "revisions").unwrap());
    assert!(Store::open(disk.clone(), "revisions", settings()).is_err());
    let store = Store::create(disk.clone(), "revisions", settings()).unwrap();
    assert!(Store::exists(&disk, "revisions").unwrap());
    assert_eq!((store.applied(), store.view().revision(), store.view().compacted()), ((0, 0), 1, -1));
    drop(store);
    assert!(Store::create(disk, "revisions", settings()).is_err(), "nothing is overwritten");
}

#[test]
fn an_image_that_is_none_leaves_the_store_as_it_was() {
    let mut store = new_store();
    apply(&mut store, put("a", "1")).unwrap();
    let image = image_of(&store.view());
    apply(&mut store, put("b", "1")).unwrap();
    for length in (0..image.len()).step_by(997) {
        let mut damaged = image.clone();
        damaged.truncate(length);
        let conf_state = raftpb::ConfState::default();
        assert!(matches!(store.install(&damaged[..], 9, 9, conf_state), Err(Fault::Image(_))), "{length}");
    }
    assert_eq!((store.applied().0, store.view().revision()), (2, 3));
    for at in 0..100 {
        apply(&mut store, put(&format!("k{at}"), &"v".repeat(300))).unwrap();
    }
    assert!(store.stats().segments > 2, "and it goes on");
}

#[test]
fn room_comes_back_when_every_change_was_alone_in_its_frame() {
    let mut store = new_store();
    for at in 0..600 {
        apply(&mut store, put(&format!("k{}", at % 3), "v")).unwrap();
    }
    let revision = store.view().revision();
    apply(&mut store, compact(revision)).unwrap();
    let before = store.stats();
    sweep_all(&mut store);
    let after = store.stats();
    assert!(before.segments > 5 && after.segments <= 2, "{before:?} {after:?}");
    assert!(after.size_bytes <= settings().segment_bytes + 2000, "{after:?}");
    let range = store.view().range(&range_request("k", "l", 0)).unwrap();
    assert_eq!(range.kvs.len(), 3);
    sweep_all(&mut store);
    assert_eq!(store.stats().segments_swept, after.segments_swept, "what is clean is left alone");
}

#[test]
fn a_full_disk_holds_the_store_up_and_loses_nothing() {
    full_disk(|_| {});
}

/// The log is another one then; what is to be done about full disks is not.
#[test]
fn a_full_disk_holds_the_store_up_behind_a_snapshot_too() {
    full_disk(|store| {
        let view = store.view();
        let image = image_of(&view);
        let (index, term) = (view.applied() + 5, view.term());
        store.install(&image[..], index, term, raftpb::ConfState::default()).unwrap();
    });
}

/// A store with one key, and how often it has looked for room; somebody makes room at look number `makes_room`.
fn that_waits(disk: &disk::SimDisk, makes_room: u64) -> (Store<disk::SimDisk>, Arc<AtomicU64>) {
    let mut store = Store::create(disk.clone(), "revisions", settings()).unwrap();
    apply(&mut store, put("before", "1")).unwrap();
    let waited = Arc::new(AtomicU64::new(0));
    let (roomy, count) = (disk.clone(), waited.clone());
    store.wait_when_full(Box::new(move |_| {
        if count.fetch_add(1, Ordering::Relaxed) + 1 == makes_room {
            roomy.set_faults(disk::SimFaults::default());
        }
        true
    }));
    (store, waited)
}

fn full_disk(meanwhile: impl Fn(&mut Store<disk::SimDisk>)) {
    let disk = disk();
    let (mut store, waited) = that_waits(&disk, 3);
    meanwhile(&mut store);
    disk.set_faults(disk::SimFaults { capacity_bytes: Some(3_000), ..Default::default() });
    for at in 0..60 {
        apply(&mut store, put(&format!("k{at:02}"), &"v".repeat(100))).unwrap();
    }
    assert_eq!(waited.load(Ordering::Relaxed), 3, "it waited, and went on");
    store.sync().unwrap();
    let held = store.view().hash_kv(0).unwrap();
    drop(store);
    let store = Store::open(disk, "revisions", settings()).unwrap();
    assert_eq!(store.view().hash_kv(0).unwrap(), held, "what was applied while it was full is there");
    assert_eq!(store.view().count(store::keys::KeyRange::ALL), 61);
}

/// What to do on a full disk is said once, also when a snapshot finds no room and is installed again.
#[test]
fn a_full_disk_after_a_snapshot_that_had_no_room_holds_the_store_up() {
    let disk = disk();
    let (mut store, waited) = that_waits(&disk, 1);
    let view = store.view();
    let image = image_of(&view);
    let mut install = || store.install(&image[..], view.applied() + 5, view.term(), view.conf_state());
    // Out of room at each point where that can be.
    let mut refused = 0;
    for capacity in (1..).step_by(16) {
        disk.set_faults(disk::SimFaults { capacity_bytes: Some(capacity), ..Default::default() });
        match install() {
            Err(fault) => assert!(fault.is_full(), "{fault}"),
            Ok(()) => break,
        }
        refused += 1;
    }
    assert!(refused > 10, "{refused}");
    disk.set_faults(disk::SimFaults { capacity_bytes: Some(1), ..Default::default() });
    apply(&mut store, put("after", "2")).unwrap();
    store.sync().unwrap();
    assert_eq!(waited.load(Ordering::Relaxed), 1, "it waited, and went on");
}

#[test]
fn equal_ones_stay_in_the_order_of_keys_when_descending() {
    use pb::range_request::{SortOrder, SortTarget};
    let mut store = new_store();
    for (key, value) in [("a", "1"), ("b", "2"), ("c", "1")] {
        apply(&mut store, put(key, value)).unwrap();
    }
    for (target, order) in [(SortTarget::Value, ["b", "a", "c"]), (SortTarget::Version, ["a", "b", "c"])] {
        let mut range = range_request("a", "z", 0);
        (range.sort_order, range.sort_target) = (SortOrder::Descend.into(), target.into());
        let hits = store.view().range(&range).unwrap();
        let key = |kv: Bytes| proto::mvccpb::KeyValue::decode(kv).unwrap().key;
        let keys: Vec<Bytes> = hits.kvs.into_iter().map(key).collect();
        assert_eq!(keys, order, "{target:?}");
    }
}

#[test]
fn no_row_is_as_old_as_a_negative_revision() {
    let mut store = new_store();
    let none = store.view().hash_kv(0).unwrap().hash;
    apply(&mut store, put("a", "1")).unwrap();
    apply(&mut store, put("a", "2")).unwrap();
    assert_ne!(store.view().hash_kv(0).unwrap().hash, none);
    assert_eq!(store.view().hash_kv(-1).unwrap().hash, none);
    apply(&mut store, compact(3)).unwrap();
    assert_eq!(store.view().hash_kv(i64::MIN).unwrap().hash, none, "and none is compacted");
}

/// Whoever passes by may apply what is brief: it must not wait for a disk, whatever is in memory of what was before.
#[test]
fn what_is_brief_touches_no_disk() {
    let disk = disk();
    let mut chance = Chance::new(5);
    let mut store = Store::create(disk.clone(), "revisions", settings()).unwrap();
    apply_all(&mut store, vec![grant(7, 60)]);
    let mut brief = 0;
    for index in 2..2_000 {
        let lease = if chance.one_in(5) { 7 } else { 0 };
        let value = "v".repeat(chance.below(300) as usize);
        let put = pb::PutRequest {
            key: format!("k{}", chance.below(50)).into_bytes().into(),
            value: value.into_bytes().into(),
            lease,
            ..Default::default()
        };
        let entries = [entry(index, pb::InternalRaftRequest { put: Some(put), ..request() })];
        let is_brief = store.is_brief(&entries);
        let before = disk.operations();
        store.apply(&entries, &|_| true).unwrap();
        brief += u64::from(is_brief);
        assert!(!is_brief || disk.operations() == before, "entry {index} went to the disk");
        if chance.one_in(100) {
            store.flush().unwrap();
        }
    }
    assert!(brief > 1_000, "{brief} were brief");
}

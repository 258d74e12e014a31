//! Random commands, applied to the store and to a plain model: every answer, every event and every read must be the same,
//! before and after a restart.

mod support;

use std::collections::BTreeMap;

use bytes::Bytes;
use proto::etcdserverpb as pb;
use proto::etcdserverpb::request_op::Request;
use store::{EventKind, ReadError, Store, View};
use support::model::{Model, encoded};
use support::*;

fn key(chance: &mut Chance) -> String {
    // A few hot keys and a wider space of cold ones.
    if chance.one_in(3) { format!("hot/{}", chance.below(3)) } else { format!("k/{:03}", chance.below(60)) }
}

fn end(chance: &mut Chance, key: &str) -> String {
    match chance.below(6) {
        0 => "\0".to_owned(),
        1 => format!("{key}~"),
        2 => "k/030".to_owned(),
        3 => "a".to_owned(),
        _ => String::new(),
    }
}

fn random_put(chance: &mut Chance) -> pb::PutRequest {
    let value = "v".repeat(chance.below(200) as usize) + &chance.below(50).to_string();
    let lease = if chance.one_in(4) { 1 + chance.below(4) as i64 } else { 0 };
    let mut put = put_request(&key(chance), &value, lease);
    put.prev_kv = chance.one_in(2);
    if chance.one_in(8) {
        put.ignore_value = true;
        put.value = Bytes::new();
    }
    if chance.one_in(8) {
        put.ignore_lease = true;
        put.lease = 0;
    }
    put
}

fn random_range(chance: &mut Chance, model: &Model) -> pb::RangeRequest {
    let from = key(chance);
    let to = end(chance, &from);
    let revision = if chance.one_in(2) { 0 } else { chance.below(model.revision as u64 + 3) as i64 };
    let mut range = range_request(&from, &to, revision);
    range.limit = if chance.one_in(2) { chance.below(8) as i64 } else { 0 };
    range.count_only = chance.one_in(8);
    range.keys_only = chance.one_in(6);
    if chance.one_in(4) {
        range.sort_order = chance.below(3) as i32;
        range.sort_target = [0, 3][chance.below(2) as usize];
    }
    if chance.one_in(6) {
        range.min_mod_revision = chance.below(model.revision as u64 + 1) as i64;
        range.max_create_revision = chance.below(model.revision as u64 + 1) as i64;
    }
    range
}

fn random_compare(chance: &mut Chance, model: &Model) -> pb::Compare {
    use pb::compare::TargetUnion;
    let from = key(chance);
    let range_end = if chance.one_in(3) { end(chance, &from) } else { String::new() };
    let target = chance.below(5) as i32;
    let number = match target {
        0 => chance.below(4) as i64,
        4 => chance.below(3) as i64,
        _ => chance.below(model.revision as u64 + 1) as i64,
    };
    let union = match target {
        0 => TargetUnion::Version(number),
        1 => TargetUnion::CreateRevision(number),
        2 => TargetUnion::ModRevision(number),
        3 => TargetUnion::Value(model.keys.get(from.as_bytes()).map(|kv| kv.value.clone()).unwrap_or_default()),
        _ => TargetUnion::Lease(number),
    };
    pb::Compare {
        result: chance.below(4) as i32,
        target,
        key: from.into(),
        range_end: range_end.into(),
        target_union: if chance.one_in(8) { None } else { Some(union) },
    }
}

fn random_txn(chance: &mut Chance, model: &Model, depth: u32) -> pb::TxnRequest {
    let branch = |chance: &mut Chance| -> Vec<pb::RequestOp> {
        (0..chance.below(4))
            .map(|_| {
                let request = match chance.below(8) {
                    0 | 1 => Request::RequestRange(random_range(chance, model)),
                    2..=4 => Request::RequestPut(random_put(chance)),
                    5 | 6 => {
                        let from = key(chance);
                        let to = if chance.one_in(3) { end(chance, &from) } else { String::new() };
                        Request::RequestDeleteRange(delete_request(&from, &to))
                    }
                    _ if depth < 2 => Request::RequestTxn(random_txn(chance, model, depth + 1)),
                    _ => Request::RequestPut(random_put(chance)),
                };
                pb::RequestOp { request: Some(request) }
            })
            .collect()
    };
    let success = branch(chance);
    let failure = branch(chance);
    let compare = (0..chance.below(3)).map(|_| random_compare(chance, model)).collect();
    pb::TxnRequest { compare, success, failure }
}

/// A command that passes the checks of the edge, as every command in a log did.
pub fn random_command(chance: &mut Chance, model: &Model) -> pb::InternalRaftRequest {
    match chance.below(100) {
        0..45 => pb::InternalRaftRequest { put: Some(random_put(chance)), ..request() },
        45..60 => {
            let from = key(chance);
            let to = if chance.one_in(4) { end(chance, &from) } else { String::new() };
            delete(&from, &to)
        }
        60..85 => loop {
            let txn = random_txn(chance, model, 0);
            if store::check::txn(&txn, 128).is_ok() && !kept_after_delete(&txn) {
                return pb::InternalRaftRequest { txn: Some(txn), ..request() };
            }
        },
        85..90 => compact(chance.below(model.revision as u64 + 2) as i64),
        90..95 => grant(1 + chance.below(4) as i64, chance.below(100) as i64),
        _ => revoke(1 + chance.below(5) as i64),
    }
}

/// Whether a txn may ask a put to keep something of a key that it has deleted: etcd stops there, so the model does not
/// say what happens.
fn kept_after_delete(txn: &pb::TxnRequest) -> bool {
    fn any(txn: &pb::TxnRequest, what: &dyn Fn(&Request) -> bool) -> bool {
        txn.success.iter().chain(&txn.failure).filter_map(|op| op.request.as_ref()).any(|request| match request {
            Request::RequestTxn(nested) => any(nested, what),
            other => what(other),
        })
    }
    any(txn, &|request| matches!(request, Request::RequestPut(put) if put.ignore_value || put.ignore_lease))
        && any(txn, &|request| matches!(request, Request::RequestDeleteRange(_)))
}

/// Everything a view can tell, against the model.
#[track_caller]
pub fn same<D: disk::Disk>(view: &View<D>, model: &Model, chance: &mut Chance) {
    assert_eq!((view.revision(), view.compacted()), (model.revision, model.compacted));
    for _ in 0..20 {
        let request = random_range(chance, model);
        match (view.range(&request), model.range(&request)) {
            (Ok(reply), Ok(expected)) => assert_eq!(reply, expected, "{request:?}"),
            (Err(ReadError::Refusal(refusal)), Err(expected)) => assert_eq!(refusal, expected, "{request:?}"),
            (got, expected) => panic!("{request:?}: {got:?}, not {expected:?}"),
        }
    }
    let attached: BTreeMap<i64, _> =
        view.leases().map(|(id, _)| (id, view.lease_keys(id).into_iter().collect())).collect();
    assert_eq!(attached, model.attached());
    let rows: Vec<_> = view
        .records()
        .map(|record| {
            let record = record.unwrap();
            let kv = (!record.tombstone).then_some(record.kv);
            (record.revision.main, record.revision.sub, record.key, kv)
        })
        .collect();
    let expected: Vec<_> =
        model.rows().into_iter().map(|(main, sub, key, kv)| (main, sub, key, kv.map(|kv| encoded(&kv)))).collect();
    assert_eq!(rows, expected);
}

/// The events from a revision on, against the model.
#[track_caller]
pub fn same_history<D: disk::Disk>(view: &View<D>, model: &Model, from: i64) {
    let mut found = Vec::new();
    let mut last = from - 1;
    for events in view.history(from, i64::MAX) {
        let events = events.unwrap();
        assert!(events.revision > last && !events.events.is_empty());
        last = events.revision;
        for event in events.events.iter() {
            assert_eq!(event.kind == EventKind::Delete, event.kv == deleted(&event.key, events.revision));
            let kv = (event.kind == EventKind::Put).then(|| event.kv.clone());
            found.push((events.revision, event.sub, event.key.clone(), kv));
        }
    }
    let expected: Vec<_> = model
        .changes
        .iter()
        .filter(|change| change.0 >= from)
        .map(|(main, sub, key, kv)| (*main, *sub, key.clone(), kv.as_ref().map(encoded)))
        .collect();
    assert_eq!(found, expected);
}

fn deleted(key: &Bytes, revision: i64) -> Bytes {
    encoded(&proto::mvccpb::KeyValue { key: key.clone(), mod_revision: revision, ..Default::default() })
}

/// Returns how many segments were swept, and how many there were at most.
fn story(seed: u64, steps: u64) -> (u64, u64) {
    let mut chance = Chance::new(seed);
    let disk = disk();
    let mut store = Store::create(disk.clone(), "revisions", settings()).unwrap();
    let mut model = Model::default();
    let mut kept = Vec::new();
    let (mut swept, mut segments) = (0, 0);
    for step in 0..steps {
        let bound = if chance.one_in(4) { 20 } else { 3 };
        let count = 1 + chance.below(bound);
        let mut requests = Vec::new();
        let mut expected = Vec::new();
        let before = model.changes.len();
        for _ in 0..count {
            let request = random_command(&mut chance, &model);
            expected.push(model.apply(&request));
            requests.push(request);
        }
        let applied = apply_all(&mut store, requests.clone());
        for ((outcome, expected), request) in applied.outcomes.iter().zip(&expected).zip(&requests) {
            assert_eq!(&outcome.1, expected, "seed {seed} step {step} {request:?}");
        }
        let events: Vec<_> = applied
            .events
            .iter()
            .flat_map(|events| events.events.iter().map(|event| (events.revision, event.sub, event.key.clone())))
            .collect();
        let changes: Vec<_> = model.changes[before..].iter().map(|(main, sub, key, _)| (*main, *sub, key.clone())).collect();
        assert_eq!(events, changes);
        segments = segments.max(store.stats().segments);
        let view = store.view();
        if step % 7 == 0 {
            same(&view, &model, &mut chance);
            same_history(&view, &model, model.compacted.max(1));
        }
        if chance.one_in(20) {
            kept.push((view, model.clone()));
        }
        if chance.one_in(10) {
            store.sweep(1 + chance.below(50_000)).unwrap();
        }
        if chance.one_in(60) {
            // A snapshot of this moment replaces everything, here or in another directory.
            let mut image = Vec::new();
            let view = store.view();
            let plan = view.image().unwrap();
            plan.write(&mut |bytes| {
                image.extend_from_slice(bytes);
                Ok(())
            })
            .unwrap();
            assert_eq!(image.len() as u64, plan.size_bytes());
            let hash = view.hash_kv(0).unwrap();
            store.install(&image[..], view.applied() + 5, view.term(), view.conf_state()).unwrap();
            assert_eq!(store.applied(), (view.applied() + 5, view.term()));
            assert_eq!(store.view().hash_kv(0).unwrap(), hash);
            same(&view, &model, &mut chance);
            // An image keeps no history below the compacted revision, and the model forgets it too.
            model.changes = model.rows();
        }
        if chance.one_in(40) {
            store.sync().unwrap();
            swept += store.stats().segments_swept;
            drop(store);
            store = Store::open(disk.clone(), "revisions", settings()).unwrap();
            same(&store.view(), &model, &mut chance);
            same_history(&store.view(), &model, model.compacted.max(1));
        }
    }
    swept += store.stats().segments_swept;
    // Views of long ago still tell what they told then.
    for (view, model) in &kept {
        same(view, model, &mut chance);
        same_history(view, model, model.compacted.max(1));
    }
    (swept, segments)
}

#[test]
fn the_store_is_the_model() {
    let (mut swept, mut segments) = (0, 0);
    for seed in 0..8 {
        let (more, most) = story(seed, 250);
        swept += more;
        segments = segments.max(most);
    }
    assert!(swept > 10 && segments > 3, "the story is about {swept} sweeps and {segments} segments");
}

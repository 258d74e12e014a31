//! Whether a view tells what the model says.

use std::collections::BTreeMap;

use bytes::Bytes;
use store::{EventKind, ReadError, View};

use super::Chance;
use super::model::{Model, encoded};
use super::random::random_range;

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

//! Watches: every event that matches, once, in order, whole revisions, with
//! the right values, from where the watch began to where it says it is.

use crate::model::{Change, Model, covers};
use crate::record::{Record, Run, Told, Watched};
use prost::Message;
use proto::mvccpb::KeyValue;

/// Checks all that watches were told.
pub fn check(record: &Record, model: &Model) {
    for compaction in &record.cancelled_for {
        assert!(
            model.compactions.contains(compaction),
            "a watch was cancelled for {compaction}, where nothing was compacted"
        );
    }
    assert!(
        record.spoken_of <= model.revision,
        "a watch heard of revision {}, there are {}",
        record.spoken_of,
        model.revision
    );
    for watched in &record.watches {
        for run in &watched.runs {
            check_run(watched, run, model);
        }
    }
}

/// Checks one run of a watch; `watched` says of what.
///
/// # Panics
/// When an event is missing, comes twice, out of order or with another value.
pub fn check_run(watched: &Watched, run: &Run, model: &Model) {
    let first = model.changes.partition_point(|change| change.revision < run.from);
    let expected: Vec<&Change> = model.changes[first..]
        .iter()
        .take_while(|change| change.revision <= run.upto)
        .filter(|change| covers(&watched.key, &watched.range_end, &change.key))
        .filter(|change| if change.after.is_some() { !watched.no_put } else { !watched.no_delete })
        .collect();
    let revisions: Vec<i64> = run.events.iter().map(|(revision, _)| *revision).collect();
    let promised: Vec<i64> = expected.iter().map(|change| change.revision).collect();
    assert_eq!(revisions, promised, "a watch from {} to {} of {:?}", run.from, run.upto, watched.key);
    for ((_, told), change) in run.events.iter().zip(expected) {
        check_event(watched, told, change, model);
    }
}

fn check_event(watched: &Watched, told: &Told, change: &Change, model: &Model) {
    let got = KeyValue::decode(told.kv.clone()).expect("events carry key-values");
    assert_eq!(told.delete, change.after.is_none(), "the kind of event {change:?}");
    let expected = change.after.clone().unwrap_or_else(|| KeyValue {
        key: change.key.clone().into(),
        mod_revision: change.revision,
        ..KeyValue::default()
    });
    assert_eq!(got, expected, "the value of an event");
    // What stood before the whole revision, if it has not been compacted.
    let before = model.kv_at(&change.key, change.revision - 1);
    let created = change.after.as_ref().is_some_and(|kv| kv.create_revision == change.revision);
    match &told.previous {
        None => {
            let owed = watched.previous && !created && change.revision > model.compacted;
            assert!(!owed || before.is_none(), "the previous value of {change:?} is missing");
        }
        Some(previous) => {
            assert!(watched.previous, "previous values come only if asked for");
            let previous = KeyValue::decode(previous.clone()).expect("a previous value is a key-value");
            assert_eq!(Some(&previous), before, "the previous value of {change:?}");
        }
    }
}

//! Watches: every event that matches, once, in order, whole revisions, with
//! the right values, from where the watch began to where it says it is.

use crate::model::{Change, Model, covers};
use crate::record::{Record, Run, Told, Watched};
use proto::mvccpb::KeyValue;
use prost::Message;

/// Checks all that watches were told.
pub fn check(record: &Record, model: &Model) {
    for watched in &record.watches {
        for run in &watched.runs {
            check_run(watched, run, model);
        }
    }
}

fn check_run(watched: &Watched, run: &Run, model: &Model) {
    let expected: Vec<&Change> = model
        .changes
        .iter()
        .filter(|change| change.revision >= run.from && change.revision <= run.upto)
        .filter(|change| covers(&watched.key, &watched.range_end, &change.key))
        .collect();
    let revisions: Vec<i64> = run.events.iter().map(|(revision, _)| *revision).collect();
    let promised: Vec<i64> = expected.iter().map(|change| change.revision).collect();
    assert_eq!(revisions, promised, "a watch from {} to {} of {:?}", run.from, run.upto, watched.key);
    for ((_, told), change) in run.events.iter().zip(expected) {
        check_event(watched, told, change);
    }
}

fn check_event(watched: &Watched, told: &Told, change: &Change) {
    let got = KeyValue::decode(told.kv.clone()).expect("events carry key-values");
    assert_eq!(told.delete, change.after.is_none(), "the kind of event {change:?}");
    let expected = change.after.clone().unwrap_or_else(|| KeyValue {
        key: change.key.clone().into(),
        mod_revision: change.revision,
        ..KeyValue::default()
    });
    assert_eq!(got, expected, "the value of an event");
    match &told.previous {
        // Absent if not asked for, for a creation, or if compacted since.
        None => {}
        Some(previous) => {
            assert!(watched.previous, "previous values come only if asked for");
            let previous = KeyValue::decode(previous.clone()).expect("a previous value is a key-value");
            assert_eq!(Some(previous), change.before, "the previous value of {change:?}");
        }
    }
}

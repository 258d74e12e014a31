//! A disk that reads what was not asked for: another place of the file, or a sector as it once was. What comes is whole and
//! has a right check, so a reader must know whether it is what lies where it looks.

mod support;

use disk::{SimDisk, SimFaults};
use store::{Store, View};
use support::*;

const KEYS: usize = 8;
/// Of a frame that holds one record. Sectors are a multiple of it, so records of one place fit where those of another lie.
const FRAME_BYTES: u64 = 128;

/// A store with one record in each frame, all of one length, but for the first hundred or so.
fn filled(disk: &SimDisk, seed: usize) -> Store<SimDisk> {
    let mut store = Store::create(disk.clone(), "store", settings()).unwrap();
    let mut length = 10;
    for step in seed..seed + 900 {
        let before = store.view().size_bytes();
        apply(&mut store, put(&format!("k{}", step % KEYS), &format!("{step:0length$}"))).unwrap();
        let grown = store.view().size_bytes() - before;
        // A new segment, or a varint that has become longer, makes another size for once.
        length = if grown < 2 * FRAME_BYTES { length + FRAME_BYTES as usize - grown as usize } else { length };
        length = length.min(100);
    }
    store.sync().unwrap();
    store
}

/// What a view says of its past in several ways; an error's words where it has none.
fn told(view: &View<SimDisk>) -> Vec<(String, Result<String, String>)> {
    let mut told = Vec::new();
    for at in (2..view.revision()).step_by(7) {
        for key in 0..KEYS {
            let key = format!("k{key}");
            let value = view.kv_at(key.as_bytes(), at).map(|kv| format!("{kv:?}")).map_err(|fault| fault.to_string());
            told.push((format!("{key} at {at}"), value));
        }
        let events: Result<Vec<_>, _> = view.history(at, at + 9).collect();
        told.push((
            format!("history from {at}"),
            events.map(|all| format!("{all:?}")).map_err(|error| error.to_string()),
        ));
    }
    let records: Result<Vec<_>, _> = view.records().collect();
    told.push(("all records".into(), records.map(|all| format!("{all:?}")).map_err(|error| error.to_string())));
    let hash = view.hash_kv(0).map(|hash| format!("{hash:?}")).map_err(|error| format!("{error:?}"));
    told.push(("the hash".into(), hash));
    told
}

fn only_right_answers_or_none(faults: SimFaults) -> usize {
    let mut refused = 0;
    for seed in 0..6 {
        let disk = SimDisk::new(seed, SimFaults::default());
        // Sectors that were written while reads may be stale can be so.
        disk.set_faults(SimFaults {
            stale_read: if faults.stale_read > 0.0 { 1e-12 } else { 0.0 },
            ..SimFaults::default()
        });
        let store = filled(&disk, seed as usize);
        let view = store.view();
        let right = told(&view);
        assert!(right.iter().all(|(_, answer)| answer.is_ok()), "a healthy disk answers");
        disk.set_faults(faults);
        for ((what, right), (_, got)) in right.into_iter().zip(told(&view)) {
            match got {
                Ok(got) => assert_eq!(Ok(got), right, "{what}"),
                Err(_) => refused += 1,
            }
        }
        disk.set_faults(SimFaults::default());
    }
    refused
}

#[test]
fn what_lies_elsewhere_is_never_taken_for_what_was_asked() {
    let refused = only_right_answers_or_none(SimFaults { misdirected_read: 0.3, ..SimFaults::default() });
    assert!(refused > 1_000, "{refused} answers were refused");
}

#[test]
fn a_sector_as_it_once_was_is_never_taken_for_what_it_is() {
    let refused = only_right_answers_or_none(SimFaults { stale_read: 0.3, ..SimFaults::default() });
    assert!(refused > 1_000, "{refused} answers were refused");
}

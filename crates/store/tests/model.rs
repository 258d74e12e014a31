//! Random commands, applied to the store and to a plain model: every answer, every event and every read must be the same,
//! before and after a restart.

mod support;

use store::{Settings, Store};
use support::model::Model;
use support::random::random_command;
use support::same::{same, same_history};
use support::*;

/// Returns how many segments were swept, and how many there were at most.
fn story(seed: u64, steps: u64, settings: &Settings) -> (u64, u64) {
    let mut chance = Chance::new(seed);
    let disk = disk();
    let mut store = Store::create(disk.clone(), "revisions", settings.clone()).unwrap();
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
        let changes: Vec<_> =
            model.changes[before..].iter().map(|(main, sub, key, _)| (*main, *sub, key.clone())).collect();
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
        if chance.one_in(5) {
            store.flush().unwrap();
        }
        if chance.one_in(10) {
            store.sweep(1 + chance.below(50_000)).unwrap();
        }
        if chance.one_in(60) {
            // A snapshot of this moment replaces everything, here or in another directory.
            let view = store.view();
            let image = image_of(&view);
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
            store = Store::open(disk.clone(), "revisions", settings.clone()).unwrap();
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

fn stories(settings: &Settings) {
    let (mut swept, mut segments) = (0, 0);
    for seed in 0..8 {
        let (more, most) = story(seed, 250, settings);
        swept += more;
        segments = segments.max(most);
    }
    assert!(swept > 10 && segments > 3, "the story is about {swept} sweeps and {segments} segments");
}

#[test]
fn the_store_is_the_model() {
    stories(&settings());
}

#[test]
fn the_store_is_the_model_when_entries_fill_several_frames() {
    stories(&short_frames());
}

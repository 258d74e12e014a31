//! Power is lost at every operation of a story, and the store is opened again: it must be at a batch of the story, not
//! before what was synced, and go on from there as if nothing had been.

mod support;

use disk::{SimDisk, SimFaults};
use store::{Entry, Fault, Settings, Store};
use support::model::Model;
use support::random::random_command;
use support::same::{same, same_history};
use support::*;

enum Step {
    Apply(Vec<Entry>),
    Sync,
    Sweep(u64),
    /// An image, and the entry and term it stands for.
    Install(Vec<u8>, u64, u64),
}

/// A story: steps, each with the entry applied before it and after it, and the model after each entry.
struct Story {
    settings: Settings,
    steps: Vec<(u64, Step, u64)>,
    models: Vec<Model>,
    operations: u64,
    swept: u64,
    segments: u64,
}

const DIR: &str = "member/revisions";

fn tell(seed: u64, length: u64, settings: Settings) -> Story {
    let mut chance = Chance::new(seed);
    let disk = SimDisk::new(seed, SimFaults::default());
    let mut store = Store::create(disk.clone(), DIR, settings.clone()).unwrap();
    let mut model = Model::default();
    let mut models = vec![model.clone()];
    let mut steps = Vec::new();
    for _ in 0..length {
        let before = store.applied().0;
        let step = match chance.below(12) {
            0 | 1 => Step::Sync,
            2 | 3 => Step::Sweep(1 + chance.below(30_000)),
            4 if chance.one_in(3) => {
                let view = store.view();
                model.changes = model.rows();
                Step::Install(image_of(&view), before + 3, view.term())
            }
            _ => {
                let mut entries = Vec::new();
                for at in 0..1 + chance.below(12) {
                    let request = random_command(&mut chance, &model);
                    let _ = model.apply(&request);
                    models.push(model.clone());
                    entries.push(entry(before + 1 + at, request));
                }
                Step::Apply(entries)
            }
        };
        play(&mut store, &step).unwrap();
        let after = store.applied().0;
        models.resize(after as usize + 1, model.clone());
        models[after as usize] = model.clone();
        steps.push((before, step, after));
    }
    let stats = store.stats();
    let (swept, segments) = (stats.segments_swept, stats.segments);
    Story { settings, steps, models, operations: disk.operations(), swept, segments }
}

/// Returns what is durable after the step, if the step says so.
fn play(store: &mut Store<SimDisk>, step: &Step) -> Result<Option<u64>, Fault> {
    match step {
        Step::Apply(entries) => {
            store.apply(entries, &|_| false)?;
            // Some are written at once, some with those behind them.
            if store.applied().0.is_multiple_of(3) { store.flush().map(|()| None) } else { Ok(None) }
        }
        Step::Sync => store.sync().map(Some),
        Step::Sweep(budget) => store.sweep(*budget).map(|_| None),
        Step::Install(image, index, term) => {
            let conf_state = store.view().conf_state();
            store.install(&image[..], *index, *term, conf_state).map(|()| Some(*index))
        }
    }
}

/// Plays the story from what is applied. Returns the last entry known durable, and whether it came to its end.
fn play_on(store: &mut Store<SimDisk>, story: &Story, mut durable: u64) -> (u64, bool) {
    let applied = store.applied().0;
    let start = story.steps.iter().position(|(before, ..)| *before >= applied).unwrap_or(story.steps.len());
    // With short frames a step is several batches, and some of them may be there.
    let begun = start.checked_sub(1).map(|at| &story.steps[at]);
    if let Some((before, Step::Apply(entries), after)) = begun.filter(|(_, _, after)| *after > applied) {
        assert!(*before < applied && applied < *after);
        let left = &entries[(applied - before) as usize..];
        if store.apply(left, &|_| false).is_err() {
            return (durable, false);
        }
    }
    for (before, step, _) in &story.steps[start..] {
        assert_eq!(*before, store.applied().0);
        match play(store, step) {
            Ok(more) => durable = durable.max(more.unwrap_or(0)),
            Err(_) => return (durable, false),
        }
    }
    (durable, true)
}

fn crash_at(story: &Story, seed: u64, operation: u64) {
    let faults = SimFaults { dies_at: Some(operation), ..SimFaults::default() };
    let disk = SimDisk::new(seed.wrapping_mul(1_000_003) + operation, faults);
    let settings = || story.settings.clone();
    let (durable, created) = match Store::create(disk.clone(), DIR, settings()) {
        Ok(mut store) => (play_on(&mut store, story, 0).0, true),
        Err(_) => (0, false),
    };
    // Half of the times the machine lives and only the process dies.
    let disk = if operation.is_multiple_of(2) { disk.restart() } else { disk.restart_process() };
    let mut store = if Store::exists(&disk, DIR).unwrap() {
        Store::open(disk.clone(), DIR, settings()).unwrap()
    } else {
        assert!(!created, "a store that was created is there (operation {operation})");
        Store::create(disk.clone(), DIR, settings()).unwrap()
    };
    let applied = store.applied().0;
    assert!(applied >= durable, "operation {operation}: {durable} was durable, {applied} came back");
    let is_whole = story.steps.iter().any(|(before, _, after)| [*before, *after].contains(&applied));
    assert!(is_whole || story.settings.frame_bytes < 1_000, "a whole batch");
    let mut chance = Chance::new(operation);
    let model = &story.models[applied as usize];
    same(&store.view(), model, &mut chance);
    // Another one on the way back.
    disk.set_faults(SimFaults { dies_at: Some(disk.operations() + 1 + operation % 23), ..SimFaults::default() });
    let (more, ended) = play_on(&mut store, story, durable);
    if !ended {
        drop(store);
        disk.restart();
        store = Store::open(disk.clone(), DIR, settings()).unwrap();
        assert!(store.applied().0 >= more, "operation {operation}, then another");
        same(&store.view(), &story.models[store.applied().0 as usize], &mut chance);
        assert!(play_on(&mut store, story, 0).1);
    }
    disk.set_faults(SimFaults::default());
    let model = story.models.last().unwrap();
    same(&store.view(), model, &mut chance);
    same_history(&store.view(), model, model.compacted.max(1));
    store.flush().unwrap();
    drop(store);
    let store = Store::open(disk, DIR, settings()).unwrap();
    same(&store.view(), model, &mut chance);
}

fn crash_everywhere(settings: &Settings, seeds: std::ops::Range<u64>) {
    let (mut crashes, mut swept, mut segments) = (0, 0, 0);
    let first = seeds.start;
    for seed in seeds {
        let story = tell(seed, 120, settings.clone());
        swept += story.swept;
        segments += story.segments;
        // Other seeds and strides were run for longer; these take seconds.
        let stride = if seed == first { 2 } else { 5 };
        for operation in (1..=story.operations + 1).step_by(stride) {
            crash_at(&story, seed, operation);
            crashes += 1;
        }
    }
    assert!(crashes > 150 && swept > 3 && segments > 8, "{crashes} crashes, {swept} sweeps, {segments} segments");
}

#[test]
fn no_crash_loses_what_was_synced() {
    crash_everywhere(&settings(), 1..5);
}

#[test]
fn no_crash_loses_what_was_synced_when_entries_fill_several_frames() {
    crash_everywhere(&short_frames(), 5..8);
}

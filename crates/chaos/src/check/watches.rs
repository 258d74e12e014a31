//! Watches: every event once, in order, whole revisions, nothing missing within
//! what was told, and the end reached by those that stay; the rules are the simulator's.

use crate::history::{History, Nanos, Told};
use prost::Message;
use proto::mvccpb::event::EventType;
use sim::check::watch::check_run;
use sim::model::Model;
use sim::record::{Run, Told as Event, Watched};
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};

/// Checks all watches; `last` is the last revision. Previous values may be missing up to the last revision
/// that a compaction can have reached when they came.
pub fn check(history: &History, model: &Model, last: i64, wrong: &mut Vec<String>) {
    let mut rules = model.clone();
    // Which previous values are owed depends on when they came, which is judged here.
    rules.compacted = i64::MAX;
    // The rules are assertions; what they say is told with the rest.
    let hook = take_hook();
    set_hook(Box::new(|_| {}));
    for told in &history.watches {
        pieces(told, wrong);
        comes_to_the_end(told, last, wrong);
        compactions(told, history, wrong);
        previous_values(told, history, model, wrong);
        let (watched, run) = as_run(told);
        if let Err(cause) = catch_unwind(AssertUnwindSafe(|| check_run(&watched, &run, &rules))) {
            let words = cause.downcast_ref::<String>().cloned().unwrap_or_else(|| "a broken rule".to_owned());
            let words: String = words.chars().take(2_000).collect();
            wrong.push(format!("{}: {words}", name(told)));
        }
    }
    set_hook(hook);
}

fn name(told: &Told) -> String {
    let key = String::from_utf8_lossy(&told.key).escape_default().to_string();
    format!("the watch of client {} on {key:?} from revision {}", told.client, told.from)
}

/// What only responses show: no revision is in two of them, and none comes
/// after the notice that all up to it was told.
fn pieces(told: &Told, wrong: &mut Vec<String>) {
    let mut reached = told.from - 1;
    for (_, response) in told.responses.iter().filter(|(_, response)| !response.created) {
        let revision =
            |event: Option<&proto::mvccpb::Event>| event.and_then(|event| event.kv.as_ref()).map(|kv| kv.mod_revision);
        let header = response.header.as_ref().map_or(0, |header| header.revision);
        match (revision(response.events.first()), revision(response.events.last())) {
            (Some(first), Some(last)) => {
                if first <= reached {
                    wrong.push(format!("{}: revision {first} comes after {reached} was told whole", name(told)));
                }
                if header < last {
                    wrong.push(format!("{}: revision {last} comes under a header of {header}", name(told)));
                }
                reached = reached.max(last);
            }
            _ if response.canceled => {
                if response.compact_revision <= reached {
                    wrong.push(format!("{}: cancelled after {reached} for {response:?}", name(told)));
                }
            }
            _ if header < reached => {
                wrong.push(format!("{}: told that it has come to {header} after {reached}", name(told)));
            }
            _ => reached = header,
        }
    }
}

/// Whoever is still there at the end was told all that matches, or that there is
/// nothing more: a watch that is told nothing at all breaks no other rule.
fn comes_to_the_end(told: &Told, last: i64, wrong: &mut Vec<String>) {
    let upto = told.upto();
    if told.stays && upto < last {
        wrong.push(format!("{} has come to {upto} when all was over, and the last revision is {last}", name(told)));
    }
}

/// Nothing is compacted that nobody asked for.
fn compactions(told: &Told, history: &History, wrong: &mut Vec<String>) {
    for (when, response) in told.responses.iter().filter(|(_, response)| response.canceled) {
        let (says, asked) = (response.compact_revision, history.compacted(*when));
        if says > asked {
            wrong.push(format!("{}: compacted up to {says}, and up to {asked} was asked for", name(told)));
        }
    }
    // One that tells again begins behind what its member says is compacted.
    let (begins, asked) = (told.from - 1, history.compacted(Nanos::MAX));
    if told.again && begins > asked {
        wrong.push(format!(
            "{} tells again: compacted up to {begins}, and up to {asked} was asked for at all",
            name(told)
        ));
    }
}

/// A previous value that was asked for may be missing only if a compaction can have taken it.
fn previous_values(told: &Told, history: &History, model: &Model, wrong: &mut Vec<String>) {
    for (when, response) in told.responses.iter().filter(|_| told.previous) {
        let compacted = history.compacted(*when);
        let missing = response.events.iter().filter(|event| event.prev_kv.is_none()).filter_map(|event| {
            let kv = event.kv.as_ref()?;
            let created = event.r#type() == EventType::Put && kv.create_revision == kv.mod_revision;
            let owed = kv.mod_revision > compacted && !created;
            (owed && model.kv_at(&kv.key, kv.mod_revision - 1).is_some()).then_some(event)
        });
        for event in missing {
            wrong.push(format!(
                "{}: the previous value of {event:?} is missing, and nobody asked to compact above {compacted}",
                name(told)
            ));
        }
    }
}

fn as_run(told: &Told) -> (Watched, Run) {
    let events = told.responses.iter().flat_map(|(_, response)| &response.events).map(|event| {
        let kv = event.kv.clone().unwrap_or_default();
        let previous = event.prev_kv.as_ref().map(|kv| kv.encode_to_vec().into());
        let delete = event.r#type() == EventType::Delete;
        (kv.mod_revision, Event { delete, kv: kv.encode_to_vec().into(), previous })
    });
    let run = Run { from: told.from, upto: told.upto(), events: events.collect() };
    let watched = Watched {
        key: told.key.clone().into(),
        range_end: told.range_end.clone().into(),
        previous: told.previous,
        ..Watched::default()
    };
    (watched, run)
}

//! Watches: every event once, in order, whole revisions, nothing missing within
//! what was told; the rules are the simulator's.

use crate::history::{History, Told};
use prost::Message;
use proto::mvccpb::event::EventType;
use sim::check::watch::check_run;
use sim::model::Model;
use sim::record::{Run, Told as Event, Watched};
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};

/// Checks all watches. Previous values may be missing up to the last revision
/// that a compaction can have reached.
pub fn check(history: &History, model: &Model, wrong: &mut Vec<String>) {
    let compacted =
        history.watches.iter().filter(|told| told.is_witness() && !told.again).map(Told::upto).min().unwrap_or(0);
    let mut model = model.clone();
    model.compacted = compacted;
    // The rules are assertions; what they say is told with the rest.
    let hook = take_hook();
    set_hook(Box::new(|_| {}));
    for told in &history.watches {
        pieces(told, wrong);
        let (watched, run) = as_run(told);
        if let Err(cause) = catch_unwind(AssertUnwindSafe(|| check_run(&watched, &run, &model))) {
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
            _ => reached = reached.max(header),
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
        runs: Vec::new(),
        previous: told.previous,
    };
    (watched, run)
}

//! No member goes back: whoever asks it after it has answered sees at least as
//! much, also by a serializable read, as long as its process lives. And nobody
//! is told of a revision that nobody committed.

use super::committed::Committed;
use crate::history::{History, Nanos, Op};
use std::collections::BTreeMap;

/// Checks all answers of all members, and what watches say of themselves.
pub fn check(history: &History, committed: &Committed, wrong: &mut Vec<String>) {
    beyond(history, committed.last(), wrong);
    let mut of: BTreeMap<u64, Vec<(&Op, i64)>> = BTreeMap::new();
    for op in &history.ops {
        if let Some(header) = op.header() {
            of.entry(header.member_id).or_default().push((op, header.revision));
        }
    }
    let births = births(history);
    for (member, answers) in of {
        let births = births.get(&member).map_or(&[][..], |births| births);
        for (floor, before, op) in backwards(answers, births) {
            wrong.push(format!("a member went back from revision {floor}, known from\n  {before}\nto\n  {op}"));
        }
    }
}

/// Answers that know less than their member had told before they were asked
/// for, with what it had told and to whom. An answer counts for the process
/// that was there when it was asked for; what was asked of one process and
/// answered by the next is not judged.
fn backwards<'a>(mut answers: Vec<(&'a Op, i64)>, births: &[Nanos]) -> Vec<(i64, &'a Op, &'a Op)> {
    let process = |when: Nanos| births.partition_point(|birth| *birth <= when);
    let mut ended = answers.clone();
    ended.sort_by_key(|(op, _)| op.end);
    answers.sort_by_key(|(op, _)| op.begin);
    let mut highest: BTreeMap<usize, (i64, &Op)> = BTreeMap::new();
    let (mut ended, mut found) = (ended.into_iter().peekable(), Vec::new());
    for (op, revision) in answers {
        while let Some((before, known)) = ended.next_if(|(before, _)| before.end < op.begin) {
            let highest = highest.entry(process(before.begin)).or_insert((known, before));
            if known > highest.0 {
                *highest = (known, before);
            }
        }
        let one = process(op.begin);
        if one == process(op.end)
            && let Some((floor, before)) = highest.get(&one)
            && revision < *floor
        {
            found.push((*floor, *before, op));
        }
    }
    found
}

/// When processes began, by the member's own name for itself: a witness asks one member only.
fn births(history: &History) -> BTreeMap<u64, &Vec<Nanos>> {
    let witnesses = history.watches.iter().filter(|told| told.is_witness());
    let name = witnesses.filter_map(|told| {
        let header = told.responses.iter().find_map(|(_, response)| response.header.as_ref())?;
        Some((header.member_id, history.births.get(told.client)?))
    });
    name.collect()
}

/// Revisions that headers name and that were never committed.
fn beyond(history: &History, last: i64, wrong: &mut Vec<String>) {
    for op in history.ops.iter().filter(|op| op.revision().is_some_and(|revision| revision > last)) {
        wrong.push(format!("an answer is beyond the last revision, {last}:\n  {op}"));
    }
    for told in &history.watches {
        let headers = told.responses.iter().filter_map(|(_, response)| response.header.as_ref());
        if let Some(revision) = headers.map(|header| header.revision).max().filter(|revision| *revision > last) {
            let client = told.client;
            wrong.push(format!("a watch of client {client} was told of revision {revision}, and the last is {last}"));
        }
    }
}

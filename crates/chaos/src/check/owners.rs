//! Whose change each revision is. Answers say so; of what nobody answered, the
//! values do, each of which was written once.

use super::committed::Committed;
use crate::history::{Ask, History, Op, Outcome};
use bytes::Bytes;
use proto::etcdserverpb::{TxnRequest, request_op};
use proto::mvccpb::Event;
use proto::mvccpb::event::EventType;
use std::collections::BTreeMap;

/// Who has made a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The request with this place in the history.
    Op(usize),
    /// A lease that ended, or was revoked.
    Lease(i64),
}

/// Owners by revision, as far as they are known before anything is replayed.
#[derive(Debug, Default)]
pub struct Owners {
    /// By revision.
    pub of: BTreeMap<i64, Owner>,
    /// Deletions that nobody answered, by key; the earliest last.
    deletions: BTreeMap<Bytes, Vec<usize>>,
}

impl Owners {
    /// Finds owners. Returns them, and how many acknowledged writes are lost.
    pub fn of(history: &History, committed: &Committed, wrong: &mut Vec<String>) -> (Owners, usize) {
        let (mut owners, mut lost) = (Owners::default(), 0);
        for (place, op) in history.ops.iter().enumerate().filter(|(_, op)| op.changed()) {
            let revision = op.revision().unwrap_or(0);
            if let Some(Owner::Op(other)) = owners.of.insert(revision, Owner::Op(place)) {
                wrong.push(format!("revision {revision} was answered twice, to\n  {}\n  {op}", history.ops[other]));
            }
            let events = committed.events.get(&revision).map_or(&[][..], Vec::as_slice);
            if !holds(op, events) {
                lost += 1;
                wrong.push(format!(
                    "an acknowledged write is lost: revision {revision} should be its, and is {events:?}\n  {op}"
                ));
            }
        }
        owners.find_by_value(history, committed, wrong);
        for (place, op) in history.ops.iter().enumerate() {
            if let (Ask::Delete(ask), Outcome::Unknown(_)) = (&op.ask, &op.outcome) {
                owners.deletions.entry(ask.key.clone()).or_default().push(place);
            }
        }
        for places in owners.deletions.values_mut() {
            places.sort_by_key(|&place| std::cmp::Reverse(history.ops[place].begin));
        }
        (owners, lost)
    }

    fn find_by_value(&mut self, history: &History, committed: &Committed, wrong: &mut Vec<String>) {
        let mut writer_of: BTreeMap<&Bytes, usize> = BTreeMap::new();
        for (place, op) in history.ops.iter().enumerate() {
            written(&op.ask, |value| {
                writer_of.insert(value, place);
            });
        }
        let mut revision_of: BTreeMap<usize, i64> = BTreeMap::new();
        for (&revision, events) in &committed.events {
            let puts = events.iter().filter(|event| event.r#type() == EventType::Put);
            for event in puts {
                let Some(kv) = &event.kv else { continue };
                let Some(&place) = writer_of.get(&kv.value) else {
                    wrong.push(format!("revision {revision} is invented, nobody wrote {event:?}"));
                    continue;
                };
                let op = &history.ops[place];
                if let Some(other) = revision_of.insert(place, revision)
                    && other != revision
                {
                    wrong.push(format!("a write took effect twice, at revisions {other} and {revision}:\n  {op}"));
                }
                match (&op.outcome, op.revision()) {
                    (Outcome::Refused(words), _) => {
                        wrong.push(format!("a write was refused ({words}) and took effect at {revision}:\n  {op}"));
                    }
                    (Outcome::Answered(_), answered) if answered != Some(revision) => {
                        wrong.push(format!("a write was answered with {answered:?}, and is at {revision}:\n  {op}"));
                    }
                    _ => {}
                }
                self.of.entry(revision).or_insert(Owner::Op(place));
            }
        }
    }

    /// A deletion of this key that nobody answered and that is not taken for
    /// another revision yet. The earliest is the one that fits wherever any does.
    pub fn take_deletion(&mut self, key: &Bytes) -> Option<usize> {
        self.deletions.get_mut(key)?.pop()
    }
}

/// The values that a request may write.
fn written<'a>(ask: &'a Ask, mut found: impl FnMut(&'a Bytes)) {
    match ask {
        Ask::Put(put) => found(&put.value),
        Ask::Txn(txn) => puts(txn).for_each(|(_, value)| found(value)),
        _ => {}
    }
}

fn puts(txn: &TxnRequest) -> impl Iterator<Item = (&Bytes, &Bytes)> {
    txn.success.iter().chain(&txn.failure).filter_map(|op| match &op.request {
        Some(request_op::Request::RequestPut(put)) => Some((&put.key, &put.value)),
        _ => None,
    })
}

/// Whether events hold what an acknowledged write has written.
fn holds(op: &Op, events: &[Event]) -> bool {
    let has = |key: &Bytes, value: Option<&Bytes>| {
        events.iter().filter_map(|event| Some((event, event.kv.as_ref()?))).any(|(event, kv)| match value {
            Some(value) => event.r#type() == EventType::Put && kv.key == key && kv.value == value,
            None => event.r#type() == EventType::Delete && kv.key == key,
        })
    };
    match &op.ask {
        Ask::Put(put) => has(&put.key, Some(&put.value)),
        Ask::Delete(delete) => has(&delete.key, None),
        Ask::Txn(txn) => puts(txn).any(|(key, value)| has(key, Some(value))),
        _ => true,
    }
}

//! The committed changes, one after another, on the simulator's model of etcd:
//! each must be what its owner asked for, each answer what the model says, each
//! read the state at its revision.

use super::committed::Committed;
use super::owners::{Owner, Owners};
use crate::history::{Answer, Ask, History, Op, Outcome};
use proto::etcdserverpb::{InternalRaftRequest, LeaseRevokeRequest, RangeResponse, ResponseHeader};
use proto::mvccpb::event::EventType;
use proto::mvccpb::{Event, KeyValue};
use sim::model::{Change, Model, Said};
use std::collections::BTreeMap;

/// What came of it.
pub struct Replayed {
    /// The model, as far as could be replayed.
    pub model: Model,
    /// At which revision each lease took its keys with it.
    pub ends: BTreeMap<i64, i64>,
    /// How many reads were compared.
    pub reads: usize,
}

/// Replays until the end, or until nothing makes sense any more.
pub fn replay(history: &History, committed: &Committed, owners: &mut Owners, wrong: &mut Vec<String>) -> Replayed {
    let mut replayed = Replayed { model: Model::default(), ends: BTreeMap::new(), reads: 0 };
    for op in &history.ops {
        if let Ask::Grant(grant) = &op.ask {
            // When a lease began is not in the order of revisions; that it is
            // there while keys hang on it is.
            let _ = replayed.model.apply(&InternalRaftRequest { lease_grant: Some(*grant), ..Default::default() });
        }
    }
    let mut reads = reads_by_revision(history);
    read_all(&mut replayed, reads.remove(&1).unwrap_or_default(), wrong);
    for (&revision, events) in &committed.events {
        let owner =
            owners.of.get(&revision).copied().or_else(|| guess(&replayed.model, revision, events, owners, history));
        let Some(owner) = owner else {
            wrong.push(format!("revision {revision} is invented, nobody asked for {events:?}"));
            return replayed;
        };
        owners.of.insert(revision, owner);
        if let Err(words) = carry_out(&mut replayed, revision, owner, events, history) {
            wrong.push(words);
            return replayed;
        }
        read_all(&mut replayed, reads.remove(&revision).unwrap_or_default(), wrong);
        if replayed.model.revision != revision {
            return replayed;
        }
    }
    for (revision, op) in reads.into_iter().filter_map(|(revision, ops)| Some((revision, *ops.first()?))) {
        wrong.push(format!("nobody committed revision {revision}, and it was answered to\n  {op}"));
    }
    replayed
}

/// Requests that changed nothing: reads, transactions and deletions without effect.
fn reads_by_revision(history: &History) -> BTreeMap<i64, Vec<&Op>> {
    let mut reads: BTreeMap<i64, Vec<&Op>> = BTreeMap::new();
    for op in history.ops.iter().filter(|op| !op.changed()) {
        if let (Ask::Range(_) | Ask::Txn(_) | Ask::Delete(_), Some(revision)) = (&op.ask, op.revision()) {
            reads.entry(revision).or_default().push(op);
        }
    }
    reads
}

/// Whose deletions nobody answered and no value tells: a lease's, if all keys
/// hung on it, or else the earliest deletion of that key.
fn guess(model: &Model, revision: i64, events: &[Event], owners: &mut Owners, history: &History) -> Option<Owner> {
    let mut leases = events.iter().map(|event| {
        let key = &event.kv.as_ref()?.key;
        Some(model.kv_at(key, revision - 1)?.lease)
    });
    let first = leases.next()??;
    if first != 0 && leases.all(|lease| lease == Some(first)) {
        return Some(Owner::Lease(first));
    }
    let [event] = events else { return None };
    let key = &event.kv.as_ref()?.key;
    let place = owners.take_deletion(key)?;
    debug_assert!(matches!(history.ops[place].ask, Ask::Delete(_)));
    Some(Owner::Op(place))
}

fn carry_out(
    replayed: &mut Replayed,
    revision: i64,
    owner: Owner,
    events: &[Event],
    history: &History,
) -> Result<(), String> {
    let model = &mut replayed.model;
    let before = model.changes.len();
    let request = match owner {
        Owner::Op(place) => request(&history.ops[place].ask),
        Owner::Lease(id) => {
            if let Some(other) = replayed.ends.insert(id, revision) {
                return Err(format!("lease {id:x} took keys with it at revision {other}, and again at {revision}"));
            }
            InternalRaftRequest { lease_revoke: Some(LeaseRevokeRequest { id }), ..Default::default() }
        }
    };
    let who = |words: String| match owner {
        Owner::Op(place) => format!("{words}\n  {}", history.ops[place]),
        Owner::Lease(id) => format!("{words}\n  the end of lease {id:x}"),
    };
    let said = model.apply(&request);
    let changes = &model.changes[before..];
    if model.revision != revision || !same(changes, events) {
        return Err(who(format!("revision {revision} is {events:?}, and the request makes it {changes:?} ({said:?})")));
    }
    let Owner::Op(place) = owner else { return Ok(()) };
    match (&history.ops[place].outcome, said) {
        (Outcome::Answered(answer), Ok(said)) if !answers(answer, &said) => {
            Err(who(format!("the answer at revision {revision} should be {said:?}")))
        }
        _ => Ok(()),
    }
}

/// Compares reads with the state that the model is in.
fn read_all(replayed: &mut Replayed, ops: Vec<&Op>, wrong: &mut Vec<String>) {
    let model = &mut replayed.model;
    let revision = model.revision;
    for op in ops {
        replayed.reads += 1;
        let Outcome::Answered(answer) = &op.outcome else { continue };
        let right = match (&op.ask, answer) {
            (Ask::Range(ask), Answer::Range(got)) => {
                let expected = model.range(ask);
                let got = RangeResponse { header: only_revision(got.header.as_ref()), ..got.clone() };
                expected.as_ref().is_ok_and(|expected| *expected == got)
            }
            _ => {
                let said = model.apply(&request(&op.ask));
                said.is_ok_and(|said| answers(answer, &said))
            }
        };
        if !right {
            let state: Vec<(i64, KeyValue)> = match &op.ask {
                Ask::Range(ask) => {
                    let kvs = model.range(ask).map(|answer| answer.kvs).unwrap_or_default();
                    kvs.into_iter().map(|kv| (kv.mod_revision, kv)).collect()
                }
                _ => Vec::new(),
            };
            wrong.push(format!("a read at revision {revision} is not the state there, {state:?}:\n  {op}"));
        }
        if model.revision != revision {
            wrong.push(format!("a request was answered as if it changed nothing at revision {revision}:\n  {op}"));
            return;
        }
    }
}

fn request(ask: &Ask) -> InternalRaftRequest {
    let mut request = InternalRaftRequest::default();
    match ask {
        Ask::Put(ask) => request.put = Some(ask.clone()),
        Ask::Delete(ask) => request.delete_range = Some(ask.clone()),
        Ask::Txn(ask) => request.txn = Some(ask.clone()),
        Ask::Grant(ask) => request.lease_grant = Some(*ask),
        Ask::Revoke(id) => request.lease_revoke = Some(LeaseRevokeRequest { id: *id }),
        Ask::Range(_) | Ask::Renew(_) => {}
    }
    request
}

/// Whether changes are what events tell.
fn same(changes: &[Change], events: &[Event]) -> bool {
    changes.len() == events.len()
        && changes.iter().zip(events).all(|(change, event)| {
            let Some(kv) = &event.kv else { return false };
            match &change.after {
                Some(after) => event.r#type() == EventType::Put && after == kv,
                None => {
                    event.r#type() == EventType::Delete && kv.key == change.key && kv.mod_revision == change.revision
                }
            }
        })
}

/// Whether an answer is what the model said. Of the outer header only the
/// revision is the cluster's; the rest is the member's.
fn answers(answer: &Answer, said: &Said) -> bool {
    match (answer, said) {
        (Answer::Put(got), Said::Put(expected)) => {
            let mut got = got.clone();
            got.header = only_revision(got.header.as_ref());
            got == *expected
        }
        (Answer::Delete(got), Said::Delete(expected)) => {
            let mut got = got.clone();
            got.header = only_revision(got.header.as_ref());
            got == *expected
        }
        (Answer::Txn(got), Said::Txn(expected)) => {
            let mut got = got.clone();
            got.header = only_revision(got.header.as_ref());
            got == *expected
        }
        _ => false,
    }
}

fn only_revision(header: Option<&ResponseHeader>) -> Option<ResponseHeader> {
    header.map(|header| ResponseHeader { revision: header.revision, ..ResponseHeader::default() })
}

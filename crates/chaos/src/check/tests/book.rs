//! A small cluster that does everything right, and what its clients write down.

use crate::check::check;
use crate::history::{ALL, Answer, Ask, History, Nanos, Op, Outcome, Told};
use proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use proto::etcdserverpb::{Compare, DeleteRangeRequest, InternalRaftRequest, LeaseGrantResponse};
use proto::etcdserverpb::{LeaseKeepAliveResponse, LeaseRevokeRequest, PutRequest, RangeRequest, RequestOp};
use proto::etcdserverpb::{ResponseHeader, TxnRequest, WatchResponse, request_op::Request};
use proto::mvccpb::event::EventType;
use proto::mvccpb::{Event, KeyValue};
use sim::model::{Model, Said};

/// A second, in nanoseconds.
pub(super) const SECOND: Nanos = 1_000_000_000;
/// How long a request takes.
pub(super) const TAKES: Nanos = SECOND / 100;

/// A cluster that is right, and what its clients write down.
pub(super) struct Book {
    pub(super) model: Model,
    pub(super) history: History,
    pub(super) now: Nanos,
}

pub(super) fn header(revision: i64) -> Option<ResponseHeader> {
    // Members fill the rest with their own.
    Some(ResponseHeader { revision, member_id: 7, cluster_id: 8, raft_term: 9 })
}

pub(super) fn put(key: &str, value: &str) -> Ask {
    Ask::Put(PutRequest {
        key: key.to_owned().into(),
        value: value.to_owned().into(),
        prev_kv: true,
        ..PutRequest::default()
    })
}

pub(super) fn delete(key: &str) -> Ask {
    Ask::Delete(DeleteRangeRequest { key: key.to_owned().into(), ..DeleteRangeRequest::default() })
}

pub(super) fn get(key: &str) -> Ask {
    Ask::Range(RangeRequest { key: key.to_owned().into(), ..RangeRequest::default() })
}

pub(super) fn swap(key: &str, seen: i64, value: &str) -> Ask {
    let compare = Compare {
        result: CompareResult::Equal.into(),
        target: CompareTarget::Mod.into(),
        key: key.to_owned().into(),
        range_end: Default::default(),
        target_union: Some(TargetUnion::ModRevision(seen)),
    };
    let (Ask::Put(put), Ask::Range(get)) = (put(key, value), get(key)) else { unreachable!("they are what they are") };
    let op = |request| RequestOp { request: Some(request) };
    Ask::Txn(TxnRequest {
        compare: vec![compare],
        success: vec![op(Request::RequestPut(put))],
        failure: vec![op(Request::RequestRange(get))],
    })
}

impl Book {
    /// Two witnesses, and one who watches `r/`.
    pub(super) fn new() -> Book {
        let watch = |client, key: &[u8], range_end: &[u8]| Told {
            client,
            key: key.to_vec(),
            range_end: range_end.to_vec(),
            previous: key == ALL,
            from: 1,
            again: false,
            stays: false,
            responses: Vec::new(),
        };
        let watches = vec![watch(0, &ALL, &ALL), watch(1, &ALL, &ALL), watch(2, b"r/", b"r0")];
        Book { model: Model::default(), history: History { watches, ..History::default() }, now: 0 }
    }

    /// Carries out a request and tells the watches; its answer.
    pub(super) fn effect(&mut self, ask: &Ask) -> Answer {
        let before = self.model.changes.len();
        let answer = match ask {
            Ask::Range(ask) => {
                let mut answer = self.model.range(ask).expect("a read of the present");
                answer.header = header(self.model.revision);
                Answer::Range(answer)
            }
            Ask::Renew(id) => {
                Answer::Renew(LeaseKeepAliveResponse { header: header(self.model.revision), id: *id, ttl: 5 })
            }
            Ask::Put(ask) => match self.apply(InternalRaftRequest { put: Some(ask.clone()), ..Default::default() }) {
                Said::Put(mut said) => {
                    said.header = header(self.model.revision);
                    Answer::Put(said)
                }
                said => unreachable!("{said:?} to a put"),
            },
            Ask::Delete(ask) => {
                match self.apply(InternalRaftRequest { delete_range: Some(ask.clone()), ..Default::default() }) {
                    Said::Delete(mut said) => {
                        said.header = header(self.model.revision);
                        Answer::Delete(said)
                    }
                    said => unreachable!("{said:?} to a deletion"),
                }
            }
            Ask::Txn(ask) => match self.apply(InternalRaftRequest { txn: Some(ask.clone()), ..Default::default() }) {
                Said::Txn(mut said) => {
                    said.header = header(self.model.revision);
                    Answer::Txn(said)
                }
                said => unreachable!("{said:?} to a transaction"),
            },
            Ask::Grant(grant) => {
                self.apply(InternalRaftRequest { lease_grant: Some(*grant), ..Default::default() });
                let header = header(self.model.revision);
                Answer::Grant(LeaseGrantResponse { header, id: grant.id, ttl: grant.ttl, error: String::new() })
            }
            Ask::Revoke(id) => {
                let lease_revoke = Some(LeaseRevokeRequest { id: *id });
                self.apply(InternalRaftRequest { lease_revoke, ..Default::default() });
                Answer::Revoke(header(self.model.revision).expect("it is there"))
            }
        };
        let events: Vec<Event> = self.model.changes[before..]
            .iter()
            .map(|change| {
                let gone = || KeyValue {
                    key: change.key.clone().into(),
                    mod_revision: change.revision,
                    ..KeyValue::default()
                };
                let kind = if change.after.is_some() { EventType::Put } else { EventType::Delete };
                let prev_kv = self.model.kv_at(&change.key, change.revision - 1).cloned();
                Event { r#type: kind.into(), kv: Some(change.after.clone().unwrap_or_else(gone)), prev_kv }
            })
            .collect();
        self.tell(events);
        answer
    }

    pub(super) fn apply(&mut self, request: InternalRaftRequest) -> Said {
        self.model.apply(&request).expect("the test asks for what is possible")
    }

    pub(super) fn tell(&mut self, events: Vec<Event>) {
        let revision = self.model.revision;
        for told in &mut self.history.watches {
            let covers = |event: &&Event| {
                let key = event.kv.as_ref().map_or(&b""[..], |kv| &kv.key[..]);
                sim::model::covers(&told.key, &told.range_end, key)
            };
            let previous = |event: Event| Event { prev_kv: event.prev_kv.filter(|_| told.previous), ..event };
            let events: Vec<Event> = events.iter().filter(covers).cloned().map(previous).collect();
            if !events.is_empty() {
                let response = WatchResponse { header: header(revision), events, ..WatchResponse::default() };
                told.responses.push((self.now + TAKES / 2, response));
            }
        }
    }

    /// Asks and is answered; the place in the history.
    pub(super) fn ask(&mut self, ask: Ask) -> usize {
        let answer = self.effect(&ask);
        self.note(ask, Outcome::Answered(answer))
    }

    /// Asks, and hears nothing of what became of it.
    pub(super) fn ask_in_vain(&mut self, ask: Ask) -> usize {
        self.effect(&ask);
        self.note(ask, Outcome::Unknown("nobody knows".to_owned()))
    }

    pub(super) fn note(&mut self, ask: Ask, outcome: Outcome) -> usize {
        let begin = self.now;
        self.now += TAKES;
        self.history.ops.push(Op { client: 3, begin, end: self.now, ask, outcome });
        self.now += TAKES;
        self.history.ops.len() - 1
    }

    /// All watches are told how far they have come.
    pub(super) fn progress(&mut self) {
        let response = WatchResponse { header: header(self.model.revision), ..WatchResponse::default() };
        self.history.watches.iter_mut().for_each(|told| told.responses.push((self.now, response.clone())));
    }

    pub(super) fn holds(&self) {
        let verdict = check(&self.history);
        assert_eq!(verdict.wrong, Vec::<String>::new());
        assert_eq!(verdict.lost, 0);
    }

    pub(super) fn breaks(&self, words: &str) {
        let verdict = check(&self.history);
        assert!(verdict.wrong.iter().any(|one| one.contains(words)), "{words:?} is not in {:#?}", verdict.wrong);
    }
}

/// Some of everything, all of it right.
pub(super) fn right() -> Book {
    let mut book = Book::new();
    book.ask(get("r/1"));
    book.ask(put("r/1", "a"));
    book.ask(put("r/1", "b"));
    book.ask(swap("r/1", 3, "c"));
    book.ask(swap("r/1", 3, "d"));
    book.ask(get("r/1"));
    book.ask(delete("r/2"));
    book.ask_in_vain(put("r/2", "e"));
    book.ask_in_vain(delete("r/2"));
    book.note(put("r/2", "f"), Outcome::Unknown("never arrived".to_owned()));
    book.note(put("r/2", "g"), Outcome::Refused("no room".to_owned()));
    book.ask(put("r/3", "h"));
    book.ask(delete("r/3"));
    book.ask(put("r/4", "i"));
    book.progress();
    book
}

/// The events of all watches from this revision on are gone.
pub(super) fn forget(book: &mut Book, revision: i64) {
    for told in &mut book.history.watches {
        told.responses
            .retain(|(_, response)| response.header.as_ref().is_some_and(|header| header.revision < revision));
    }
}

pub(super) fn changed(book: &mut Book, change: impl Fn(&mut KeyValue)) {
    for told in &mut book.history.watches {
        for event in told.responses.iter_mut().flat_map(|(_, response)| &mut response.events) {
            change(event.kv.as_mut().expect("events have keys"));
        }
    }
}

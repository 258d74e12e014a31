//! Histories that hold, and the same ones broken on purpose: each break must
//! be found, in words that say what it is.

use super::{check, enough};
use crate::history::{ALL, Answer, Ask, History, Nanos, Op, Outcome, Told};
use proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use proto::etcdserverpb::{Compare, DeleteRangeRequest, InternalRaftRequest, LeaseGrantRequest, LeaseGrantResponse};
use proto::etcdserverpb::{LeaseKeepAliveResponse, LeaseRevokeRequest, PutRequest, RangeRequest, RequestOp};
use proto::etcdserverpb::{ResponseHeader, TxnRequest, WatchResponse, request_op::Request};
use proto::mvccpb::event::EventType;
use proto::mvccpb::{Event, KeyValue};
use sim::model::{Model, Said};
use std::time::Duration;

/// A second, in nanoseconds.
const SECOND: Nanos = 1_000_000_000;
/// How long a request takes.
const TAKES: Nanos = SECOND / 100;

/// A cluster that is right, and what its clients write down.
struct Book {
    model: Model,
    history: History,
    now: Nanos,
}

fn header(revision: i64) -> Option<ResponseHeader> {
    // Members fill the rest with their own.
    Some(ResponseHeader { revision, member_id: 7, cluster_id: 8, raft_term: 9 })
}

fn put(key: &str, value: &str) -> Ask {
    Ask::Put(PutRequest {
        key: key.to_owned().into(),
        value: value.to_owned().into(),
        prev_kv: true,
        ..PutRequest::default()
    })
}

fn delete(key: &str) -> Ask {
    Ask::Delete(DeleteRangeRequest { key: key.to_owned().into(), ..DeleteRangeRequest::default() })
}

fn get(key: &str) -> Ask {
    Ask::Range(RangeRequest { key: key.to_owned().into(), ..RangeRequest::default() })
}

fn swap(key: &str, seen: i64, value: &str) -> Ask {
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
    fn new() -> Book {
        let watch = |client, key: &[u8], range_end: &[u8]| Told {
            client,
            key: key.to_vec(),
            range_end: range_end.to_vec(),
            previous: key == ALL,
            from: 1,
            again: false,
            responses: Vec::new(),
        };
        let watches = vec![watch(0, &ALL, &ALL), watch(1, &ALL, &ALL), watch(2, b"r/", b"r0")];
        Book { model: Model::default(), history: History { watches, ..History::default() }, now: 0 }
    }

    /// Carries out a request and tells the watches; its answer.
    fn effect(&mut self, ask: &Ask) -> Answer {
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

    fn apply(&mut self, request: InternalRaftRequest) -> Said {
        self.model.apply(&request).expect("the test asks for what is possible")
    }

    fn tell(&mut self, events: Vec<Event>) {
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
    fn ask(&mut self, ask: Ask) -> usize {
        let answer = self.effect(&ask);
        self.note(ask, Outcome::Answered(answer))
    }

    /// Asks, and hears nothing of what became of it.
    fn ask_in_vain(&mut self, ask: Ask) -> usize {
        self.effect(&ask);
        self.note(ask, Outcome::Unknown("nobody knows".to_owned()))
    }

    fn note(&mut self, ask: Ask, outcome: Outcome) -> usize {
        let begin = self.now;
        self.now += TAKES;
        self.history.ops.push(Op { client: 3, begin, end: self.now, ask, outcome });
        self.now += TAKES;
        self.history.ops.len() - 1
    }

    /// All watches are told how far they have come.
    fn progress(&mut self) {
        let response = WatchResponse { header: header(self.model.revision), ..WatchResponse::default() };
        self.history.watches.iter_mut().for_each(|told| told.responses.push((self.now, response.clone())));
    }

    fn holds(&self) {
        let verdict = check(&self.history);
        assert_eq!(verdict.wrong, Vec::<String>::new());
        assert_eq!(verdict.lost, 0);
    }

    fn breaks(&self, words: &str) {
        let verdict = check(&self.history);
        assert!(verdict.wrong.iter().any(|one| one.contains(words)), "{words:?} is not in {:#?}", verdict.wrong);
    }
}

/// Some of everything, all of it right.
fn right() -> Book {
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
fn forget(book: &mut Book, revision: i64) {
    for told in &mut book.history.watches {
        told.responses
            .retain(|(_, response)| response.header.as_ref().is_some_and(|header| header.revision < revision));
    }
}

fn changed(book: &mut Book, change: impl Fn(&mut KeyValue)) {
    for told in &mut book.history.watches {
        for event in told.responses.iter_mut().flat_map(|(_, response)| &mut response.events) {
            change(event.kv.as_mut().expect("events have keys"));
        }
    }
}

#[test]
fn what_is_right_holds() {
    let book = right();
    book.holds();
    let verdict = check(&book.history);
    assert_eq!((verdict.revisions, verdict.reads), (9, 4));
}

#[test]
fn a_lost_write() {
    let mut book = right();
    forget(&mut book, 9);
    book.breaks("an acknowledged write is lost");
    assert_eq!(check(&book.history).lost, 1);
}

#[test]
fn a_lost_deletion_with_another_write_in_its_place() {
    let mut book = right();
    let mut other = right();
    let lost = book.history.ops.iter().position(|op| matches!(op.ask, Ask::Delete(_)) && op.changed()).unwrap();
    let revision = other.history.ops[lost].revision().unwrap();
    for told in &mut other.history.watches {
        for event in told.responses.iter_mut().flat_map(|(_, response)| &mut response.events) {
            let kv = event.kv.as_mut().unwrap();
            if kv.mod_revision == revision {
                *kv = KeyValue { key: "r/9".into(), mod_revision: revision, ..KeyValue::default() };
            }
        }
    }
    other.breaks("an acknowledged write is lost");
    book.holds();
    book.history.ops.remove(lost);
    book.breaks("is invented, nobody asked for");
}

#[test]
fn a_stale_linearizable_read() {
    let mut book = right();
    let stale = book.history.ops[5].clone();
    book.ask(put("r/1", "x"));
    let begin = book.now;
    book.history.ops.push(Op { begin, end: begin + TAKES, ..stale.clone() });
    book.breaks("was known before this began, and it was answered at revision 4");
    // The same answer to a serializable read is allowed.
    let last = book.history.ops.last_mut().unwrap();
    let Ask::Range(ask) = &mut last.ask else { unreachable!("it reads") };
    ask.serializable = true;
    book.holds();
}

#[test]
fn a_read_of_what_never_was() {
    let mut book = right();
    let Outcome::Answered(Answer::Range(answer)) = &mut book.history.ops[5].outcome else { unreachable!("it reads") };
    answer.kvs[0].value = "b".into();
    book.breaks("is not the state there");
}

#[test]
fn a_failed_comparison_that_holds() {
    let mut book = right();
    // The one that failed is answered at the revision at which it would have succeeded.
    let Outcome::Answered(Answer::Txn(answer)) = &mut book.history.ops[4].outcome else { unreachable!("a txn") };
    answer.header.as_mut().unwrap().revision = 3;
    book.breaks("is not the state there");
}

#[test]
fn an_invented_value() {
    let mut book = right();
    changed(&mut book, |kv| {
        if kv.value == "e" {
            kv.value = "never written".into();
        }
    });
    book.breaks("is invented, nobody wrote");
}

#[test]
fn a_previous_value_that_is_wrong() {
    let mut book = right();
    let Outcome::Answered(Answer::Put(answer)) = &mut book.history.ops[2].outcome else { unreachable!("a put") };
    answer.prev_kv = None;
    book.breaks("the answer at revision 3 should be");
}

#[test]
fn a_revision_answered_twice() {
    let mut book = right();
    let twice = book.history.ops[2].clone();
    let Ask::Put(ask) = twice.ask.clone() else { unreachable!("a put") };
    let ask = Ask::Put(PutRequest { value: "another".into(), ..ask });
    book.history.ops.push(Op { ask, ..twice });
    book.breaks("revision 3 was answered twice");
}

#[test]
fn a_refused_write_that_took_effect() {
    let mut book = right();
    let unknown = book.history.ops.iter_mut().find(|op| matches!(op.outcome, Outcome::Unknown(_))).unwrap();
    unknown.outcome = Outcome::Refused("no room".to_owned());
    book.breaks("a write was refused (no room) and took effect");
}

#[test]
fn a_write_that_took_effect_twice() {
    let mut book = Book::new();
    book.ask_in_vain(put("r/1", "a"));
    book.ask(delete("r/1"));
    book.effect(&put("r/1", "a"));
    book.breaks("a write took effect twice, at revisions 2 and 4");
}

#[test]
fn a_write_that_took_effect_before_it_began() {
    let mut book = right();
    let unknown = book.history.ops.iter_mut().find(|op| matches!(op.outcome, Outcome::Unknown(_))).unwrap();
    unknown.begin = 100 * SECOND;
    book.breaks("was known before this began, and it took effect at 5");
}

#[test]
fn half_a_transaction() {
    let mut book = Book::new();
    let op = |ask| match ask {
        Ask::Put(put) => RequestOp { request: Some(Request::RequestPut(put)) },
        _ => unreachable!("only puts"),
    };
    let success = vec![op(put("r/1", "a")), op(put("r/2", "b"))];
    book.ask(Ask::Txn(TxnRequest { success, ..TxnRequest::default() }));
    book.holds();
    for told in &mut book.history.watches {
        told.responses[0].1.events.truncate(1);
    }
    book.breaks("and the request makes it");
}

#[test]
fn witnesses_that_differ() {
    let mut book = right();
    let event = &mut book.history.watches[1].responses[2].1.events[0];
    event.kv.as_mut().unwrap().version = 77;
    book.breaks("to the witness on m2, and");
}

/// Witnesses saw them and readers read them; at rest no member has them.
#[test]
fn writes_that_were_there_and_are_lost() {
    let mut book = right();
    let mut again = Told { again: true, ..book.history.watches[0].clone() };
    again.responses.retain(|(_, response)| response.header.as_ref().is_some_and(|header| header.revision < 7));
    // Another write has got the revision of a lost one.
    let kv =
        KeyValue { key: "r/4".into(), value: "f".into(), mod_revision: 7, create_revision: 7, version: 1, lease: 0 };
    let event = Event { kv: Some(kv), ..Event::default() };
    again.responses.push((Nanos::MAX, WatchResponse { header: header(7), events: vec![event], ..Default::default() }));
    book.history.watches.push(again);
    book.breaks("an acknowledged write is lost: revision 7");
    book.breaks("revision 7 is");
}

/// All saw them, nobody has them, and nothing has taken their place yet.
#[test]
fn the_last_writes_are_lost() {
    let mut book = right();
    let mut again = Told { again: true, ..book.history.watches[0].clone() };
    again.responses.retain(|(_, response)| response.header.as_ref().is_some_and(|header| header.revision < 7));
    book.history.watches.push(again);
    book.breaks("witnesses were told of revision 9, and no member has one above 6");
    assert_eq!(check(&book.history).lost, 3);
}

#[test]
fn a_gap_in_a_watch() {
    let mut book = right();
    book.history.watches[2].responses.remove(2);
    book.breaks("the watch of client 2 on \"r/\" from revision 1");
    // And one that all witnesses share.
    let mut book = right();
    book.history.watches.iter_mut().for_each(|told| drop(told.responses.remove(2)));
    book.breaks("no witness was told of 1 revisions, the first of them 4");
}

#[test]
fn an_event_told_twice() {
    let mut book = right();
    let (when, response) = book.history.watches[2].responses[3].clone();
    book.history.watches[2].responses.insert(4, (when, response));
    book.breaks("comes after 5 was told whole");
}

#[test]
fn an_event_that_comes_after_the_notice_that_it_was_told() {
    let mut book = right();
    let responses = &mut book.history.watches[2].responses;
    let notice = responses.pop().unwrap();
    responses.insert(responses.len() - 1, notice);
    book.breaks("revision 9 comes after 9 was told whole");
}

#[test]
fn a_watch_that_was_not_told_what_it_says_it_was() {
    let mut book = right();
    let responses = &mut book.history.watches[2].responses;
    responses.remove(responses.len() - 2);
    book.breaks("the watch of client 2");
}

/// A lease of five seconds, with a key, renewed after three.
fn leased() -> Book {
    let mut book = Book::new();
    book.ask(Ask::Grant(LeaseGrantRequest { ttl: 5, id: 77 }));
    let Ask::Put(ask) = put("l/1", "a") else { unreachable!("a put") };
    book.ask(Ask::Put(PutRequest { lease: 77, ..ask }));
    book.now = 3 * SECOND;
    book.ask(Ask::Renew(77));
    book
}

#[test]
fn a_lease_that_ends_in_time() {
    let mut book = leased();
    book.now = 8 * SECOND;
    book.effect(&Ask::Revoke(77));
    book.holds();
}

#[test]
fn a_lease_that_ends_early() {
    let mut book = leased();
    book.now = 7 * SECOND;
    book.effect(&Ask::Revoke(77));
    book.breaks("lease 4d ended 0.995 s early, at revision 3");
}

#[test]
fn a_lease_that_is_renewed_after_its_end() {
    let mut book = leased();
    book.now = 8 * SECOND;
    book.effect(&Ask::Revoke(77));
    book.now = 9 * SECOND;
    book.ask(Ask::Renew(77));
    book.breaks("lease 4d ended 5.995 s early");
}

#[test]
fn a_lease_may_be_revoked_at_any_time() {
    let mut book = leased();
    book.ask(Ask::Revoke(77));
    book.holds();
}

#[test]
fn a_revoked_lease_whose_keys_stay() {
    let mut book = leased();
    let place = book.ask(Ask::Revoke(77));
    let Outcome::Answered(Answer::Revoke(header)) = &mut book.history.ops[place].outcome else {
        panic!("the revocation was answered")
    };
    header.revision = 2;
    book.breaks("lease 4d was revoked, and its keys were there until 3");
}

#[test]
fn a_long_history_is_checked_whole() {
    let mut book = Book::new();
    for number in 0..20_000 {
        book.ask(put(&format!("r/{}", number % 10), &format!("{number}")));
        book.ask(get(&format!("r/{}", number % 10)));
    }
    let verdict = check(&book.history);
    assert_eq!((verdict.wrong.len(), verdict.revisions, verdict.reads), (0, 20_001, 20_000));
}

/// Takes the previous values from all that witnesses were told.
fn without_previous(book: &mut Book) {
    for event in
        book.history.watches.iter_mut().flat_map(|told| &mut told.responses).flat_map(|(_, one)| &mut one.events)
    {
        event.prev_kv = None;
    }
}

#[test]
fn previous_values_that_are_missing() {
    let mut book = right();
    without_previous(&mut book);
    book.breaks("the previous value of");
    // A compaction asked for before they came may have taken them.
    let last = book.model.revision;
    book.history.compactions = vec![(0, last)];
    book.holds();
    // One asked for afterwards has not.
    book.history.compactions = vec![(book.now, last)];
    book.breaks("nobody asked to compact above 0");
    // Nor has one that does not reach so far.
    book.history.compactions = vec![(0, 3)];
    book.breaks("nobody asked to compact above 3");
}

#[test]
fn a_watch_told_of_a_previous_value_that_never_was() {
    let mut book = right();
    let events = book.history.watches[0].responses.iter_mut().flat_map(|(_, response)| &mut response.events);
    events.filter_map(|event| event.prev_kv.as_mut()).for_each(|kv| kv.value = "never".into());
    book.breaks("the previous value of");
}

#[test]
fn a_member_that_says_all_is_compacted_when_it_tells_again() {
    let mut book = right();
    let from = book.model.revision + 1;
    book.history.watches.push(Told { again: true, from, responses: Vec::new(), ..book.history.watches[0].clone() });
    book.breaks("tells again: compacted up to 9, and up to 0 was asked for at all");
    book.history.compactions.push((book.now, 8));
    book.breaks("tells again: compacted up to 9, and up to 8 was asked for at all");
    book.history.compactions.push((book.now, 9));
    book.holds();
}

#[test]
fn a_watch_cancelled_for_a_compaction_that_nobody_asked_for() {
    let mut book = right();
    let cancel = WatchResponse { canceled: true, compact_revision: 20, ..WatchResponse::default() };
    book.history.watches[2].responses.push((book.now, cancel));
    book.breaks("compacted up to 20, and up to 0 was asked for");
}

/// A lease whose answer of this kind promises another time.
fn promised(ttl: i64, renewal: bool) -> Book {
    let mut book = leased();
    for op in &mut book.history.ops {
        match &mut op.outcome {
            Outcome::Answered(Answer::Grant(answer)) if !renewal => answer.ttl = ttl,
            Outcome::Answered(Answer::Renew(answer)) if renewal => answer.ttl = ttl,
            _ => {}
        }
    }
    book
}

#[test]
fn a_lease_granted_or_renewed_for_another_time() {
    promised(1, false).breaks("lease 4d was granted for 1 s, less than was asked");
    promised(1, true).breaks("lease 4d was granted for 5 s, and renewed for another time");
    promised(6, true).breaks("lease 4d was granted for 5 s, and renewed for another time");
    // No longer there: that is an answer.
    promised(0, true).holds();
    // More than was asked is no harm, if renewals keep to it.
    promised(6, false).breaks("lease 4d was granted for 6 s, and renewed for another time");
}

#[test]
fn a_grant_answered_at_a_revision_that_was_past() {
    let mut book = Book::new();
    book.ask(put("r/1", "a"));
    let place = book.ask(Ask::Grant(LeaseGrantRequest { ttl: 5, id: 77 }));
    book.holds();
    let Outcome::Answered(Answer::Grant(answer)) = &mut book.history.ops[place].outcome else {
        panic!("the lease was granted")
    };
    answer.header = header(1);
    book.breaks("revision 2 was known before this began, and it was answered at revision 1");
}

/// All of it holds, and there is nothing in it.
#[test]
fn a_round_in_which_nothing_was_acknowledged() {
    let mut book = Book::new();
    for number in 0..50 {
        book.note(put("r/1", &format!("{number}")), Outcome::Refused("no room".to_owned()));
    }
    book.ask(get("r/1"));
    book.progress();
    book.holds();
    let minute = Duration::from_secs(60);
    let wrong = enough::check(&book.history, minute);
    for words in ["0 acknowledged writes", "1 answered linearizable reads", "0 events told"] {
        assert!(wrong.iter().any(|one| one.contains(words)), "{words:?} is not in {wrong:#?}");
    }
    for number in 0..200 {
        book.ask(put("r/1", &format!("more {number}")));
        book.ask(get("r/1"));
    }
    assert_eq!(enough::check(&book.history, minute), Vec::<String>::new());
    assert_eq!(enough::check(&book.history, 5 * minute).len(), 2, "longer rounds have more");
}

//! What is there was asked for, once, and is what was asked for, whole.

use super::book::{Book, SECOND, changed, delete, put, right};
use crate::history::{Answer, Ask, Op, Outcome};
use proto::etcdserverpb::{PutRequest, RequestOp, TxnRequest, request_op::Request};

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

/// Both halves are there, in a revision each.
#[test]
fn a_transaction_in_two_revisions() {
    let mut book = Book::new();
    let op = |ask| match ask {
        Ask::Put(put) => Some(RequestOp { request: Some(Request::RequestPut(put)) }),
        _ => None,
    };
    let (left, right) = (put("r/1", "a"), put("r/2", "b"));
    let success = [left.clone(), right.clone()].into_iter().filter_map(op).collect();
    book.effect(&left);
    book.effect(&right);
    let ask = Ask::Txn(TxnRequest { success, ..TxnRequest::default() });
    book.note(ask, Outcome::Unknown("nobody knows".to_owned()));
    book.breaks("a write took effect twice, at revisions 2 and 3");
    book.breaks("and the request makes it");
}

/// The witnesses saw all of it, and one who watches saw half.
#[test]
fn half_a_transaction_told_to_a_watch() {
    let mut book = Book::new();
    let (Ask::Put(left), Ask::Put(right)) = (put("r/1", "a"), put("r/2", "b")) else { panic!("puts") };
    let success = [left, right].map(|put| RequestOp { request: Some(Request::RequestPut(put)) }).to_vec();
    book.ask(Ask::Txn(TxnRequest { success, ..TxnRequest::default() }));
    book.history.watches[2].responses[0].1.events.truncate(1);
    book.breaks("the watch of client 2");
}

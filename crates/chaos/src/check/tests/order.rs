//! Answers are of their moment, and no moment comes back.

use super::book::{Book, TAKES, get, header, put, right, swap};
use crate::history::{Answer, Ask, Op, Outcome};
use proto::etcdserverpb::{LeaseGrantRequest, RangeRequest};

#[test]
fn a_stale_linearizable_read() {
    let mut book = right();
    let stale = book.history.ops[5].clone();
    book.ask(put("r/1", "x"));
    let begin = book.now;
    book.history.ops.push(Op { begin, end: begin + TAKES, ..stale.clone() });
    book.breaks("was known before this began, and it was answered at revision 4");
    // The same answer to a serializable read is allowed, to one of another member.
    let last = book.history.ops.last_mut().unwrap();
    let (Ask::Range(ask), Outcome::Answered(Answer::Range(answer))) = (&mut last.ask, &mut last.outcome) else {
        panic!("it reads")
    };
    ask.serializable = true;
    answer.header.iter_mut().for_each(|header| header.member_id += 1);
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

/// A comparison that fails is a read, too.
#[test]
fn a_transaction_that_compares_with_what_was() {
    let mut book = Book::new();
    book.ask(put("r/1", "a"));
    let failed = book.ask(swap("r/1", 1, "b"));
    let stale = book.history.ops[failed].clone();
    book.ask(put("r/1", "c"));
    book.holds();
    book.note(stale.ask, stale.outcome);
    book.breaks("revision 3 was known before this began, and it was answered at revision 2");
}

/// A serializable read may be old; on one member, as long as its process lives,
/// it is never older than what the member has answered before.
#[test]
fn a_member_that_goes_back() {
    let mut book = Book::new();
    book.ask(put("r/1", "a"));
    let place = book.ask(serializable("r/1"));
    let old = book.history.ops[place].clone();
    book.ask(put("r/1", "b"));
    book.ask(serializable("r/1"));
    book.holds();
    let again = book.now;
    book.note(old.ask, old.outcome);
    book.breaks("a member went back from revision 3, known from");
    // Another process of it has to learn again.
    book.history.births = vec![vec![0, again - 1]];
    book.holds();
    // One that was born afterwards excuses nobody.
    book.history.births = vec![vec![0, book.now]];
    book.breaks("a member went back from revision 3, known from");
    // Another member may know less.
    book.history.births.clear();
    let Some(Outcome::Answered(Answer::Range(answer))) = book.history.ops.last_mut().map(|op| &mut op.outcome) else {
        panic!("it reads")
    };
    answer.header.iter_mut().for_each(|header| header.member_id += 1);
    book.holds();
}

#[test]
fn answers_and_notices_beyond_what_was_committed() {
    let mut book = right();
    let place = book.ask(Ask::Renew(77));
    book.holds();
    let Outcome::Answered(Answer::Renew(answer)) = &mut book.history.ops[place].outcome else { panic!("a renewal") };
    answer.header = header(10);
    book.breaks("an answer is beyond the last revision, 9");
    let mut book = right();
    for (_, response) in &mut book.history.watches[2].responses {
        response.header = header(12);
    }
    book.breaks("a watch of client 2 was told of revision 12, and the last is 9");
}

fn serializable(key: &str) -> Ask {
    match get(key) {
        Ask::Range(ask) => Ask::Range(RangeRequest { serializable: true, ..ask }),
        other => other,
    }
}

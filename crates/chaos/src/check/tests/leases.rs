//! Leases: neither early nor late, and not for another time than promised.

use super::book::{Book, SECOND, put};
use crate::history::{Answer, Ask, Outcome, Told};
use proto::etcdserverpb::{LeaseGrantRequest, PutRequest};

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

/// At rest nobody renews: its time is over, and its key is there.
#[test]
fn a_key_that_outlives_its_lease() {
    let mut book = leased();
    book.holds();
    let again = Told { again: true, ..book.history.watches[0].clone() };
    book.history.watches.push(again);
    book.breaks("key \"l/1\" is still there at rest, and lease 4d has ended");
}

#[test]
fn a_lease_that_takes_some_of_its_keys() {
    let mut book = leased();
    let Ask::Put(ask) = put("l/2", "b") else { panic!("a put") };
    book.ask(Ask::Put(PutRequest { lease: 77, ..ask }));
    book.now = 9 * SECOND;
    book.effect(&Ask::Revoke(77));
    book.holds();
    for told in &mut book.history.watches {
        told.responses.iter_mut().for_each(|(_, response)| response.events.truncate(1));
    }
    book.breaks("the end of lease 4d");
}

/// A lease of five seconds is revoked; it has keys or not.
#[test]
fn a_lease_that_is_renewed_after_it_was_revoked() {
    for keys in [true, false] {
        let mut book = if keys { leased() } else { Book::new() };
        if !keys {
            book.ask(Ask::Grant(LeaseGrantRequest { ttl: 5, id: 77 }));
        }
        book.ask(Ask::Revoke(77));
        book.holds();
        let place = book.ask(Ask::Renew(77));
        book.breaks("lease 4d was renewed after it was known to have ended");
        let Outcome::Answered(Answer::Renew(answer)) = &mut book.history.ops[place].outcome else {
            panic!("it was answered")
        };
        answer.ttl = 0;
        book.holds();
    }
}

//! What was acknowledged is there.

use super::book::{Book, forget, header, put, right, swap};
use crate::check::check;
use crate::history::{Answer, Ask, Nanos, Outcome, Told};
use proto::etcdserverpb::WatchResponse;
use proto::mvccpb::{Event, KeyValue};

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

/// Of a transaction that was acknowledged nothing is there, and another write has its revision.
#[test]
fn a_lost_transaction() {
    let mut book = Book::new();
    book.ask(put("r/1", "a"));
    let place = book.ask(swap("r/1", 2, "b"));
    book.holds();
    let Outcome::Answered(Answer::Txn(answer)) = book.history.ops[place].outcome.clone() else { panic!("a txn") };
    let mut other = Book::new();
    other.ask(put("r/1", "a"));
    other.ask(put("r/2", "c"));
    other.note(swap("r/1", 2, "b"), Outcome::Answered(Answer::Txn(answer)));
    other.breaks("an acknowledged write is lost: revision 3");
    assert_eq!(check(&other.history).lost, 1);
}

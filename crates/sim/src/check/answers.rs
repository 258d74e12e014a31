//! Writes: in an order that respects real time, with the answers that order
//! gives, none lost, none invented.

use crate::model::Said;
use crate::record::Record;
use prost::Message;
use proto::etcdserverpb::{DeleteRangeResponse, PutResponse, TxnResponse};
use store::{Header, Refusal, Reply};

/// The answer to the request committed at `index`, if its client got one.
pub fn check(record: &Record, id: u64, index: u64, said: &Result<Said, Refusal>) {
    let Some(answer) = record.answers.get(&id) else { return };
    if record.index_of[&id] != index {
        // Committed twice (a forwarded proposal was doubled on its way): the
        // client's answer is that of the first.
        return;
    }
    assert!(
        index > answer.known_before,
        "request {id:x} was asked when index {} was known, and took effect before it, at {index}",
        answer.known_before
    );
    match (said, &answer.outcome) {
        (Err(expected), Err(got)) => assert_eq!(got, expected, "request {id:x} at index {index}"),
        (Ok(expected), Ok(reply)) => compare(id, index, expected, reply),
        (expected, got) => panic!("request {id:x} at index {index}: {got:?} was answered, {expected:?} is right"),
    }
}

fn compare(id: u64, index: u64, expected: &Said, reply: &Reply) {
    let bytes = reply.encode(&Header::default());
    let place = format!("request {id:x} at index {index}");
    match expected {
        Said::Put(expected) => {
            assert_eq!(&PutResponse::decode(&bytes[..]).expect("a put's answer"), expected, "{place}")
        }
        Said::Delete(expected) => {
            assert_eq!(&DeleteRangeResponse::decode(&bytes[..]).expect("a delete's answer"), expected, "{place}");
        }
        Said::Txn(expected) => {
            let mut got = TxnResponse::decode(&bytes[..]).expect("a transaction's answer");
            // The outer header is the member's; only its revision is replicated.
            got.header = got
                .header
                .map(|header| proto::etcdserverpb::ResponseHeader { revision: header.revision, ..Default::default() });
            assert_eq!(&got, expected, "{place}");
        }
        Said::Revision(_) | Said::Nothing => {}
    }
}

/// Every answer belongs to something that was committed.
pub fn none_invented(record: &Record) {
    for id in record.answers.keys() {
        assert!(record.index_of.contains_key(id), "request {id:x} was answered and is not in the committed log");
    }
}

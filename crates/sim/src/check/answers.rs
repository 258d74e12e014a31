//! Writes: in an order that respects real time, with the answers that order
//! gives, none lost, none invented.

use crate::model::Said;
use crate::record::{Answer, Record};
use prost::Message;
use proto::etcdserverpb::{
    CompactionResponse, DeleteRangeResponse, LeaseGrantResponse, LeaseRevokeResponse, PutResponse, RangeResponse,
    ResponseHeader, TxnResponse,
};
use store::{Header, Refusal};

/// The answer to the request committed at `index`, if its client got one.
pub fn check(record: &Record, id: u64, index: u64, said: &Result<Said, Refusal>) {
    let Some(answer) = record.answers.get(&id) else { return };
    assert_eq!(record.index_of[&id], index, "request {id:x} is in the log twice");
    assert!(
        index > answer.known_before,
        "request {id:x} was asked when index {} was known, and took effect before it, at {index}",
        answer.known_before
    );
    match (said, &answer.outcome) {
        (Err(expected), Err(got)) => assert_eq!(got, expected, "request {id:x} at index {index}"),
        (Ok(expected), Ok(bytes)) => compare(&format!("request {id:x} at index {index}"), expected, answer, bytes),
        (expected, got) => panic!("request {id:x} at index {index}: {got:?} was answered, {expected:?} is right"),
    }
}

fn compare(place: &str, expected: &Said, answer: &Answer, bytes: &[u8]) {
    match expected {
        Said::Put(expected) => same_bytes(place, expected, &answer.header, bytes),
        Said::Delete(expected) => same_bytes(place, expected, &answer.header, bytes),
        Said::Txn(expected) => same_bytes(place, expected, &answer.header, bytes),
        Said::Grant(expected) => same_bytes(place, expected, &answer.header, bytes),
        Said::Compaction(expected) => same_bytes(place, expected, &answer.header, bytes),
        Said::Revoked(expected) => same_bytes(place, expected, &answer.header, bytes),
        Said::Nothing => {}
    }
}

/// A message with a header.
pub trait Headed: Message + Default + Clone + PartialEq + std::fmt::Debug {
    /// Its header.
    fn header(&mut self) -> &mut Option<ResponseHeader>;
}

macro_rules! headed {
    ($($message:ty)*) => {$(
        impl Headed for $message {
            fn header(&mut self) -> &mut Option<ResponseHeader> {
                &mut self.header
            }
        }
    )*};
}

headed! {
    PutResponse DeleteRangeResponse TxnResponse LeaseGrantResponse LeaseRevokeResponse CompactionResponse RangeResponse
}

/// What was sent is what is expected of this member, byte for byte, header and all.
///
/// # Panics
/// When it is not.
pub fn same_bytes<M: Headed>(place: &str, expected: &M, by: &Header, bytes: &[u8]) {
    let mut expected = expected.clone();
    let revision = expected.header().as_ref().map_or(0, |header| header.revision);
    let (cluster_id, member_id, raft_term) = (by.cluster_id, by.member_id, by.raft_term);
    *expected.header() = Some(ResponseHeader { cluster_id, member_id, revision, raft_term });
    if expected.encode_to_vec() == bytes {
        return;
    }
    assert_eq!(M::decode(bytes).expect("our own encoding"), expected, "{place}");
    panic!("{place}: the message means what it should and is written otherwise: {bytes:?}");
}

/// Every answer belongs to something that was committed.
pub fn none_invented(record: &Record) {
    for id in record.answers.keys() {
        assert!(record.index_of.contains_key(id), "request {id:x} was answered and is not in the committed log");
    }
}

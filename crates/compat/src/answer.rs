//! What came back, made comparable: ids, terms and what the table of
//! exclusions names are taken out; everything else must be equal.

use crate::request::{Meaning, Request};
use proto::etcdserverpb::response_op::Response as Op;
use proto::etcdserverpb::{
    CompactionResponse, DeleteRangeResponse, HashKvResponse, LeaseGrantResponse, LeaseKeepAliveResponse,
    LeaseLeasesResponse, LeaseRevokeResponse, LeaseTimeToLiveResponse, PutResponse, RangeResponse, ResponseHeader,
    TxnResponse, WatchResponse,
};
use proto::mvccpb::KeyValue;

/// A response or a refusal.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "the names are the wire's")]
pub enum Answer {
    Range(RangeResponse),
    Put(PutResponse),
    Delete(DeleteRangeResponse),
    Txn(TxnResponse),
    Compact(CompactionResponse),
    Grant(LeaseGrantResponse),
    Revoke(LeaseRevokeResponse),
    KeepAlive(Vec<LeaseKeepAliveResponse>),
    TimeToLive(LeaseTimeToLiveResponse),
    Leases(LeaseLeasesResponse),
    HashKv(HashKvResponse),
    Watch(Vec<WatchResponse>),
    Refused { code: tonic::Code, message: String },
    Nothing,
}

/// What ids of servers are replaced by.
const NAMED: i64 = 1 << 58;
/// A lane lasts less than this many seconds.
const LASTS: i64 = 3600;

fn header(header: &mut Option<ResponseHeader>) {
    if let Some(header) = header {
        header.cluster_id = header.cluster_id.min(1);
        header.member_id = header.member_id.min(1);
        header.raft_term = header.raft_term.min(1);
    }
}

fn lease(meaning: &Meaning, id: &mut i64) {
    if let Some(number) = meaning.leases.iter().position(|named| named == id) {
        *id = NAMED + number as i64;
    }
}

fn kv(meaning: &Meaning, kv: &mut KeyValue) {
    lease(meaning, &mut kv.lease);
}

fn range(meaning: &Meaning, response: &mut RangeResponse, keys_only: bool) {
    header(&mut response.header);
    for one in &mut response.kvs {
        // Excluded: keys-only-lease.
        if keys_only {
            one.lease = 0;
        }
        kv(meaning, one);
    }
}

fn txn(meaning: &Meaning, response: &mut TxnResponse) {
    header(&mut response.header);
    for op in &mut response.responses {
        match &mut op.response {
            Some(Op::ResponseRange(response)) => {
                // Excluded: keys-only-lease. Whether it was asked for is seen by the values.
                let keys_only = response.kvs.iter().all(|kv| kv.value.is_empty());
                range(meaning, response, keys_only);
            }
            Some(Op::ResponsePut(response)) => {
                header(&mut response.header);
                response.prev_kv.iter_mut().for_each(|one| kv(meaning, one));
            }
            Some(Op::ResponseDeleteRange(response)) => {
                header(&mut response.header);
                response.prev_kvs.iter_mut().for_each(|one| kv(meaning, one));
            }
            Some(Op::ResponseTxn(response)) => txn(meaning, response),
            None => {}
        }
    }
}

impl Answer {
    /// The revision its header names, if any.
    pub fn revision(&self) -> Option<i64> {
        let header = match self {
            Answer::Range(response) => &response.header,
            Answer::Put(response) => &response.header,
            Answer::Delete(response) => &response.header,
            Answer::Txn(response) => &response.header,
            Answer::Compact(response) => &response.header,
            Answer::Revoke(response) => &response.header,
            _ => return None,
        };
        header.as_ref().map(|header| header.revision)
    }

    /// How many events it tells of.
    pub fn events(&self) -> u64 {
        match self {
            Answer::Watch(responses) => responses.iter().map(|response| response.events.len() as u64).sum(),
            _ => 0,
        }
    }

    /// Without what may differ.
    pub fn normalise(&mut self, meaning: &Meaning, request: &Request) {
        match self {
            Answer::Range(response) => {
                let keys_only = matches!(request, Request::Range(range) if range.keys_only);
                range(meaning, response, keys_only);
            }
            Answer::Put(response) => {
                header(&mut response.header);
                response.prev_kv.iter_mut().for_each(|one| kv(meaning, one));
            }
            Answer::Delete(response) => {
                header(&mut response.header);
                response.prev_kvs.iter_mut().for_each(|one| kv(meaning, one));
            }
            Answer::Txn(response) => txn(meaning, response),
            Answer::Compact(response) => header(&mut response.header),
            Answer::Grant(response) => {
                header(&mut response.header);
                lease(meaning, &mut response.id);
            }
            Answer::Revoke(response) => header(&mut response.header),
            Answer::KeepAlive(responses) => {
                for response in responses {
                    header(&mut response.header);
                    lease(meaning, &mut response.id);
                }
            }
            Answer::TimeToLive(response) => {
                header(&mut response.header);
                lease(meaning, &mut response.id);
                // In the order of a map of Go, which is none.
                response.keys.sort();
                if (0..LASTS).contains(&(response.granted_ttl - response.ttl)) {
                    response.ttl = response.granted_ttl;
                }
            }
            Answer::Leases(response) => {
                header(&mut response.header);
                response.leases.iter_mut().for_each(|one| lease(meaning, &mut one.id));
                // By when they end, and followers in no order at all.
                response.leases.sort_by_key(|one| one.id);
            }
            Answer::HashKv(response) => {
                header(&mut response.header);
                // Excluded: hash-revision.
                response.hash_revision = 0;
            }
            Answer::Watch(responses) => responses.iter_mut().for_each(|response| watch(meaning, response)),
            Answer::Refused { .. } | Answer::Nothing => {}
        }
    }
}

fn watch(meaning: &Meaning, response: &mut WatchResponse) {
    header(&mut response.header);
    for event in &mut response.events {
        event.kv.iter_mut().chain(&mut event.prev_kv).for_each(|one| kv(meaning, one));
    }
}

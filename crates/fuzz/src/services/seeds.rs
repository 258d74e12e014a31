//! Sound calls to begin with: each method by itself, and stories in which one call meets what others have left.

use super::{GOES_ON, number};
use crate::join;
use bytes::Bytes;
use prost::Message;
use proto::etcdserverpb as pb;
use proto::etcdserverpb::request_op::Request;
use proto::etcdserverpb::watch_request::RequestUnion;
use proto::health::HealthCheckRequest;
use proto::methods::{METHODS, path};
use proto::reflection::ServerReflectionRequest;
use proto::reflection::server_reflection_request::MessageRequest;
use proto::v3electionpb::{CampaignRequest, LeaderKey, LeaderRequest, ProclaimRequest, ResignRequest};
use proto::v3lockpb::{LockRequest, UnlockRequest};

type Piece = Vec<u8>;

fn call(path: &str, message: &impl Message) -> Piece {
    [vec![number(path)], message.encode_to_vec()].concat()
}

fn key(name: &str) -> Bytes {
    Bytes::copy_from_slice(name.as_bytes())
}

fn put(name: &str, lease: i64) -> pb::PutRequest {
    pb::PutRequest { key: key(name), value: key("value"), lease, prev_kv: true, ..Default::default() }
}

fn range() -> pb::RangeRequest {
    pb::RangeRequest { key: key("a"), range_end: key("z"), limit: 3, ..Default::default() }
}

fn txn() -> pb::TxnRequest {
    let op = |request| pb::RequestOp { request: Some(request) };
    let delete = pb::DeleteRangeRequest { key: key("a"), range_end: key("c"), prev_kv: true };
    let nested = pb::TxnRequest { success: vec![op(Request::RequestPut(put("n", 0)))], ..Default::default() };
    pb::TxnRequest {
        compare: vec![pb::Compare { key: key("a"), target: 1, range_end: key("b"), ..Default::default() }],
        success: vec![op(Request::RequestPut(put("t", 0))), op(Request::RequestRange(range()))],
        failure: vec![op(Request::RequestDeleteRange(delete)), op(Request::RequestTxn(nested))],
    }
}

fn keys() -> Vec<Piece> {
    let delete = pb::DeleteRangeRequest { key: key("a"), range_end: key("c"), prev_kv: true };
    let newest = pb::RangeRequest { sort_order: 2, sort_target: 3, min_mod_revision: 2, revision: 3, ..range() };
    vec![
        call(path::PUT, &put("a", 0)),
        call(path::PUT, &put("b", 0)),
        call(path::RANGE, &range()),
        call(path::RANGE, &newest),
        call(path::RANGE_STREAM, &pb::RangeRequest { limit: 0, ..range() }),
        call(path::TXN, &txn()),
        call(path::DELETE_RANGE, &delete),
        call(path::COMPACT, &pb::CompactionRequest { revision: 2, physical: true }),
        call(path::HASH_KV, &pb::HashKvRequest { revision: 0 }),
        call(path::HASH, &pb::HashRequest {}),
    ]
}

fn watches() -> Vec<Piece> {
    let watch = |union| pb::WatchRequest { request_union: Some(union) };
    let past = pb::WatchCreateRequest {
        key: key("a"),
        range_end: key("z"),
        start_revision: 1,
        prev_kv: true,
        progress_notify: true,
        fragment: true,
        filters: vec![1],
        watch_id: 7,
    };
    let mut more = vec![
        call(
            path::WATCH,
            &watch(RequestUnion::CreateRequest(pb::WatchCreateRequest { key: key("a"), ..past.clone() })),
        ),
        call(path::WATCH, &watch(RequestUnion::ProgressRequest(pb::WatchProgressRequest {}))),
        call(path::WATCH, &watch(RequestUnion::CancelRequest(pb::WatchCancelRequest { watch_id: 7 }))),
    ];
    more.iter_mut().for_each(|piece| piece[0] |= GOES_ON);
    let mut pieces = vec![call(path::WATCH, &watch(RequestUnion::CreateRequest(past))), call(path::PUT, &put("a", 0))];
    pieces.extend(more);
    pieces.push(call(path::TXN, &txn()));
    pieces
}

fn leases() -> Vec<Piece> {
    vec![
        call(path::LEASE_GRANT, &pb::LeaseGrantRequest { id: 7, ttl: 60 }),
        call(path::PUT, &put("l", 7)),
        call(path::LEASE_KEEP_ALIVE, &pb::LeaseKeepAliveRequest { id: 7 }),
        call(path::LEASE_TIME_TO_LIVE, &pb::LeaseTimeToLiveRequest { id: 7, keys: true }),
        call(path::LEASE_LEASES, &pb::LeaseLeasesRequest {}),
        call(path::LEASE_REVOKE, &pb::LeaseRevokeRequest { id: 7 }),
    ]
}

fn queues() -> Vec<Piece> {
    let leader = LeaderKey { name: key("e"), key: key("e/7"), rev: 3, lease: 7 };
    vec![
        call(path::LEASE_GRANT, &pb::LeaseGrantRequest { id: 7, ttl: 60 }),
        call(path::LOCK, &LockRequest { name: key("l"), lease: 7 }),
        call(path::LOCK, &LockRequest { name: key("l"), lease: 0 }),
        call(path::UNLOCK, &UnlockRequest { key: key("l/7") }),
        call(path::ELECTION_OBSERVE, &LeaderRequest { name: key("e") }),
        call(path::ELECTION_CAMPAIGN, &CampaignRequest { name: key("e"), lease: 7, value: key("one") }),
        call(path::ELECTION_CAMPAIGN, &CampaignRequest { name: key("e"), lease: 0, value: key("two") }),
        call(path::ELECTION_LEADER, &LeaderRequest { name: key("e") }),
        call(path::ELECTION_PROCLAIM, &ProclaimRequest { leader: Some(leader.clone()), value: key("again") }),
        call(path::ELECTION_RESIGN, &ResignRequest { leader: Some(leader) }),
    ]
}

fn house() -> Vec<Piece> {
    let reflected = |asked| ServerReflectionRequest { host: "here".to_owned(), message_request: Some(asked) };
    let symbol = MessageRequest::FileContainingSymbol("etcdserverpb.KV".to_owned());
    vec![
        call(path::MEMBER_LIST, &pb::MemberListRequest { linearizable: true }),
        call(path::STATUS, &pb::StatusRequest {}),
        call(path::ALARM, &pb::AlarmRequest { action: 1, member_id: 0, alarm: 1 }),
        call(path::PUT, &put("full", 0)),
        call(path::ALARM, &pb::AlarmRequest { action: 2, member_id: 0, alarm: 1 }),
        call(path::ALARM, &pb::AlarmRequest { action: 1, member_id: 0, alarm: 2 }),
        call(path::MOVE_LEADER, &pb::MoveLeaderRequest { target_id: 1 }),
        call(path::HEALTH_CHECK, &HealthCheckRequest { service: String::new() }),
        call(path::HEALTH_WATCH, &HealthCheckRequest { service: String::new() }),
        call(path::REFLECTION, &reflected(symbol)),
        call(path::REFLECTION_V1ALPHA, &reflected(MessageRequest::ListServices(String::new()))),
    ]
}

/// The stories, each of their calls alone, and every method with nothing.
pub fn seeds() -> Vec<Vec<u8>> {
    let stories = [keys(), watches(), leases(), queues(), house()];
    let mut seeds: Vec<Vec<u8>> = stories.iter().map(|story| join(story.iter().map(Vec::as_slice))).collect();
    seeds.extend(stories.iter().flatten().map(|piece| join([piece.as_slice()])));
    seeds.extend((0..METHODS.len()).map(|number| join([&[number as u8][..]])));
    seeds
}

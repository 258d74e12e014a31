//! The services of gRPC: calls of every method, with any bytes for a message, to a member in this process. An answer or a
//! status comes, the member goes on, and who watches all keys is told each revision once and in order.

mod call;
mod member;
mod seeds;

pub use seeds::seeds;

use call::{Call, Client};
use proto::etcdserverpb as pb;
use proto::methods::{METHODS, Method, path};
use std::collections::BTreeMap;

/// Calls that have no end of their own, or may have to wait for others.
const STAYING: [&str; 5] =
    [path::WATCH, path::ELECTION_OBSERVE, path::HEALTH_WATCH, path::LOCK, path::ELECTION_CAMPAIGN];
/// Calls of one input; more are left out.
const CALLS_MAX: usize = 64;
/// In front of a message: it goes on where a call of this method has begun.
const GOES_ON: u8 = 0x80;
/// Codes that a member alone may answer with, whatever it is asked.
const CODES: [&str; 10] = ["0", "2", "3", "5", "8", "9", "11", "12", "13", "15"];

/// Pieces: the number of a method ([`METHODS`]) and a message.
pub fn calls(bytes: &[u8]) {
    member::ask(bytes);
}

/// The method of a piece's first byte.
fn method(number: u8) -> &'static Method {
    &METHODS[usize::from(number & !GOES_ON) % METHODS.len()]
}

/// The other way round.
fn number(path: &str) -> u8 {
    METHODS.iter().position(|method| method.path == path).expect("a method") as u8
}

async fn feed(client: &mut Client, bytes: &[u8]) {
    let mut all = client.begin(path::WATCH);
    all.send(&watch_all(), false);
    let created: pb::WatchResponse = all.next().await;
    assert!(created.created && !created.canceled, "{created:?}");
    let mut open: BTreeMap<&str, Vec<Call>> = BTreeMap::new();
    for piece in crate::pieces(bytes).into_iter().take(CALLS_MAX) {
        let Some((&first, message)) = piece.split_first() else { continue };
        let method = method(first);
        let begun = open.entry(method.path).or_default();
        if let Some(call) = begun.last_mut()
            && method.client_streaming
            && first & GOES_ON != 0
        {
            call.send(message, false);
            continue;
        }
        let mut call = client.begin(method.path);
        let stays = STAYING.contains(&method.path);
        call.send(message, !(stays && method.client_streaming));
        if stays {
            begun.push(call);
            continue;
        }
        let (code, words) = call.end().await;
        assert!(CODES.contains(&code.as_str()), "{}: {code} {words}", method.path);
        assert_eq!(code == "0", words.is_empty(), "{}: {code} {words}", method.path);
    }
    disarm(client).await;
    let revision = is_well(client).await;
    follow(&mut all, created.header.expect("a header").revision, revision).await;
    for (path, calls) in open {
        calls.into_iter().for_each(|call| look(path, call));
    }
    drop(all);
    sweep(client).await;
}

fn watch_all() -> Vec<u8> {
    let create = pb::WatchCreateRequest { range_end: vec![0].into(), ..Default::default() };
    let create = pb::watch_request::RequestUnion::CreateRequest(create);
    prost::Message::encode_to_vec(&pb::WatchRequest { request_union: Some(create) })
}

/// Each revision up to this one is told once, in its order; a compaction may have been quicker.
async fn follow(all: &mut Call, before: i64, revision: i64) {
    let mut last = before;
    while last < revision {
        let response: pb::WatchResponse = all.next().await;
        if response.canceled {
            assert!(response.compact_revision > last, "{response:?} after {last}");
            return;
        }
        for event in &response.events {
            let told = event.kv.as_ref().expect("an event has a key").mod_revision;
            assert!(told == last || told == last + 1, "revision {told} after {last}");
            last = told;
        }
    }
}

/// What a call has been told so far; what it waits for is not waited for.
fn look(path: &str, mut call: Call) {
    let mut last: BTreeMap<i64, i64> = BTreeMap::new();
    for message in call.heard() {
        if path != path::WATCH {
            continue;
        }
        let response: pb::WatchResponse = prost::Message::decode(message).expect("a response");
        if response.created {
            last.remove(&response.watch_id);
        }
        for event in &response.events {
            let told = event.kv.as_ref().expect("an event has a key").mod_revision;
            let before = last.insert(response.watch_id, told).unwrap_or(0);
            assert!(told >= before, "watch {} is told {told} after {before}", response.watch_id);
        }
    }
}

/// The member serves reads, leases and its status; its revision.
async fn is_well(client: &mut Client) -> i64 {
    let _: pb::StatusResponse = client.ask(path::STATUS, &pb::StatusRequest {}).await;
    let left = pb::LeaseTimeToLiveRequest { id: 1, keys: true };
    let _: pb::LeaseTimeToLiveResponse = client.ask(path::LEASE_TIME_TO_LIVE, &left).await;
    let range = pb::RangeRequest { key: vec![0].into(), range_end: vec![0].into(), ..Default::default() };
    let found: pb::RangeResponse = client.ask(path::RANGE, &range).await;
    assert_eq!(found.count as usize, found.kvs.len());
    found.header.expect("a header").revision
}

/// Takes back every alarm.
async fn disarm(client: &mut Client) {
    let alarms: pb::AlarmResponse = client.ask(path::ALARM, &pb::AlarmRequest::default()).await;
    for alarm in alarms.alarms {
        let request = pb::AlarmRequest { action: 2, member_id: alarm.member_id, alarm: alarm.alarm };
        let _: pb::AlarmResponse = client.ask(path::ALARM, &request).await;
    }
}

/// Leaves nothing to the next input but the revision.
async fn sweep(client: &mut Client) {
    let leases: pb::LeaseLeasesResponse = client.ask(path::LEASE_LEASES, &pb::LeaseLeasesRequest {}).await;
    for lease in leases.leases {
        let mut call = client.begin(path::LEASE_REVOKE);
        call.send(&prost::Message::encode_to_vec(&pb::LeaseRevokeRequest { id: lease.id }), true);
        // It may have ended by itself.
        let (code, words) = call.end().await;
        assert!(["0", "5"].contains(&code.as_str()), "{code} {words}");
    }
    let all = pb::DeleteRangeRequest { key: vec![0].into(), range_end: vec![0].into(), ..Default::default() };
    let gone: pb::DeleteRangeResponse = client.ask(path::DELETE_RANGE, &all).await;
    if gone.deleted > 0 {
        let revision = gone.header.expect("a header").revision;
        let compaction = pb::CompactionRequest { revision, physical: false };
        let _: pb::CompactionResponse = client.ask(path::COMPACT, &compaction).await;
    }
}

//! What many waiters for a lock cost, and that they go with their connection.

use bytes::Bytes;
use prost::Message;
use proto::etcdserverpb::{
    LeaseGrantRequest, LeaseGrantResponse, LeaseLeasesRequest, LeaseLeasesResponse, RangeRequest, RangeResponse,
};
use proto::methods::path;
use proto::v3lockpb::{LockRequest, LockResponse};
use std::time::Duration;
use tokio::time::{sleep, timeout};

use crate::client::{Client, frame};
use crate::member::{Member, call};

/// How long anything may take that is not itself the question.
const PATIENCE: Duration = Duration::from_secs(60);

async fn keys(client: &mut Client) -> usize {
    let request =
        RangeRequest { key: "many/".into(), range_end: "many0".into(), count_only: true, ..Default::default() };
    let found: RangeResponse = call(client, path::RANGE, request).await;
    found.count as usize
}

async fn leases(client: &mut Client) -> usize {
    let all: LeaseLeasesResponse = call(client, path::LEASE_LEASES, LeaseLeasesRequest {}).await;
    all.leases.len()
}

/// Waits until both keys and leases are so many.
async fn until(client: &mut Client, count: usize) {
    let looking = async {
        while keys(client).await != count || leases(client).await != count {
            sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(timeout(PATIENCE, looking).await.is_ok(), "there are never {count} keys and leases");
}

#[tokio::test]
async fn a_waiter_is_small_and_goes_with_its_connection() {
    const WAITERS: usize = 2_000;
    /// A stream of HTTP/2, a task, a watch on two keys, a lease and a key.
    const WAITER_BYTES_MAX: usize = 24 * 1024;
    let member = Member::start().await;
    let mut holder = member.client().await;
    let granted: LeaseGrantResponse = call(&mut holder, path::LEASE_GRANT, LeaseGrantRequest { ttl: 600, id: 7 }).await;
    let request = LockRequest { name: "many".into(), lease: granted.id };
    let held: LockResponse = call(&mut holder, path::LOCK, request).await;
    assert_eq!(held.key, "many/7");

    let mut waiters = member.client().await;
    let before = member.resident_bytes();
    let mut calls = Vec::new();
    for _ in 0..WAITERS {
        let mut waiting = waiters.begin(path::LOCK, &[]);
        let request = LockRequest { name: "many".into(), lease: 0 };
        waiting.send.send_data(Bytes::from(frame(&request.encode_to_vec())), true).unwrap();
        calls.push(waiting);
    }
    until(&mut holder, WAITERS + 1).await;
    let each = member.resident_bytes().saturating_sub(before) / WAITERS;
    assert!(each <= WAITER_BYTES_MAX, "{each} bytes for each waiter");

    drop(calls);
    drop(waiters);
    until(&mut holder, 1).await;
}

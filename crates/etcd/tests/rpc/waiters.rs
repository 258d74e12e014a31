//! What many waiters for a lock cost, and that they go with their connection.

use bytes::Bytes;
use prost::Message;
use proto::etcdserverpb::{
    LeaseGrantRequest, LeaseGrantResponse, LeaseLeasesRequest, LeaseLeasesResponse, PutRequest, PutResponse,
    WatchCreateRequest,
};
use proto::methods::path;
use proto::mvccpb::event::EventType;
use proto::v3lockpb::{LockRequest, LockResponse};

use crate::client::{Client, frame};
use crate::member::{Member, call};
use crate::watch::Watching;

/// How many leases there are, by who keeps house: when a write is answered, that one has heard of all before it.
async fn leases(client: &mut Client) -> usize {
    let _: PutResponse = call(client, path::PUT, PutRequest { key: "heard".into(), ..Default::default() }).await;
    let all: LeaseLeasesResponse = call(client, path::LEASE_LEASES, LeaseLeasesRequest {}).await;
    all.leases.len()
}

/// Listens until there are so many keys, of which there were `before`.
async fn listen(watching: &mut Watching, before: usize, count: usize) {
    let mut keys = before;
    while keys != count {
        for event in watching.next().await.events {
            match event.r#type() {
                EventType::Put => keys += 1,
                EventType::Delete => keys -= 1,
            }
        }
    }
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

    // HTTP/2's library counts small frames that wait against this window, and there may be thousands.
    let mut builder = h2::client::Builder::new();
    builder.initial_connection_window_size(16 << 20);
    let mut watcher = Client::with(member.connect().await.unwrap(), &builder).await;
    let mut watching = Watching::open(&mut watcher).await;
    let queue = WatchCreateRequest { key: "many/".into(), range_end: "many0".into(), ..Default::default() };
    watching.create(queue).await;
    let mut waiters = member.client().await;
    let before = member.resident_bytes();
    let mut calls = Vec::new();
    for _ in 0..WAITERS {
        let mut waiting = waiters.begin(path::LOCK, &[]);
        let request = LockRequest { name: "many".into(), lease: 0 };
        waiting.send.send_data(Bytes::from(frame(&request.encode_to_vec())), true).unwrap();
        calls.push(waiting);
    }
    // Who has a key has a lease, and loses both at once.
    listen(&mut watching, 1, WAITERS + 1).await;
    assert_eq!(leases(&mut holder).await, WAITERS + 1);
    let each = member.resident_bytes().saturating_sub(before) / WAITERS;
    assert!(each <= WAITER_BYTES_MAX, "{each} bytes for each waiter");

    drop(calls);
    drop(waiters);
    listen(&mut watching, WAITERS + 1, 1).await;
    assert_eq!(leases(&mut holder).await, 1);
}

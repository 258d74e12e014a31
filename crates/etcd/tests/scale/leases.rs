//! Many leases that end in the same second.

use crate::edge_client::in_time;
use crate::memory::MIB;
use crate::{harness, many, memory};
use client::Client;
use proto::etcdserverpb::{LeaseGrantRequest, PutRequest, RangeRequest, WatchCreateRequest};
use proto::mvccpb::event::EventType;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const LEASES: usize = 100_000;
/// What they may take, with a key each (docs/operating.md).
const LEASES_BYTES: u64 = 128 * MIB;
/// Seconds from the first grant until all end, if granting takes no longer than that.
const UNTIL_THE_END: u64 = 30;
/// No lease is granted for less.
const TTL_MIN: u64 = 3;

fn key(number: usize) -> String {
    format!("leased/{number:06}")
}

/// Counts what lives below the leases' prefix.
async fn count(client: &Client) -> i64 {
    let range = RangeRequest {
        key: "leased/".into(),
        range_end: client::range::prefix_end(b"leased/"),
        count_only: true,
        ..RangeRequest::default()
    };
    client.range(range).await.expect("a count").count
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_leases_end_in_the_same_second() {
    let _turn = harness::alone().await;
    let cluster = memory::alone("scale-leases").await;
    let leases = memory::number("LEASES", LEASES);
    memory::forget_peak(&cluster.members[0]);
    let idle = memory::resident(&cluster.members[0]);
    let client = cluster.client();
    let watch = WatchCreateRequest {
        key: "leased/".into(),
        range_end: client::range::prefix_end(b"leased/"),
        filters: vec![0],
        ..WatchCreateRequest::default()
    };
    let mut watching = client.watch_stream(watch).await.expect("a stream");
    assert!(in_time("a watch", watching.next()).await.expect("it lives").expect("an answer").created);

    let begun = Instant::now();
    // The earliest moment at which each may end, in milliseconds since then.
    let promised: Arc<Vec<AtomicU32>> = Arc::new((0..leases).map(|_| AtomicU32::new(0)).collect());
    let (granting, promises) = (client.clone(), promised.clone());
    many::in_parts(leases, move |part| {
        let (client, promised) = (granting.clone(), promises.clone());
        async move {
            let mut grants = tokio::task::JoinSet::new();
            for number in part.clone() {
                let client = client.clone();
                let ttl = UNTIL_THE_END.saturating_sub(begun.elapsed().as_secs()).max(TTL_MIN);
                let promise = begun.elapsed() + Duration::from_secs(ttl);
                promised[number].store(promise.as_millis() as u32, Ordering::Relaxed);
                grants.spawn(async move {
                    let request = LeaseGrantRequest { id: number as i64 + 1, ttl: ttl as i64 };
                    client.lease_grant(request).await.expect("a lease");
                });
            }
            grants.join_all().await;
            let puts = part.map(|number| PutRequest {
                key: key(number).into(),
                lease: number as i64 + 1,
                ..PutRequest::default()
            });
            many::put_all(&client, puts).await;
        }
    })
    .await;

    println!("{leases} leases with a key each were granted after {:?}", begun.elapsed());
    // Somebody works while they end.
    let ended = Arc::new(AtomicBool::new(false));
    let (worker, is_over) = (client.clone(), ended.clone());
    let answered = Arc::new(Mutex::new(0_u32));
    let counted = answered.clone();
    let working = tokio::spawn(async move {
        while !is_over.load(Ordering::Relaxed) {
            let put = PutRequest { key: "beside".into(), ..PutRequest::default() };
            let revision = worker.put(put).await.expect("a put beside").header.expect("a header").revision;
            let range = RangeRequest { key: "beside".into(), ..RangeRequest::default() };
            let read = worker.range(range).await.expect("a read beside");
            assert!(read.kvs[0].mod_revision >= revision, "it is linearizable");
            *counted.lock().expect("nobody fails with it") += 1;
        }
    });
    let mut gone = vec![false; leases];
    let mut first_end = None;
    let mut last_end = Duration::ZERO;
    for _ in 0..leases {
        // Several may come in one response; they are counted below.
        if gone.iter().all(|&gone| gone) {
            break;
        }
        let response = in_time("the end of a lease", watching.next()).await.expect("it lives").expect("it goes on");
        let now = begun.elapsed();
        for event in response.events {
            assert_eq!(event.r#type, EventType::Delete as i32);
            let key = event.kv.expect("an event has a key").key;
            let number: usize = std::str::from_utf8(&key[7..]).expect("a number").parse().expect("a number");
            let promise = u128::from(promised[number].load(Ordering::Relaxed));
            assert!(now.as_millis() >= promise, "lease {number} ended {} ms early", promise - now.as_millis());
            assert!(!std::mem::replace(&mut gone[number], true), "key {number} was deleted twice");
            first_end.get_or_insert(now);
            last_end = now;
        }
    }
    ended.store(true, Ordering::Relaxed);
    working.await.expect("all that was asked beside was answered");
    assert_eq!(count(&client).await, 0, "all keys are gone");
    assert_eq!(client.lease_list().await.expect("a list").leases.len(), 0, "all leases are gone");
    assert!(*answered.lock().expect("nobody fails with it") > 10, "the member went on answering");
    println!("the first key went after {first_end:?}, the last after {last_end:?}");
    memory::check(&format!("{leases} leases"), memory::peak(&cluster.members[0]).saturating_sub(idle), LEASES_BYTES);
}

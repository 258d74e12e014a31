//! Ten thousand watchers of one key, of which one in a hundred does not read.

use crate::edge_client::{Reader, frame, in_time};
use crate::harness::{self, PATIENCE};
use crate::memory::{self, MIB};
use crate::slow;
use client::{Client, WatchStream};
use proto::etcdserverpb::watch_request::RequestUnion;
use proto::etcdserverpb::{PutRequest, WatchCreateRequest, WatchRequest, WatchResponse};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const CONNECTIONS: usize = 4;
/// Streams that are read.
const STREAMS: usize = 99;
pub const WATCHERS_PER_STREAM: usize = 100;
const PUTS: i64 = 40;
const VALUE_BYTES: usize = 256;
/// What ten thousand watchers may take that wait for events, and what telling them may take besides
/// (docs/operating.md).
const WAITING_BYTES: u64 = 64 * MIB;
const TELLING_BYTES: u64 = 64 * MIB;

fn create() -> WatchCreateRequest {
    WatchCreateRequest { key: "watched".into(), ..WatchCreateRequest::default() }
}

/// What each watch of a stream was told last.
#[derive(Default)]
struct Told(BTreeMap<i64, i64>);

impl Told {
    /// Each event once, in order.
    fn take(&mut self, response: &WatchResponse, first: i64) {
        assert!(!response.canceled, "{response:?}");
        let next = self.0.entry(response.watch_id).or_insert(first);
        for event in &response.events {
            let kv = event.kv.as_ref().expect("an event has a key");
            assert_eq!(kv.mod_revision, *next, "watch {}", response.watch_id);
            assert_eq!(kv.value.len(), VALUE_BYTES);
            *next += 1;
        }
    }

    fn is_complete(&self, last: i64) -> bool {
        self.0.len() == WATCHERS_PER_STREAM && self.0.values().all(|&next| next == last + 1)
    }
}

/// A stream on which watches have been created, each as `create` says of its number.
pub async fn open_stream(client: Client, create: impl Fn(usize) -> WatchCreateRequest) -> WatchStream {
    let mut stream = client.watch_stream(create(0)).await.expect("a stream");
    for number in 0..WATCHERS_PER_STREAM {
        if number > 0 {
            stream.create(create(number)).await;
        }
        let created = in_time("a watch", stream.next()).await.expect("the stream lives").expect("an answer");
        assert!(created.created && !created.canceled);
    }
    stream
}

async fn read_all(mut stream: WatchStream, first: i64, last: i64) {
    let mut told = Told::default();
    while !told.is_complete(last) {
        let response = in_time("an event", stream.next()).await.expect("the stream lives").expect("it goes on");
        told.take(&response, first);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_watchers_of_one_key_and_some_do_not_read() {
    let _turn = harness::alone().await;
    let cluster = memory::alone("scale-watchers").await;
    let member = &cluster.members[0];
    let clients: Vec<Client> = (0..CONNECTIONS).map(|_| member.client()).collect();
    memory::forget_peak(member);
    let idle = memory::resident(member);

    let mut opening = tokio::task::JoinSet::new();
    for number in 0..STREAMS {
        opening.spawn(open_stream(clients[number % CONNECTIONS].clone(), |_| create()));
    }
    let streams = opening.join_all().await;
    let mut connection = slow::connect(member, 1_000).await;
    let mut call = connection.begin("/etcdserverpb.Watch/Watch", &[]);
    for _ in 0..WATCHERS_PER_STREAM {
        let request = WatchRequest { request_union: Some(RequestUnion::CreateRequest(create())) };
        let message = frame(&prost::Message::encode_to_vec(&request));
        call.send.send_data(message.into(), false).expect("the connection lives");
    }
    let mut slow = Reader::new(call.body().await);
    for _ in 0..WATCHERS_PER_STREAM {
        let created: WatchResponse = slow.next().await.expect("an answer");
        assert!(created.created && !created.canceled);
    }
    memory::check("10,000 watchers that wait", memory::peak(member) - idle, WAITING_BYTES);

    memory::forget_peak(member);
    let before = memory::resident(member);
    let writer = &clients[0];
    let header = writer.status().await.expect("a status").header.expect("a header");
    let (first, last) = (header.revision + 1, header.revision + PUTS);
    let begun = Instant::now();
    let mut reading = tokio::task::JoinSet::new();
    streams.into_iter().for_each(|stream| drop(reading.spawn(read_all(stream, first, last))));
    for _ in 0..PUTS {
        let put = PutRequest { key: "watched".into(), value: vec![b'v'; VALUE_BYTES].into(), ..PutRequest::default() };
        writer.put(put).await.expect("a put");
    }
    // One stream is not read, and all others are told everything.
    tokio::time::timeout(4 * PATIENCE, reading.join_all()).await.expect("those who read are told");
    println!("all that read were told {PUTS} events each after {:?}", begun.elapsed());
    memory::check("telling them", memory::peak(member).saturating_sub(before), TELLING_BYTES);

    // It was behind, and now it reads: it is told everything too.
    let mut told = Told::default();
    while !told.is_complete(last) {
        let response = tokio::time::timeout(PATIENCE, slow.next::<WatchResponse>()).await.expect("it is told");
        told.take(&response.expect("the stream goes on"), first);
    }
    memory::check("telling those who were behind", memory::peak(member).saturating_sub(before), TELLING_BYTES);
    // Nothing comes twice.
    let silence = tokio::time::timeout(Duration::from_millis(200), slow.next::<WatchResponse>()).await;
    assert!(silence.is_err(), "{silence:?}");
}

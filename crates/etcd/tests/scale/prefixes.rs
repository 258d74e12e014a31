//! Ten thousand watchers of prefixes in which nothing happens, while others write as fast as they can.

use crate::edge_client::in_time;
use crate::harness::{self, PATIENCE};
use crate::memory::{self, MIB};
use crate::watchers::{WATCHERS_PER_STREAM, open_stream};
use client::{Client, WatchStream};
use proto::etcdserverpb::{PutRequest, WatchCreateRequest};
use std::time::Instant;

const CONNECTIONS: usize = 4;
const STREAMS: usize = 100;
/// Keys that are written, each again and again.
const KEYS: usize = 10_000;
const WRITERS: usize = 64;
const PUTS_PER_WRITER: usize = 400;
const VALUE_BYTES: usize = 512;
/// What writing may take beside them: what waits for Hub, and Store's own (docs/operating.md).
const WRITING_BYTES: u64 = 64 * MIB;

fn prefix(name: String) -> WatchCreateRequest {
    let range_end = client::range::prefix_end(name.as_bytes());
    WatchCreateRequest { key: name.into(), range_end, ..WatchCreateRequest::default() }
}

fn put(number: usize) -> PutRequest {
    let key = format!("written/{:06}", number % KEYS);
    PutRequest { key: key.into(), value: vec![b'v'; VALUE_BYTES].into(), ..PutRequest::default() }
}

async fn write(client: Client, writer: usize) {
    for number in 0..PUTS_PER_WRITER {
        client.put(put(writer * PUTS_PER_WRITER + number)).await.expect("a put");
    }
}

/// Each revision once, in order; those who watch everything that is written see that nothing is left out.
async fn read_all(mut stream: WatchStream, first: i64, last: i64) {
    let mut next = first;
    while next <= last {
        let response = in_time("an event", stream.next()).await.expect("the stream lives").expect("it goes on");
        assert!(!response.canceled, "{response:?}");
        for event in response.events {
            assert_eq!(event.kv.expect("an event has a key").mod_revision, next);
            next += 1;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_watchers_of_other_prefixes_hold_up_nobody() {
    let _turn = harness::alone().await;
    let cluster = memory::alone("scale-prefixes").await;
    let member = &cluster.members[0];
    let clients: Vec<Client> = (0..CONNECTIONS).map(|_| member.client()).collect();
    let mut opening = tokio::task::JoinSet::new();
    for stream in 0..STREAMS {
        // Half of them before the keys that are written, half behind, and all begin like them.
        let side = if stream % 2 == 0 { "writtem" } else { "writtex" };
        let number = move |watch: usize| stream * WATCHERS_PER_STREAM + watch;
        let create = move |watch: usize| prefix(format!("{side}/{:06}/", number(watch)));
        opening.spawn(open_stream(clients[stream % CONNECTIONS].clone(), create));
    }
    let _quiet = opening.join_all().await;
    let witness = open_stream(member.client(), |watch| {
        if watch == 0 { prefix("written/".to_owned()) } else { prefix(format!("witness/{watch}/")) }
    });
    let witness = in_time("the witness", witness).await;
    let writer = &clients[0];
    let header = writer.status().await.expect("a status").header.expect("a header");
    let (first, last) = (header.revision + 1, header.revision + (WRITERS * PUTS_PER_WRITER) as i64);
    memory::forget_peak(member);
    let before = memory::resident(member);

    let begun = Instant::now();
    let reading = tokio::spawn(read_all(witness, first, last));
    let mut writing = tokio::task::JoinSet::new();
    for number in 0..WRITERS {
        writing.spawn(write(clients[number % CONNECTIONS].clone(), number));
    }
    tokio::time::timeout(4 * PATIENCE, writing.join_all()).await.expect("who writes is answered");
    println!("{} puts answered after {:?}", WRITERS * PUTS_PER_WRITER, begun.elapsed());
    memory::check("writing beside 10,000 watchers of prefixes", memory::peak(member) - before, WRITING_BYTES);
    // Who comes now is told too, however many others there are.
    let begun = Instant::now();
    let create = prefix("late/".to_owned());
    let mut late = in_time("a stream", writer.watch_stream(create)).await.expect("a stream");
    let created = in_time("a watch", late.next()).await.expect("the stream lives").expect("an answer");
    assert!(created.created && created.header.expect("a header").revision == last);
    let put = PutRequest { key: "late/1".into(), value: "v".into(), ..PutRequest::default() };
    writer.put(put).await.expect("a put");
    let told = in_time("an event", late.next()).await.expect("the stream lives").expect("it goes on");
    println!("a watch that comes then is created and told its first event after {:?}", begun.elapsed());
    assert_eq!(told.events.len(), 1);
    assert_eq!(told.events[0].kv.as_ref().expect("a key").mod_revision, last + 1);
    reading.await.expect("the witness is told everything, once and in order");
}

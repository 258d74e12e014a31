//! Watchers that never read, among others that do: step by step, so that a delay of anybody would be a halt.

use crate::edge_client::{Client as RawClient, Reader, frame, in_time};
use crate::harness;
use crate::memory::{self, MIB};
use crate::slow;
use proto::etcdserverpb::watch_request::RequestUnion;
use proto::etcdserverpb::{PutRequest, WatchCreateRequest, WatchRequest, WatchResponse};

/// Streams that nobody reads.
const UNREAD: usize = 200;
/// What such a stream takes without being read: less than one event.
const WINDOW_BYTES: u32 = 500;
const PUTS: i64 = 300;
const VALUE_BYTES: usize = 4 << 10;
/// All that is owed to those who do not read is 240 MB; what may be held for them.
const HELD_BYTES: u64 = 64 * MIB;

/// A stream of one watch that has been created.
async fn watch(connection: &mut RawClient) -> (Reader, h2::SendStream<bytes::Bytes>) {
    let create = WatchCreateRequest { key: "watched".into(), ..WatchCreateRequest::default() };
    let create = WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) };
    let mut call = connection.begin("/etcdserverpb.Watch/Watch", &[]);
    let message = frame(&prost::Message::encode_to_vec(&create));
    call.send.send_data(message.into(), false).expect("the connection lives");
    let mut told = Reader::new(call.body().await);
    assert!(told.next::<WatchResponse>().await.expect("an answer").created);
    (told, call.send)
}

async fn told(reader: &mut Reader, revision: i64) {
    let response: WatchResponse = reader.next().await.expect("the stream goes on");
    let revisions: Vec<i64> =
        response.events.iter().map(|event| event.kv.as_ref().expect("a key").mod_revision).collect();
    assert_eq!(revisions, [revision]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_read_holds_up_nobody() {
    let _turn = harness::alone().await;
    let cluster = memory::alone("scale-unread").await;
    let member = &cluster.members[0];
    let mut narrow = slow::connect(member, WINDOW_BYTES).await;
    let mut unread = Vec::new();
    for _ in 0..UNREAD {
        unread.push(watch(&mut narrow).await);
    }
    // Those who read have connections of their own, and so has the writer.
    let mut wide = [slow::connect(member, 1 << 20).await, slow::connect(member, 1 << 20).await];
    let mut readers = Vec::new();
    for connection in &mut wide {
        readers.push(watch(connection).await);
    }
    let writer = member.client();
    memory::forget_peak(member);
    let before = memory::resident(member);
    let mut first = 0;
    for number in 0..PUTS {
        // Each is answered, and told to all who read, before there is another: nothing can be made good later.
        let put = PutRequest { key: "watched".into(), value: vec![b'v'; VALUE_BYTES].into(), ..PutRequest::default() };
        let answer = in_time("a writer's answer", writer.put(put)).await.expect("a put");
        let revision = answer.header.expect("a header").revision;
        if number == 0 {
            first = revision;
        }
        assert_eq!(revision, first + number);
        for (reader, _) in &mut readers {
            told(reader, revision).await;
        }
    }
    memory::check("telling beside those who do not read", memory::peak(member).saturating_sub(before), HELD_BYTES);

    // Not one of their events has left the member as a whole; now they read, and all of it comes.
    for (reader, _) in unread.iter_mut().take(3) {
        let mut next = first;
        while next < first + PUTS {
            let response: WatchResponse = reader.next().await.expect("the stream goes on");
            assert!(!response.canceled, "{response:?}");
            for event in response.events {
                assert_eq!(event.kv.expect("a key").mod_revision, next);
                next += 1;
            }
        }
    }
}

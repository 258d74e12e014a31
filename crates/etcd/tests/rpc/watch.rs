//! Watch streams: what is said, in which order, and what survives.

use bytes::Bytes;
use h2::SendStream;
use prost::Message;
use proto::etcdserverpb::watch_request::RequestUnion;
use proto::etcdserverpb::{
    CompactionRequest, CompactionResponse, DeleteRangeRequest, DeleteRangeResponse, PutRequest, PutResponse,
    WatchCancelRequest, WatchCreateRequest, WatchProgressRequest, WatchRequest, WatchResponse,
};
use proto::methods::path;

use crate::client::{Client, Reader, frame};
use crate::member::{Member, call};

/// One watch stream.
pub struct Watching {
    send: SendStream<Bytes>,
    heard: Reader,
}

impl Watching {
    pub async fn open(client: &mut Client) -> Watching {
        let mut call = client.begin(path::WATCH, &[("hasleader", "true")]);
        let heard = Reader::new(call.body().await);
        Watching { send: call.send, heard }
    }

    fn say(&mut self, request: RequestUnion) {
        let request = WatchRequest { request_union: Some(request) };
        self.send.send_data(Bytes::from(frame(&request.encode_to_vec())), false).unwrap();
    }

    pub async fn create(&mut self, request: WatchCreateRequest) -> WatchResponse {
        self.say(RequestUnion::CreateRequest(request));
        let response = self.next().await;
        assert!(response.created);
        response
    }

    pub async fn next(&mut self) -> WatchResponse {
        self.heard.next().await.expect("the stream goes on")
    }
}

fn on(key: &'static str) -> WatchCreateRequest {
    WatchCreateRequest { key: key.into(), ..Default::default() }
}

async fn put(client: &mut Client, key: &'static str, value: &'static str) -> i64 {
    let request = PutRequest { key: key.into(), value: value.into(), ..Default::default() };
    let made: PutResponse = call(client, path::PUT, request).await;
    made.header.unwrap().revision
}

#[tokio::test]
async fn a_stream_tells_what_happens() {
    let member = Member::start().await;
    let mut client = member.client().await;
    let old = put(&mut client, "a", "old").await;
    let mut watching = Watching::open(&mut client).await;

    let created = watching.create(on("a")).await;
    assert_eq!((created.watch_id, created.header.unwrap().revision), (0, old));
    let revision = put(&mut client, "a", "new").await;
    let told = watching.next().await;
    assert_eq!((told.watch_id, told.header.unwrap().revision, told.events.len()), (0, revision, 1));
    let event = &told.events[0];
    assert_eq!((event.r#type, &event.kv.as_ref().unwrap().value[..]), (0, &b"new"[..]));
    assert_eq!(event.prev_kv, None);

    // A second watcher, with an id of its own, the past, and what was before.
    let past = WatchCreateRequest { watch_id: 7, start_revision: old, prev_kv: true, ..on("a") };
    assert_eq!(watching.create(past).await.watch_id, 7);
    let told = watching.next().await;
    assert_eq!((told.watch_id, told.events.len()), (7, 2));
    assert_eq!(told.events[1].prev_kv.as_ref().unwrap().value, "old");

    watching.say(RequestUnion::CancelRequest(WatchCancelRequest { watch_id: 0 }));
    let canceled = watching.next().await;
    assert!(canceled.canceled);
    assert_eq!((canceled.watch_id, canceled.cancel_reason.as_str()), (0, ""));

    watching.say(RequestUnion::ProgressRequest(WatchProgressRequest {}));
    let progress = watching.next().await;
    assert_eq!((progress.watch_id, progress.header.unwrap().revision, progress.events.len()), (-1, revision, 0));

    // A client that says no more goes on listening.
    watching.send.send_data(Bytes::new(), true).unwrap();
    let request = DeleteRangeRequest { key: "a".into(), ..Default::default() };
    let _: DeleteRangeResponse = call(&mut client, path::DELETE_RANGE, request).await;
    let told = watching.next().await;
    let event = &told.events[0];
    assert_eq!((told.watch_id, event.r#type), (7, 1));
    let kv = event.kv.as_ref().unwrap();
    assert_eq!((&kv.key[..], &kv.value[..], kv.mod_revision), (&b"a"[..], &b""[..], revision + 1));
}

#[tokio::test]
async fn refused_watches_say_why_and_leave_the_stream() {
    let member = Member::start().await;
    let mut client = member.client().await;
    for value in ["1", "2", "3"] {
        put(&mut client, "a", value).await;
    }
    let compaction = CompactionRequest { revision: 4, ..Default::default() };
    let _: CompactionResponse = call(&mut client, path::COMPACT, compaction).await;
    put(&mut client, "a", "4").await;
    let mut watching = Watching::open(&mut client).await;

    let empty = WatchCreateRequest { range_end: "A".into(), ..on("a") };
    let refused = watching.create(empty).await;
    assert!(refused.canceled);
    assert_eq!((refused.watch_id, refused.cancel_reason.as_str()), (-1, "mvcc: watcher range is empty"));

    let created = watching.create(WatchCreateRequest { watch_id: 5, start_revision: 2, ..on("a") }).await;
    assert!(!created.canceled);
    let gone = watching.next().await;
    assert!(gone.canceled);
    assert_eq!((gone.watch_id, gone.compact_revision, gone.header.unwrap().revision), (5, 4, 0));

    watching.create(WatchCreateRequest { watch_id: 6, ..on("b") }).await;
    let twice = watching.create(WatchCreateRequest { watch_id: 6, ..on("c") }).await;
    assert_eq!(twice.cancel_reason, "mvcc: duplicate watch ID provided on the WatchStream");
    put(&mut client, "b", "still told").await;
    assert_eq!(watching.next().await.watch_id, 6);
}

/// A client that does not read gets everything once it does, and delays nobody.
#[tokio::test]
async fn a_slow_reader_loses_nothing() {
    let member = Member::start().await;
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(20_000);
    let mut slow = Client::with(member.connect().await.unwrap(), &builder).await;
    let mut watching = Watching::open(&mut slow).await;
    watching.create(on("k")).await;

    let mut client = member.client().await;
    let mut revision = 0;
    for _ in 0..300 {
        let request = PutRequest { key: "k".into(), value: vec![b'v'; 1000].into(), ..Default::default() };
        let made: PutResponse = call(&mut client, path::PUT, request).await;
        revision = made.header.unwrap().revision;
    }
    let mut next = revision - 299;
    while next <= revision {
        for event in watching.next().await.events {
            assert_eq!(event.kv.unwrap().mod_revision, next);
            next += 1;
        }
    }
}

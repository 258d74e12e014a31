//! Every watcher is told everything it asked for, once and in order, whichever
//! member it asked and wherever the writes came in.

use crate::harness::{self, Cluster, PATIENCE};
use client::range::prefix_end;
use client::{Client, WatchStream, Watcher};
use proto::etcdserverpb::{CompactionRequest, DeleteRangeRequest, PutRequest, WatchCreateRequest, WatchResponse};
use proto::mvccpb::event::EventType;
use std::collections::BTreeMap;
use std::time::Duration;

fn prefix(text: &str) -> WatchCreateRequest {
    WatchCreateRequest {
        key: text.to_owned().into(),
        range_end: prefix_end(text.as_bytes()),
        ..WatchCreateRequest::default()
    }
}

async fn put(client: &Client, key: &str, value: &str) -> i64 {
    let put = PutRequest { key: key.to_owned().into(), value: value.to_owned().into(), ..PutRequest::default() };
    client.put(put).await.expect("a put").header.expect("a header").revision
}

async fn delete(client: &Client, key: &str) -> i64 {
    let delete = DeleteRangeRequest { key: key.to_owned().into(), ..DeleteRangeRequest::default() };
    client.delete(delete).await.expect("a delete").header.expect("a header").revision
}

/// The next response, in time.
async fn next(stream: &mut WatchStream) -> WatchResponse {
    let response = tokio::time::timeout(PATIENCE, stream.next()).await.expect("a response in time");
    response.expect("the stream goes on").expect("the stream goes on")
}

/// One event, flattened: revision, kind, key, value, value before.
type Told = (i64, EventType, String, String, String);

fn told(response: WatchResponse) -> Vec<Told> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("tests write text");
    let flat = |event: proto::mvccpb::Event| {
        let kind = event.r#type();
        let kv = event.kv.expect("an event has a key");
        let before = event.prev_kv.map(|kv| text(&kv.value)).unwrap_or_default();
        (kv.mod_revision, kind, text(&kv.key), text(&kv.value), before)
    };
    response.events.into_iter().map(flat).collect()
}

/// Events until there are this many.
async fn collect(stream: &mut WatchStream, count: usize) -> Vec<Told> {
    let mut events = Vec::new();
    while events.len() < count {
        let response = next(stream).await;
        assert!(!response.canceled, "{response:?}");
        events.extend(told(response));
    }
    events
}

#[tokio::test]
async fn through_one_member_what_went_through_others() {
    let _turn = harness::together().await;
    let cluster = Cluster::start("watch-others", 3, &[]).await;
    let clients: Vec<Client> = cluster.members.iter().map(|member| member.client()).collect();
    let mut streams = Vec::new();
    for client in &clients {
        let create = WatchCreateRequest { prev_kv: true, ..prefix("w/") };
        let mut stream = client.watch_stream(create).await.expect("a stream");
        assert!(next(&mut stream).await.created);
        streams.push(stream);
    }
    let mut expected: Vec<Told> = Vec::new();
    let mut values: BTreeMap<String, String> = BTreeMap::new();
    for number in 0..150 {
        let client = &clients[number % 3];
        let key = format!("w/{}", number % 7);
        put(client, "unwatched", "x").await;
        let before = values.get(&key).cloned().unwrap_or_default();
        if number % 10 == 9 && values.remove(&key).is_some() {
            let revision = delete(client, &key).await;
            expected.push((revision, EventType::Delete, key, String::new(), before));
        } else {
            let value = format!("value {number}");
            let revision = put(client, &key, &value).await;
            values.insert(key.clone(), value.clone());
            expected.push((revision, EventType::Put, key, value, before));
        }
    }
    for stream in &mut streams {
        assert_eq!(collect(stream, expected.len()).await, expected);
    }
    // The same from the past, from its middle, and only deletions.
    for (number, client) in clients.iter().enumerate() {
        let middle = expected[100].0;
        for start_revision in [1, middle, middle + 1] {
            let create = WatchCreateRequest { prev_kv: true, start_revision, ..prefix("w/") };
            let mut stream = client.watch_stream(create).await.expect("a stream");
            assert!(next(&mut stream).await.created);
            let owed: Vec<Told> = expected.iter().filter(|event| event.0 >= start_revision).cloned().collect();
            assert_eq!(collect(&mut stream, owed.len()).await, owed, "from {start_revision} through member {number}");
        }
        let create = WatchCreateRequest { prev_kv: true, start_revision: 1, filters: vec![0], ..prefix("w/") };
        let mut stream = client.watch_stream(create).await.expect("a stream");
        assert!(next(&mut stream).await.created);
        let owed: Vec<Told> = expected.iter().filter(|event| event.1 == EventType::Delete).cloned().collect();
        assert_eq!(collect(&mut stream, owed.len()).await, owed);
    }
}

#[tokio::test]
async fn the_future_begins_when_it_comes() {
    let _turn = harness::together().await;
    let cluster = Cluster::start("watch-future", 1, &[]).await;
    let client = cluster.client();
    let revision = put(&client, "w/now", "").await;
    let create = WatchCreateRequest { start_revision: revision + 3, ..prefix("w/") };
    let mut stream = client.watch_stream(create).await.expect("a stream");
    assert!(next(&mut stream).await.created);
    for _ in 0..5 {
        put(&client, "w/then", "").await;
    }
    let revisions: Vec<i64> = collect(&mut stream, 3).await.into_iter().map(|event| event.0).collect();
    assert_eq!(revisions, [revision + 3, revision + 4, revision + 5]);
}

#[tokio::test]
async fn the_compacted_past_cannot_be_told() {
    let _turn = harness::together().await;
    let cluster = Cluster::start("watch-compacted", 3, &[]).await;
    let follower = cluster.others(cluster.leader().await)[0];
    let client = cluster.members[follower].client();
    let mut revision = 0;
    for number in 0..20 {
        revision = put(&client, "w/key", &number.to_string()).await;
    }
    let compacted = revision - 5;
    client.compact(CompactionRequest { revision: compacted, physical: true }).await.expect("a compaction");
    let create = WatchCreateRequest { start_revision: compacted - 1, ..prefix("w/") };
    let mut stream = client.watch_stream(create).await.expect("a stream");
    let created = next(&mut stream).await;
    assert!(created.created && !created.canceled);
    let canceled = next(&mut stream).await;
    assert!(canceled.canceled && canceled.events.is_empty(), "{canceled:?}");
    assert_eq!((canceled.compact_revision, canceled.watch_id), (compacted, created.watch_id));
    assert_eq!(
        Watcher::cancellation(&canceled).expect("over").to_string(),
        "etcdserver: mvcc: required revision has been compacted"
    );
    // The stream goes on, and at the compacted revision there is history.
    stream.create(WatchCreateRequest { start_revision: compacted, ..prefix("w/") }).await;
    assert!(next(&mut stream).await.created);
    let revisions: Vec<i64> = collect(&mut stream, 6).await.into_iter().map(|event| event.0).collect();
    assert_eq!(revisions, (compacted..=revision).collect::<Vec<_>>());
}

#[tokio::test]
async fn progress_when_asked_and_from_time_to_time() {
    let _turn = harness::together().await;
    let cluster = Cluster::start("watch-progress", 3, &["--watch-progress-notify-interval", "100ms"]).await;
    let [one, other] = [0, 1].map(|number| cluster.members[number].client());
    let create = WatchCreateRequest { progress_notify: true, ..prefix("w/") };
    let mut stream = one.watch_stream(create).await.expect("a stream");
    let watch_id = next(&mut stream).await.watch_id;
    let revision = put(&other, "elsewhere", "").await;
    // Unasked, with the watch's own id, as soon as this member has got there.
    loop {
        let notice = next(&mut stream).await;
        assert!(notice.events.is_empty());
        assert_eq!(notice.watch_id, watch_id);
        if notice.header.expect("a header").revision >= revision {
            break;
        }
    }
    // Asked, for the whole stream; and never ahead of an event.
    let revision = put(&other, "w/key", "").await;
    let mut seen = 0;
    let asked = loop {
        stream.request_progress().await;
        let response = next(&mut stream).await;
        seen += response.events.len();
        let at = response.header.expect("a header").revision;
        if response.events.is_empty() && at >= revision {
            assert_eq!(seen, 1, "told that all up to {at} was delivered before the event of {revision}");
        }
        if response.watch_id == -1 && at >= revision {
            break response;
        }
    };
    assert!(asked.events.is_empty() && !asked.created && !asked.canceled);
}

#[tokio::test]
async fn many_watches_on_one_stream() {
    const WATCHES: usize = 500;
    let _turn = harness::together().await;
    let cluster = Cluster::start("watch-many", 3, &[]).await;
    let follower = cluster.others(cluster.leader().await)[0];
    let client = cluster.members[follower].client();
    let key = |number: usize| format!("w/{number:04}");
    let watch = |number: usize| WatchCreateRequest { key: key(number).into(), ..WatchCreateRequest::default() };
    let mut stream = client.watch_stream(watch(0)).await.expect("a stream");
    let mut ids: BTreeMap<i64, usize> = BTreeMap::new();
    for number in 0..WATCHES {
        if number > 0 {
            stream.create(watch(number)).await;
        }
        let created = next(&mut stream).await;
        assert!(created.created && !created.canceled);
        assert!(ids.insert(created.watch_id, number).is_none(), "an id given twice");
    }
    // Every second one is taken back.
    let ended: Vec<i64> = ids.iter().filter(|(_, number)| **number % 2 == 1).map(|(id, _)| *id).collect();
    for id in &ended {
        stream.cancel(*id).await;
        let canceled = next(&mut stream).await;
        assert!(canceled.canceled, "{canceled:?}");
        assert_eq!(canceled.watch_id, *id);
        ids.remove(id);
    }
    // All keys in few transactions, so that one revision has many events.
    let writer = cluster.client();
    for chunk in (0..WATCHES).collect::<Vec<_>>().chunks(100) {
        let puts = chunk.iter().map(|&number| proto::etcdserverpb::RequestOp {
            request: Some(proto::etcdserverpb::request_op::Request::RequestPut(PutRequest {
                key: key(number).into(),
                value: "once".into(),
                ..PutRequest::default()
            })),
        });
        let txn = proto::etcdserverpb::TxnRequest { success: puts.collect(), ..Default::default() };
        writer.txn(txn).await.expect("a txn");
    }
    let mut seen: BTreeMap<i64, usize> = BTreeMap::new();
    while seen.len() < ids.len() {
        let response = next(&mut stream).await;
        let id = response.watch_id;
        for event in told(response) {
            assert_eq!(Some(&event.2), ids.get(&id).map(|number| key(*number)).as_ref(), "watch {id}");
            *seen.entry(id).or_default() += 1;
        }
    }
    assert!(seen.values().all(|count| *count == 1), "{seen:?}");
}

/// The member that is watched through dies; the watch goes on through another
/// with no event missing and none twice.
#[tokio::test]
async fn a_watch_outlives_its_member() {
    let _turn = harness::together().await;
    let mut cluster = Cluster::start("watch-outlives", 3, &[]).await;
    let mut watcher = cluster.client().watch(WatchCreateRequest { start_revision: 1, ..prefix("load/") });
    let load = crate::load::Load::start(&cluster, "load", 4, &[0, 1, 2]);
    let watched = tokio::spawn(async move {
        let mut seen: BTreeMap<String, i64> = BTreeMap::new();
        let mut last = 0;
        loop {
            let response = watcher.next().await.expect("the watch goes on").expect("the watch goes on");
            for event in response.events {
                let kv = event.kv.expect("an event has a key");
                assert!(kv.mod_revision > last, "revision {} after {last}", kv.mod_revision);
                last = kv.mod_revision;
                let key = String::from_utf8(kv.key.to_vec()).expect("writers write text");
                if key == "load/end" {
                    return seen;
                }
                seen.insert(key, kv.mod_revision);
            }
        }
    });
    for number in 0..3 {
        load.goes_on(50).await;
        cluster.members[number].kill();
        load.goes_on(50).await;
        cluster.members[number].start();
        cluster.leader().await;
    }
    let acknowledged = load.stop().await;
    put(&cluster.client(), "load/end", "").await;
    let seen = tokio::time::timeout(PATIENCE, watched).await.expect("the end is seen").expect("nothing twice");
    for (key, revision) in acknowledged {
        assert_eq!(seen.get(&key), Some(&revision), "{key}");
    }
}

/// Asked with `hasleader`, a stream ends when its member has lost the leader.
#[tokio::test]
async fn a_watch_that_requires_a_leader() {
    let _turn = harness::together().await;
    let mut cluster = Cluster::start("watch-leader", 3, &[]).await;
    let client = cluster.members[0].client().with_require_leader();
    let mut stream = client.watch_stream(prefix("w/")).await.expect("a stream");
    assert!(next(&mut stream).await.created);
    cluster.members[1].kill();
    cluster.members[2].kill();
    let ended = tokio::time::timeout(Duration::from_secs(10), stream.next()).await.expect("ended in time");
    assert_eq!(ended.expect_err("no leader").to_string(), "etcdserver: no leader");
}

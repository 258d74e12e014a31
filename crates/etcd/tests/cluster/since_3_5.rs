//! What 3.6 and 3.7 changed since 3.5.1, and what 3.5.1 gets wrong: each row of
//! the table "What is not compared with 3.5.1" in COMPAT.md, shown by the real
//! one and by ours. A function is named as its row is.

use crate::harness::{self, Cluster, PATIENCE};
use crate::raw;
use client::{Client, WatchStream};
use proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use proto::etcdserverpb::request_op::Request;
use proto::etcdserverpb::*;
use proto::methods::path;

const REAL: usize = 0;
const OURS: usize = 1;

/// Both kinds, `count` members each; the second list of flags is the real one's.
async fn both(title: &str, count: usize, flags: &[&str]) -> [Cluster; 2] {
    let real = vec![harness::real_program(); count];
    let mut clusters = [
        Cluster::plan_of(&format!("{title}-real"), real, flags),
        Cluster::plan_of(&format!("{title}-ours"), vec![harness::our_program(); count], &[]),
    ];
    for cluster in &mut clusters {
        cluster.start_all();
        cluster.leader().await;
    }
    clusters
}

/// The same story told to both; what came of it.
async fn told<T>(title: &str, story: impl AsyncFn(&Client) -> T) -> [T; 2] {
    let [real, ours] = both(title, 1, &[]).await;
    [story(&real.client()).await, story(&ours.client()).await]
}

async fn put(client: &Client, key: &str, lease: i64) -> i64 {
    let put = PutRequest { key: key.to_owned().into(), value: "value".into(), lease, ..PutRequest::default() };
    client.put(put).await.expect("a put").header.expect("a header").revision
}

fn all_keys() -> RangeRequest {
    RangeRequest { key: "\0".into(), range_end: "\0".into(), ..RangeRequest::default() }
}

async fn next(stream: &mut WatchStream) -> WatchResponse {
    let response = tokio::time::timeout(PATIENCE, stream.next()).await.expect("a response in time");
    response.expect("the stream goes on").expect("the stream goes on")
}

#[tokio::test]
async fn keys_only_lease() {
    let _turn = harness::together().await;
    let leases = told("keys-only", async |client| {
        client.lease_grant(LeaseGrantRequest { id: 7, ttl: 600 }).await.expect("a lease");
        put(client, "key", 7).await;
        let found = client.range(RangeRequest { keys_only: true, ..all_keys() }).await.expect("a range");
        let whole = client.range(all_keys()).await.expect("a range");
        (found.kvs[0].lease, whole.kvs[0].lease)
    });
    assert_eq!(leases.await, [(7, 7), (0, 7)]);
}

#[tokio::test]
async fn hash_revision() {
    let _turn = harness::together().await;
    let revisions = told("hash-revision", async |client| {
        for _ in 0..3 {
            put(client, "key", 0).await;
        }
        let [present, past] = [client.hash_kv(0).await.expect("a hash"), client.hash_kv(2).await.expect("a hash")];
        (present.hash_revision, past.hash_revision)
    });
    assert_eq!(revisions.await, [(0, 0), (4, 2)]);
}

#[tokio::test]
async fn hash_at_compacted() {
    let _turn = harness::together().await;
    let [real, ours] = told("hash-compacted", async |client| {
        for _ in 2..=6 {
            put(client, "key", 0).await;
        }
        client.compact(CompactionRequest { revision: 4, physical: true }).await.expect("a compaction");
        (client.hash_kv(4).await, client.hash_kv(5).await.expect("a hash").hash)
    })
    .await;
    let refused = real.0.expect_err("refused by 3.5");
    assert!(refused.says("etcdserver: mvcc: required revision has been compacted"), "{refused}");
    assert_eq!(ours.0.expect("a hash").compact_revision, 4);
    assert_eq!(real.1, ours.1);
}

/// 3.5 takes what lives to be kept from the index, and when that is nothing it
/// takes it for "no compaction", and hashes whatever rows are still there.
#[tokio::test]
async fn hash_while_compacting() {
    let _turn = harness::together().await;
    // So slow that it is under way for about two seconds.
    let clusters = both("hash-compacting", 1, &["--experimental-compaction-batch-limit", "50"]).await;
    let clients = [clusters[REAL].client(), clusters[OURS].client()];
    let mut first = Vec::new();
    for client in &clients {
        for txn in 0..40 {
            let put = |number| PutRequest { key: format!("{txn}/{number}").into(), ..PutRequest::default() };
            let op = |number| RequestOp { request: Some(Request::RequestPut(put(number))) };
            let txn = TxnRequest { success: (0..128).map(op).collect(), ..TxnRequest::default() };
            client.txn(txn).await.expect("a txn");
        }
        let all = DeleteRangeRequest { key: "\0".into(), range_end: "\0".into(), prev_kv: false };
        let revision = client.delete(all).await.expect("a delete").header.expect("a header").revision;
        client.compact(CompactionRequest { revision, physical: false }).await.expect("a compaction");
        first.push(client.hash_kv(0).await.expect("a hash").hash);
    }
    assert_ne!(first[REAL], first[OURS], "the real one has rows that are compacted in its hash");
    harness::until("the real one has deleted what was compacted", async || {
        let hash = clients[REAL].hash_kv(0).await.expect("a hash").hash;
        (hash == first[OURS]).then_some(())
    })
    .await;
    assert_eq!(clients[OURS].hash_kv(0).await.expect("a hash").hash, first[OURS]);
}

/// An order that is not known is none to 3.5.1; a target that is not known
/// ends its process.
#[tokio::test]
async fn sort_option() {
    let _turn = harness::together().await;
    let mut clusters = both("sort-option", 1, &[]).await;
    let order = RangeRequest { sort_order: 9, ..all_keys() };
    let target = RangeRequest { sort_target: 9, sort_order: SortOrder::Descend.into(), ..all_keys() };
    for cluster in &clusters {
        put(&cluster.client(), "a", 0).await;
        put(&cluster.client(), "b", 0).await;
    }
    let ask = async |cluster: &Cluster, range: &RangeRequest| {
        raw::unary::<_, RangeResponse>(&raw::channel(&cluster.members[0]), path::RANGE, range.clone()).await
    };
    for range in [&order, &target] {
        let refused = ask(&clusters[OURS], range).await.expect_err("refused");
        assert_eq!((refused.code() as i32, refused.message()), (3, "etcdserver: invalid sort option"));
    }
    assert_eq!(ask(&clusters[REAL], &order).await.expect("3.5.1 takes it").kvs.len(), 2);
    ask(&clusters[REAL], &target).await.expect_err("nobody is left to answer");
    assert!(!clusters[REAL].members[0].ended().await.success());
}

#[tokio::test]
async fn watch_negative_start() {
    let _turn = harness::together().await;
    let [real, ours] = told("watch-negative", async |client| {
        let create = WatchCreateRequest { key: "key".into(), start_revision: -5, ..WatchCreateRequest::default() };
        next(&mut client.watch_stream(create).await.expect("a stream")).await
    })
    .await;
    assert!(real.created && !real.canceled, "{real:?}");
    assert!(ours.created && ours.canceled, "{ours:?}");
    assert_eq!(ours.watch_id, -1);
    assert_eq!(ours.cancel_reason, "etcdserver: mvcc: required revision has been compacted");
}

/// A watcher that waits for the future is not synced.
#[tokio::test]
async fn progress_unsynced() {
    let _turn = harness::together().await;
    let answered = told("progress-unsynced", async |client| {
        let create = WatchCreateRequest { key: "key".into(), start_revision: 100, ..WatchCreateRequest::default() };
        let mut stream = client.watch_stream(create).await.expect("a stream");
        let created = next(&mut stream).await;
        stream.request_progress().await;
        // Its answer would come before this one's.
        stream.cancel(created.watch_id).await;
        let answer = next(&mut stream).await;
        assert!(answer.canceled || answer.watch_id == -1, "{answer:?}");
        !answer.canceled
    });
    assert_eq!(answered.await, [true, false]);
}

#[tokio::test]
async fn sort_ties() {
    let _turn = harness::together().await;
    let [real, ours] = told("sort-ties", async |client| {
        // Every third key has been put twice.
        for number in (0..40).chain((0..40).step_by(3)) {
            put(client, &format!("{number:02}"), 0).await;
        }
        let by_version = RangeRequest { sort_target: SortTarget::Version.into(), sort_order: 1, ..all_keys() };
        let found = client.range(by_version).await.expect("a range");
        found.kvs.into_iter().map(|kv| (kv.version, kv.key)).collect::<Vec<_>>()
    })
    .await;
    assert!(real.is_sorted_by_key(|(version, _)| *version));
    assert!(!real.is_sorted(), "3.5.1 lets equal keys lose their order");
    assert!(ours.is_sorted());
    assert_eq!(ours.len(), real.len());
}

/// Refusals and answers about progress have -1 as their id. In 3.5 a refusal
/// also takes that id off the list of those whose events are sent.
#[tokio::test]
async fn watch_id_minus_one() {
    let _turn = harness::together().await;
    let [real, ours] = told("watch-minus-one", async |client| {
        let watch = |watch_id| WatchCreateRequest { key: "key".into(), watch_id, ..WatchCreateRequest::default() };
        let mut stream = client.watch_stream(watch(-1)).await.expect("a stream");
        let created = next(&mut stream).await;
        assert!(created.created && created.watch_id == -1, "{created:?}");
        stream.create(watch(7)).await;
        assert_eq!(next(&mut stream).await.watch_id, 7);
        put(client, "key", 0).await;
        let mut before = [next(&mut stream).await.watch_id, next(&mut stream).await.watch_id];
        before.sort_unstable();
        assert_eq!(before, [-1, 7]);
        stream.create(watch(7)).await;
        let refused = next(&mut stream).await;
        assert_eq!(refused.cancel_reason, "mvcc: duplicate watch ID provided on the WatchStream");
        // Two events, so that the second says that the first went to all.
        put(client, "key", 0).await;
        put(client, "key", 0).await;
        let (mut seven, mut minus_one) = (0, 0);
        while seven < 2 {
            match next(&mut stream).await.watch_id {
                7 => seven += 1,
                id => minus_one -= id,
            }
        }
        minus_one
    })
    .await;
    assert_eq!(real, 0);
    assert!(ours > 0);
}

/// 3.5 drops the ranges of a transaction on members that do not answer the
/// client, and with them what they are refused for.
#[tokio::test]
async fn txn_range_refused() {
    let _turn = harness::together().await;
    let clusters = both("txn-range", 3, &[]).await;
    let mut present = Vec::new();
    for cluster in &clusters {
        let clients: Vec<Client> = cluster.members.iter().map(|member| member.client()).collect();
        let op = |request| RequestOp { request: Some(request) };
        let future = RangeRequest { key: "key".into(), revision: 100, ..RangeRequest::default() };
        let write = PutRequest { key: "written".into(), ..PutRequest::default() };
        let ops = vec![op(Request::RequestRange(future)), op(Request::RequestPut(write))];
        let refused = clients[0].txn(TxnRequest { success: ops, ..TxnRequest::default() }).await;
        let refused = refused.expect_err("a range in the future");
        assert!(refused.says("etcdserver: mvcc: required revision is a future revision"), "{refused}");
        put(&clients[0], "after", 0).await;
        for client in &clients {
            // Linearizable, so all before it is applied.
            client.range(all_keys()).await.expect("a range");
            let written = RangeRequest { key: "written".into(), serializable: true, ..RangeRequest::default() };
            present.push(client.range(written).await.expect("a range").count);
        }
    }
    assert_eq!(present, [0, 1, 1, 0, 0, 0]);
}

/// What is put is compared with what is deleted, but for deletions without end.
#[tokio::test]
async fn txn_keeps_deleted() {
    let _turn = harness::together().await;
    let mut clusters = both("txn-keeps", 1, &[]).await;
    let op = |request| RequestOp { request: Some(request) };
    let delete = DeleteRangeRequest { key: "a".into(), range_end: "\0".into(), prev_kv: false };
    let keep = PutRequest { key: "key".into(), ignore_value: true, ..PutRequest::default() };
    let txn = TxnRequest {
        success: vec![op(Request::RequestDeleteRange(delete)), op(Request::RequestPut(keep))],
        ..TxnRequest::default()
    };
    let mut answers = Vec::new();
    for cluster in &clusters {
        put(&cluster.client(), "key", 0).await;
        let channel = raw::channel(&cluster.members[0]);
        answers.push(raw::unary::<_, TxnResponse>(&channel, path::TXN, txn.clone()).await);
    }
    answers[REAL].as_ref().expect_err("nobody is left to answer");
    assert!(!clusters[REAL].members[0].ended().await.success());
    answers[OURS].as_ref().expect("an answer");
    let found = clusters[OURS].client().range(all_keys()).await.expect("a range");
    assert_eq!((&found.kvs[0].value[..], found.kvs[0].version), (&b"value"[..], 1));
}

#[tokio::test]
async fn tombstone_at_compacted() {
    let _turn = harness::together().await;
    let first = told("tombstone", async |client| {
        put(client, "key", 0).await;
        let delete = DeleteRangeRequest { key: "key".into(), ..DeleteRangeRequest::default() };
        let revision = client.delete(delete).await.expect("a delete").header.expect("a header").revision;
        client.compact(CompactionRequest { revision, physical: true }).await.expect("a compaction");
        put(client, "key", 0).await;
        let create = WatchCreateRequest { key: "key".into(), start_revision: 3, ..WatchCreateRequest::default() };
        let mut stream = client.watch_stream(create).await.expect("a stream");
        assert!(next(&mut stream).await.created);
        let told = next(&mut stream).await;
        told.events[0].kv.as_ref().expect("an event has a key").mod_revision
    });
    assert_eq!(first.await, [4, 3]);
}

/// After a start 3.5.1 reads the leases from 0 up to the greatest number, which
/// is not included.
#[tokio::test]
async fn lease_ids_at_restart() {
    let _turn = harness::together().await;
    let mut clusters = both("lease-restart", 1, &[]).await;
    let mut kept = Vec::new();
    for cluster in &mut clusters {
        for id in [i64::MIN, -1, 5, i64::MAX] {
            cluster.client().lease_grant(LeaseGrantRequest { id, ttl: 600 }).await.expect("a lease");
        }
        // It ends in order, so that all is in its database and not only in its log.
        cluster.members[0].signal(rustix::process::Signal::TERM);
        cluster.members[0].ended().await;
        cluster.members[0].start();
        cluster.leader().await;
        let listed = cluster.client().lease_list().await.expect("a list");
        let mut ids: Vec<i64> = listed.leases.iter().map(|lease| lease.id).collect();
        ids.sort_unstable();
        kept.push(ids);
    }
    assert_eq!(kept, [vec![5], vec![i64::MIN, -1, 5, i64::MAX]]);
}

/// 3.5.1 looks for the user of every token; later ones only while users are asked for.
#[tokio::test]
async fn token_while_auth_off() {
    let _turn = harness::together().await;
    let clusters = both("token", 1, &[]).await;
    let mut answers = Vec::new();
    for cluster in &clusters {
        let mut request = tonic::Request::new(all_keys());
        request.metadata_mut().insert("token", tonic::metadata::MetadataValue::from_static("of.another.day"));
        let channel = raw::channel(&cluster.members[0]);
        answers.push(raw::request::<_, RangeResponse>(&channel, path::RANGE, request).await);
    }
    let refused = answers[REAL].as_ref().expect_err("nobody has that token");
    assert_eq!((refused.code(), refused.message()), (tonic::Code::Unauthenticated, "etcdserver: invalid auth token"));
    assert_eq!(answers[OURS].as_ref().expect("an answer").count, 0);
}

#[tokio::test]
async fn text_no_utf8() {
    let _turn = harness::together().await;
    let clusters = both("utf8", 1, &[]).await;
    let mut answers = Vec::new();
    for cluster in &clusters {
        // On the wire as an AuthenticateRequest with name and password.
        let request = PutRequest { key: b"\xff"[..].into(), value: "x".into(), ..PutRequest::default() };
        let channel = raw::channel(&cluster.members[0]);
        answers.push(raw::unary::<_, AuthenticateResponse>(&channel, path::AUTHENTICATE, request).await);
    }
    let [real, ours] = [REAL, OURS].map(|side| answers[side].as_ref().expect_err("no token"));
    assert_eq!(real.message(), "etcdserver: authentication is not enabled");
    assert_eq!(ours.code(), tonic::Code::Internal);
    assert!(ours.message().starts_with("grpc: error unmarshalling request"), "{}", ours.message());
}

#[tokio::test]
async fn alarm_kind() {
    let _turn = harness::together().await;
    let mut clusters = both("alarm-kind", 1, &[]).await;
    let alarm = |action, alarm| AlarmRequest { action, member_id: 5, alarm };
    let mut answers = Vec::new();
    for cluster in &clusters {
        let channel = raw::channel(&cluster.members[0]);
        answers.push(raw::unary::<_, AlarmResponse>(&channel, path::ALARM, alarm(1, 9)).await);
    }
    answers[REAL].as_ref().expect_err("nobody is left to answer");
    assert!(!clusters[REAL].members[0].ended().await.success());
    let raised = [AlarmMember { member_id: 5, alarm: 9 }];
    assert_eq!(answers[OURS].as_ref().expect("an answer").alarms, raised);
    // It forbids nothing, is on after a start, and goes as others do.
    let channel = raw::channel(&clusters[OURS].members[0]);
    put(&clusters[OURS].client(), "key", 0).await;
    clusters[OURS].kill_all();
    clusters[OURS].start_all();
    clusters[OURS].leader().await;
    for (request, expected) in [(alarm(0, 0), &raised[..]), (alarm(2, 9), &raised), (alarm(0, 0), &[])] {
        let answer: AlarmResponse = raw::unary(&channel, path::ALARM, request).await.expect("an answer");
        assert_eq!(answer.alarms, expected, "{request:?}");
    }
}

//! What a learner is asked: it takes little, and says so as the real one does. Members are added by the real etcd.

use crate::harness::{self, Cluster};
use crate::raw;
use proto::etcdserverpb::watch_request::RequestUnion;
use proto::etcdserverpb::*;
use proto::health::{HealthCheckRequest, HealthCheckResponse};
use proto::methods::path;
use std::path::PathBuf;
use tonic::transport::Channel;
use tonic::{Code, Status};

/// A cluster of one real etcd, and `program` as its learner.
async fn with_learner(title: &str, program: PathBuf) -> Cluster {
    let mut cluster = Cluster::plan_of(title, vec![harness::real_program(), program], &[]);
    let alone = cluster.members[0].pair();
    let both = format!("{alone},{}", cluster.members[1].pair());
    let replace = |arguments: &mut Vec<String>, with: &str| {
        let at = arguments.iter().position(|argument| argument == "--initial-cluster").expect("it is given");
        with.clone_into(&mut arguments[at + 1]);
    };
    replace(&mut cluster.members[0].arguments, &alone);
    replace(&mut cluster.members[1].arguments, &both);
    cluster.members[1].flags(&["--initial-cluster-state", "existing"]);
    cluster.members[0].start();
    cluster.leader().await;
    let put = PutRequest { key: "k".into(), value: "v".into(), ..PutRequest::default() };
    cluster.members[0].client().put(put).await.expect("a put");
    let add = MemberAddRequest { peer_urls: vec![cluster.members[1].peer_url()], is_learner: true };
    let voter = raw::channel(&cluster.members[0]);
    let _: MemberAddResponse = raw::unary(&voter, path::MEMBER_ADD, add).await.expect("it is added");
    cluster.members[1].start();
    cluster.leader().await;
    cluster
}

fn said<R>(answer: Result<R, Status>) -> (i32, String) {
    answer.map_or_else(|status| (status.code() as i32, status.message().to_owned()), |_| (0, String::new()))
}

/// Each call to a learner, and what it says.
async fn asked(channel: &Channel) -> Vec<(&'static str, (i32, String))> {
    let range = |serializable| RangeRequest { key: "k".into(), serializable, ..RangeRequest::default() };
    let read = RequestOp { request: Some(request_op::Request::RequestRange(range(true))) };
    let txn = TxnRequest { success: vec![read], ..TxnRequest::default() };
    let watch = WatchCreateRequest { key: "k".into(), ..WatchCreateRequest::default() };
    let watch = WatchRequest { request_union: Some(RequestUnion::CreateRequest(watch)) };
    let keep = LeaseKeepAliveRequest { id: 1 };
    macro_rules! ask {
        ($answer:ty, $path:expr, $request:expr) => {
            ($path, said(raw::unary::<_, $answer>(channel, $path, $request).await))
        };
    }
    vec![
        ask!(StatusResponse, path::STATUS, StatusRequest {}),
        ask!(RangeResponse, path::RANGE, range(true)),
        ask!(RangeResponse, path::RANGE, range(false)),
        ask!(PutResponse, path::PUT, PutRequest { key: "k".into(), ..PutRequest::default() }),
        ask!(TxnResponse, path::TXN, txn),
        ask!(LeaseGrantResponse, path::LEASE_GRANT, LeaseGrantRequest { id: 0, ttl: 60 }),
        ask!(LeaseLeasesResponse, path::LEASE_LEASES, LeaseLeasesRequest {}),
        ask!(MemberListResponse, path::MEMBER_LIST, MemberListRequest { linearizable: false }),
        ask!(AlarmResponse, path::ALARM, AlarmRequest::default()),
        ask!(HashKvResponse, path::HASH_KV, HashKvRequest { revision: 0 }),
        ask!(HealthCheckResponse, path::HEALTH_CHECK, HealthCheckRequest::default()),
        ask!(WatchResponse, path::WATCH, watch),
        ask!(LeaseKeepAliveResponse, path::LEASE_KEEP_ALIVE, keep),
    ]
}

#[tokio::test]
async fn a_learner_takes_little_and_says_so() {
    let _turn = harness::together().await;
    let mut cluster = with_learner("learner", harness::our_program()).await;
    let learner = &cluster.members[1];
    assert!(learner.status().await.expect("a status").is_learner);
    let client = learner.client();
    let stale = RangeRequest { key: "k".into(), serializable: true, ..RangeRequest::default() };
    harness::until("the learner has learned", async || {
        client.range(stale.clone()).await.ok()?.kvs.first().map(|kv| assert_eq!(kv.value, "v"))
    })
    .await;
    let channel = raw::channel(learner);
    let ours = asked(&channel).await;
    let refusal = (Code::FailedPrecondition as i32, "etcdserver: rpc not supported for learner".to_owned());
    for (number, (path, said)) in ours.iter().enumerate() {
        let expected = if number < 2 { (0, String::new()) } else { refusal.clone() };
        assert_eq!(*said, expected, "{path}, call {number}");
    }
    let parts = raw::unary::<_, RangeStreamResponse>(&channel, path::RANGE_STREAM, stale.clone()).await;
    assert_eq!(said(parts), refusal, "etcd 3.7's own");
    drop(channel);

    // Who is removed ends by itself, and says why.
    let id = cluster.id(1).await;
    let voter = raw::channel(&cluster.members[0]);
    let remove = MemberRemoveRequest { id };
    let _: MemberRemoveResponse = raw::unary(&voter, path::MEMBER_REMOVE, remove).await.expect("it is removed");
    assert_eq!(cluster.members[1].ended().await.code(), Some(0));
    assert!(cluster.members[1].said().contains("permanently removed from the cluster"));

    let real = with_learner("learner-real", harness::real_program()).await;
    // The words are the same; their code was Unavailable before 3.6.
    let mut theirs = asked(&raw::channel(&real.members[1])).await;
    for (_, (code, _)) in &mut theirs {
        if *code == Code::Unavailable as i32 {
            *code = Code::FailedPrecondition as i32;
        }
    }
    assert_eq!(theirs, ours);
}

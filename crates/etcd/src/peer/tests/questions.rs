//! What members ask each other besides raft, and how.

use http::{Method, StatusCode};

use super::*;

#[tokio::test]
async fn questions_besides_raft() {
    let two = site(2).await;
    assert_eq!(
        ask(&two, "GET /members", "", "").await,
        (
            200,
            "[{\"id\":9372538179322589801,\"peerURLs\":[\"http://a:1\"],\"name\":\"m1\",\"clientURLs\":[\"http://a:2\"]},\
             {\"id\":2,\"peerURLs\":[\"http://b:1\"],\"isLearner\":true}]\n"
                .to_owned()
        )
    );
    assert_eq!(
        ask(&two, "GET /version", "", "").await.1,
        "{\"etcdserver\":\"3.7.1\",\"etcdcluster\":\"3.7.0\",\"storage\":\"3.7.0\"}"
    );
    assert_eq!(ask(&two, "GET /downgrade/enabled", "", "").await, (200, "false".to_owned()));
    let (status, body) = ask(&two, "GET /raft/probing", "", "").await;
    assert!(status == 200 && body.starts_with("{\"OK\":true,\"Now\":\"20") && body.ends_with("Z\"}\n"), "{body}");

    let (status, body) = ask(&two, "GET /members/hashkv", "", "{\"revision\":5}").await;
    assert_eq!(status, 200);
    let hash: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(hash, serde_json::json!({"header": {"revision": 5}, "hash": 77, "hash_revision": 5}));
    let future = "mvcc: required revision is a future revision\n".to_owned();
    assert_eq!(ask(&two, "GET /members/hashkv", "", "{\"revision\":6}").await, (400, future));
    let other = ask(&two, "GET /members/hashkv", "x-etcd-cluster-id: c2\r\n", "{}").await;
    assert_eq!(other, (412, "cluster ID mismatch\n".to_owned()));
}

#[tokio::test]
async fn leases_are_asked_for_at_the_leader() {
    let (one, two) = (site(1).await, site(2).await);
    one.knows(&[&two]);
    for _ in 0..3 {
        assert_eq!(one.peers.lease_keep_alive(2, 1).await.unwrap(), 60);
    }
    assert_eq!(one.peers.lease_keep_alive(2, 99).await.unwrap(), 0, "no such lease");
    assert!(matches!(one.peers.lease_keep_alive(2, 2).await, Err(ForwardError::ApplyTimeout)));
    assert!(matches!(one.peers.lease_keep_alive(2, 3).await, Err(ForwardError::NotPrimary)));
    assert!(matches!(one.peers.lease_keep_alive(7, 1).await, Err(ForwardError::NotPrimary)));
    let left = one.peers.lease_time_to_live(2, 1, true).await.unwrap();
    assert_eq!(left, RemainingLease { ttl: 59, granted_ttl: 60, keys: vec![Bytes::from_static(b"k")] });
    assert_eq!(one.peers.lease_time_to_live(2, 99, false).await.unwrap().ttl, -1);
    assert_eq!(remote::lock(&one.peers.inner.member(2).unwrap().lanes).len(), 1, "one connection served them all");
}

#[tokio::test]
async fn requests_are_built_as_etcd_expects_them() {
    let request = client::request(Method::POST, "http://h:1", "/raft", client::no_body());
    assert_eq!((request.uri().path(), request.headers()["host"].to_str().unwrap()), ("/raft", "h:1"));
    assert!(matches!(pipeline::check(StatusCode::NO_CONTENT, b""), Ok(())));
    let removed = b"{\"message\":\"cannot process message from removed member\"}";
    assert!(matches!(pipeline::check(StatusCode::FORBIDDEN, removed), Err(pipeline::PostError::Removed)));
    let mistaken = b"{\"message\":\"cannot process message to mismatch member\"}";
    assert!(matches!(pipeline::check(StatusCode::FORBIDDEN, mistaken), Err(pipeline::PostError::Status { .. })));
    let mismatch = pipeline::check(StatusCode::PRECONDITION_FAILED, b"cluster ID mismatch\n").unwrap_err();
    assert!(mismatch.to_string().contains("while posting: cluster ID mismatch ("));
}

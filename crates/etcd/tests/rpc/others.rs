//! Leases, the cluster, maintenance, health, and the pages beside gRPC.

use bytes::Bytes;
use prost::Message;
use proto::etcdserverpb::{
    AlarmRequest, AlarmResponse, HashKvRequest, HashKvResponse, HashRequest, HashResponse, LeaseGrantRequest,
    LeaseGrantResponse, LeaseKeepAliveRequest, LeaseKeepAliveResponse, LeaseLeasesRequest, LeaseLeasesResponse,
    LeaseRevokeRequest, LeaseRevokeResponse, LeaseTimeToLiveRequest, LeaseTimeToLiveResponse, MemberAddRequest,
    MemberListRequest, MemberListResponse, MoveLeaderRequest, MoveLeaderResponse, PutRequest, PutResponse,
    StatusRequest, StatusResponse,
};
use proto::health::{HealthCheckRequest, HealthCheckResponse, HealthListRequest, HealthListResponse};
use proto::methods::path;

use crate::client::{Reader, frame, messages};
use crate::member::{Member, call, refused};

fn words(code: &str, message: &str) -> (String, String) {
    (code.to_owned(), message.to_owned())
}

#[tokio::test]
async fn leases_live_and_end() {
    let member = Member::start().await;
    let mut client = member.client().await;
    let granted: LeaseGrantResponse = call(&mut client, path::LEASE_GRANT, LeaseGrantRequest { ttl: 60, id: 0 }).await;
    assert!(granted.id > 0);
    assert_eq!(granted.ttl, 60);
    let again = LeaseGrantRequest { ttl: 60, id: granted.id };
    assert_eq!(refused(&mut client, path::LEASE_GRANT, again).await, words("9", "etcdserver: lease already exists"));

    let request = PutRequest { key: "k".into(), lease: granted.id, ..Default::default() };
    let _: PutResponse = call(&mut client, path::PUT, request).await;
    let request = LeaseTimeToLiveRequest { id: granted.id, keys: true };
    let left: LeaseTimeToLiveResponse = call(&mut client, path::LEASE_TIME_TO_LIVE, request).await;
    assert_eq!((left.granted_ttl, &left.keys[..]), (60, &[Bytes::from("k")][..]));
    assert!((58..=60).contains(&left.ttl));
    let request = LeaseTimeToLiveRequest { id: 12345, keys: false };
    let left: LeaseTimeToLiveResponse = call(&mut client, path::LEASE_TIME_TO_LIVE, request).await;
    assert_eq!((left.id, left.ttl, left.granted_ttl), (12345, -1, 0));

    // One answer for each request, in their order; then the client's end is the stream's.
    let mut keeping = client.begin(path::LEASE_KEEP_ALIVE, &[]);
    let ask = |id| frame(&LeaseKeepAliveRequest { id }.encode_to_vec());
    keeping.send.send_data(Bytes::from([ask(granted.id), ask(12345)].concat()), true).unwrap();
    let answer = keeping.answer().await;
    assert_eq!(answer.grpc().0, "0");
    let kept = messages::<LeaseKeepAliveResponse>(&answer.body);
    let kept: Vec<_> = kept.iter().map(|kept| (kept.id, kept.ttl)).collect();
    assert_eq!(kept, [(granted.id, 60), (12345, 0)]);

    // Also many at once; what can be read is answered before what cannot.
    let mut keeping = client.begin(path::LEASE_KEEP_ALIVE, &[]);
    let id_of = |number: i64| if number % 3 == 0 { granted.id } else { 20_000 + number };
    let asked: Vec<u8> = (0..100).flat_map(|number| ask(id_of(number)).to_vec()).collect();
    keeping.send.send_data(Bytes::from([&asked[..], &frame(b"\xff")].concat()), true).unwrap();
    let answer = keeping.answer().await;
    assert_eq!(answer.grpc().0, "13", "{:?}", answer.grpc());
    let kept = messages::<LeaseKeepAliveResponse>(&answer.body);
    assert_eq!(kept.len(), 100);
    for (number, kept) in kept.iter().enumerate() {
        let id = id_of(number as i64);
        assert_eq!((kept.id, kept.ttl), (id, if id == granted.id { 60 } else { 0 }));
    }

    let all: LeaseLeasesResponse = call(&mut client, path::LEASE_LEASES, LeaseLeasesRequest {}).await;
    assert_eq!(all.leases.iter().map(|lease| lease.id).collect::<Vec<_>>(), [granted.id]);
    let revoke = LeaseRevokeRequest { id: granted.id };
    let revoked: LeaseRevokeResponse = call(&mut client, path::LEASE_REVOKE, revoke).await;
    assert_eq!(revoked.header.unwrap().revision, 3);
    let gone = words("5", "etcdserver: requested lease not found");
    assert_eq!(refused(&mut client, path::LEASE_REVOKE, revoke).await, gone);
}

#[tokio::test]
async fn a_member_tells_about_itself() {
    let member = Member::start().await;
    let mut client = member.client().await;
    let status: StatusResponse = call(&mut client, path::STATUS, StatusRequest {}).await;
    let header = status.header.unwrap();
    assert_eq!((status.version.as_str(), status.storage_version.as_str()), ("3.7.1", "3.7.0"));
    assert_eq!((status.leader, status.raft_term, header.revision), (header.member_id, header.raft_term, 1));
    assert!(status.raft_applied_index > 0 && status.raft_index >= status.raft_applied_index);
    assert_eq!((status.is_learner, status.errors.len(), status.db_size_quota), (false, 0, 2 << 30));

    let request = MemberListRequest { linearizable: true };
    let list: MemberListResponse = call(&mut client, path::MEMBER_LIST, request).await;
    let listed = list.header.unwrap();
    assert_eq!((listed.member_id, listed.revision), (header.member_id, 0));
    assert_eq!(list.members.len(), 1);
    assert_eq!((list.members[0].id, list.members[0].name.as_str()), (header.member_id, "m1"));
    assert_eq!(list.members[0].client_urls, [member.client_url()]);

    let hashed: HashKvResponse = call(&mut client, path::HASH_KV, HashKvRequest { revision: 0 }).await;
    assert_eq!((hashed.hash_revision, hashed.compact_revision), (1, -1));
    let _: HashResponse = call(&mut client, path::HASH, HashRequest {}).await;
    let future = refused(&mut client, path::HASH_KV, HashKvRequest { revision: 9 }).await;
    assert_eq!(future, words("11", "etcdserver: mvcc: required revision is a future revision"));

    let on = AlarmRequest { action: 1, member_id: header.member_id, alarm: 1 };
    let raised: AlarmResponse = call(&mut client, path::ALARM, on).await;
    assert_eq!((raised.alarms.len(), raised.alarms[0].alarm), (1, 1));
    let put = PutRequest { key: "k".into(), ..Default::default() };
    let full = words("8", "etcdserver: mvcc: database space exceeded");
    assert_eq!(refused(&mut client, path::PUT, put.clone()).await, full);
    let page = member.http("GET /health HTTP/1.1").await;
    assert!(page.starts_with("HTTP/1.1 503 "), "{page}");
    assert!(page.ends_with("\r\n\r\n{\"health\":\"false\",\"reason\":\"ALARM NOSPACE\"}\n"), "{page}");
    let off = AlarmRequest { action: 2, ..on };
    let _: AlarmResponse = call(&mut client, path::ALARM, off).await;
    let _: PutResponse = call(&mut client, path::PUT, put).await;

    let nobody = refused(&mut client, path::MOVE_LEADER, MoveLeaderRequest { target_id: 1 }).await;
    assert_eq!(nobody, words("9", "etcdserver: bad leader transferee"));
    let itself = MoveLeaderRequest { target_id: header.member_id };
    let _: MoveLeaderResponse = call(&mut client, path::MOVE_LEADER, itself).await;
}

#[tokio::test]
async fn health_and_what_is_not_there() {
    let member = Member::start().await;
    let mut client = member.client().await;
    let check = |service: &str| HealthCheckRequest { service: service.to_owned() };
    let good: HealthCheckResponse = call(&mut client, path::HEALTH_CHECK, check("")).await;
    assert_eq!(good.status, 1);
    let unknown = refused(&mut client, path::HEALTH_CHECK, check("etcdserverpb.KV")).await;
    assert_eq!(unknown, words("5", "unknown service"));
    let list: HealthListResponse = call(&mut client, path::HEALTH_LIST, HealthListRequest {}).await;
    assert_eq!(list.statuses[""].status, 1);

    let mut watching = client.begin(path::HEALTH_WATCH, &[]);
    watching.send.send_data(Bytes::from(frame(&check("other").encode_to_vec())), true).unwrap();
    let first: Option<HealthCheckResponse> = Reader::new(watching.body().await).next().await;
    assert_eq!(first.unwrap().status, 3);

    let missing = refused(&mut client, path::MEMBER_ADD, MemberAddRequest::default()).await;
    assert_eq!(missing, words("12", "etcdserver: MemberAdd is not implemented yet"));
    let missing = refused(&mut client, "/etcdserverpb.KV/Guess", StatusRequest {}).await;
    assert_eq!(missing, words("12", "unknown method Guess for service etcdserverpb.KV"));
    let garbled = client.call(path::PUT, &[], frame(b"\x0a\x05x")).await.grpc();
    assert!(garbled.0 == "13" && garbled.1.starts_with("grpc: error unmarshalling request"), "{garbled:?}");
    let answer = client.call(path::STATUS, &[("hasleader", "true"), ("client-api-version", "3.6")], frame(b"")).await;
    assert_eq!(answer.grpc().0, "0");
}

#[tokio::test]
async fn one_port_for_http_and_grpc() {
    let member = Member::start().await;
    // Connections that say nothing, or too little to tell, delay nobody.
    let _silent = member.connect().await.unwrap();
    let mut client = member.client().await;
    let _: HashResponse = call(&mut client, path::HASH, HashRequest {}).await;

    let version = member.http("GET /version HTTP/1.1").await;
    assert!(version.contains("\r\nContent-Type: application/json\r\n"), "{version}");
    let body = r#"{"etcdserver":"3.7.1","etcdcluster":"3.7.0","storage":"3.7.0"}"#;
    assert!(version.ends_with(&format!("\r\n\r\n{body}")), "{version}");
    let health = member.http("GET /health?serializable=true HTTP/1.1").await;
    assert!(health.ends_with("\r\n\r\n{\"health\":\"true\",\"reason\":\"\"}"), "{health}");
    let ready = member.http("GET /readyz?verbose&exclude=linearizable_read HTTP/1.1").await;
    let lines = "[+]data_corruption ok\n[+]serializable_read ok\n[+]disk_space ok\n[+]non_learner ok\nok\n";
    assert!(ready.ends_with(&format!("\r\n\r\n{lines}")), "{ready}");
    let nothing = member.http("GET /nothing HTTP/1.1").await;
    assert!(nothing.starts_with("HTTP/1.1 404 ") && nothing.ends_with("\r\n\r\n404 page not found\n"), "{nothing}");
    let wrong = member.http("DELETE /health HTTP/1.1").await;
    assert!(wrong.starts_with("HTTP/1.1 405 ") && wrong.contains("\r\nAllow: GET\r\n"), "{wrong}");
    assert!(wrong.ends_with("\r\n\r\nMethod Not Allowed\n"), "{wrong}");

    let metrics = member.http("GET /metrics HTTP/1.1").await;
    let hash = r#"grpc_method="Hash",grpc_service="etcdserverpb.Maintenance",grpc_type="unary"} 1"#;
    for line in [
        "\n# TYPE etcd_server_has_leader gauge\netcd_server_has_leader 1\n",
        "\n# TYPE etcd_server_proposals_failed_total counter\netcd_server_proposals_failed_total 0\n",
        "\netcd_server_version{server_version=\"3.7.1\"} 1\n",
        "\netcd_disk_wal_fsync_duration_seconds_bucket{le=\"0.001\"} ",
        &format!("\ngrpc_server_started_total{{{hash}\n"),
        &format!("\ngrpc_server_handled_total{{grpc_code=\"OK\",{hash}\n"),
    ] {
        assert!(metrics.contains(line), "{line}");
    }
}

//! Members of the real etcd and ours form one cluster: every kind leads in
//! turn, every request goes through every member, and the hash of the whole
//! history is the same on all.

use crate::harness::{self, Cluster};
use client::Client;
use proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use proto::etcdserverpb::request_op::Request;
use proto::etcdserverpb::{
    Compare, DeleteRangeRequest, LeaseGrantRequest, LeaseTimeToLiveRequest, MemberListRequest, PutRequest,
    RangeRequest, RequestOp, TxnRequest,
};

fn put(key: String, value: String, lease: i64) -> PutRequest {
    PutRequest { key: key.into(), value: value.into(), lease, ..PutRequest::default() }
}

/// One of every kind through this member. `tag` keeps rounds apart.
async fn one_of_each(client: &Client, tag: &str, lease: i64) {
    let found = async |key: String| {
        let range = RangeRequest { key: key.into(), ..RangeRequest::default() };
        let response = client.range(range).await.expect("a range");
        response.kvs.first().map(|kv| String::from_utf8_lossy(&kv.value).into_owned())
    };
    for number in 0..5 {
        client.put(put(format!("{tag}/key{number}"), format!("value{number}"), 0)).await.expect("a put");
    }
    let two = DeleteRangeRequest {
        key: format!("{tag}/key3").into(),
        range_end: format!("{tag}/key5").into(),
        prev_kv: true,
    };
    let deleted = client.delete(two).await.expect("a delete");
    assert_eq!((deleted.deleted, deleted.prev_kvs.len()), (2, 2));
    let guard = Compare {
        key: format!("{tag}/key0").into(),
        target: CompareTarget::Value.into(),
        result: CompareResult::Equal.into(),
        target_union: Some(TargetUnion::Value("value0".into())),
        ..Compare::default()
    };
    let op = |request| RequestOp { request: Some(request) };
    let txn = TxnRequest {
        compare: vec![guard],
        success: vec![
            op(Request::RequestPut(put(format!("{tag}/key0"), "swapped".to_owned(), 0))),
            op(Request::RequestDeleteRange(DeleteRangeRequest {
                key: format!("{tag}/key1").into(),
                ..Default::default()
            })),
            op(Request::RequestRange(RangeRequest { key: format!("{tag}/key2").into(), ..Default::default() })),
        ],
        failure: vec![op(Request::RequestPut(put(format!("{tag}/wrong"), String::new(), 0)))],
    };
    assert!(client.txn(txn.clone()).await.expect("a txn").succeeded);
    assert!(!client.txn(txn).await.expect("a txn").succeeded);
    assert_eq!(found(format!("{tag}/key0")).await.as_deref(), Some("swapped"));
    assert_eq!(found(format!("{tag}/key1")).await, None);

    client.lease_grant(LeaseGrantRequest { id: lease, ttl: 600 }).await.expect("a lease");
    client.put(put(format!("{tag}/leased"), "with a lease".to_owned(), lease)).await.expect("a put");
    let renewed = client.lease_keep_alive_once(lease).await.expect("a renewal");
    assert_eq!((renewed.id, renewed.ttl), (lease, 600));
    let left = client.lease_time_to_live(LeaseTimeToLiveRequest { id: lease, keys: true }).await.expect("what is left");
    assert_eq!(left.keys, [format!("{tag}/leased")]);
    if lease % 2 == 0 {
        client.lease_revoke(lease).await.expect("a revocation");
        assert_eq!(found(format!("{tag}/leased")).await, None);
    }
}

/// `ours` of three members are ours, the others are the real etcd.
async fn three(title: &str, ours: usize) {
    let _turn = harness::together().await;
    let programs = (0..3).map(|number| if number < ours { harness::our_program() } else { harness::real_program() });
    let mut cluster = Cluster::plan_of(title, programs.collect(), &[]);
    cluster.start_all();
    cluster.leader().await;
    let clients: Vec<Client> = cluster.members.iter().map(|member| member.client()).collect();
    let mut lease = 100;
    for leader in 0..3 {
        let now = cluster.leader().await;
        if now != leader {
            clients[now].move_leader(cluster.id(leader).await).await.expect("leadership moves");
        }
        assert_eq!(cluster.leader().await, leader);
        for (number, client) in clients.iter().enumerate() {
            lease += 1;
            one_of_each(client, &format!("led by {leader} through {number}"), lease).await;
        }
        cluster.same_everywhere().await;
    }
    // Everybody has everything, also after its own restart.
    for number in 0..3 {
        cluster.members[number].kill();
        let other = cluster.others(number)[0];
        cluster.leader().await;
        clients[other].put(put(format!("without {number}"), String::new(), 0)).await.expect("two of three are enough");
        cluster.members[number].start();
        cluster.leader().await;
    }
    cluster.same_everywhere().await;
}

#[tokio::test]
async fn one_of_ours_among_two_of_etcd() {
    three("mixed-one", 1).await;
}

#[tokio::test]
async fn two_of_ours_with_one_of_etcd() {
    three("mixed-two", 2).await;
}

/// A member that was away gets a snapshot from a leader of the other kind.
async fn snapshot(title: &str, ours: [bool; 3], from: usize, to: usize) {
    let _turn = harness::together().await;
    let program = |ours| if ours { harness::our_program() } else { harness::real_program() };
    let programs = ours.map(program).to_vec();
    let mut cluster = Cluster::plan_of(title, programs, &["--snapshot-count", "50"]);
    for member in cluster.members.iter_mut().filter(|member| member.program == harness::our_program()) {
        member.flags(&["--snapshot-catchup-entries", "5"]);
    }
    cluster.start_all();
    cluster.leader().await;
    cluster.members[to].kill();
    cluster.leader().await;
    let client = cluster.members[from].client();
    for number in 0..300 {
        client.put(put(format!("key{}", number % 40), format!("value{number}"), 0)).await.expect("a put");
    }
    one_of_each(&client, "before", 33).await;
    // The real one keeps 5000 entries in memory for those that lag, whatever it
    // is told; after a restart it has only those since its last snapshot.
    cluster.kill_all();
    for member in cluster.others(to) {
        cluster.members[member].start();
    }
    let now = cluster.leader().await;
    if now != from {
        cluster.members[now].client().move_leader(cluster.id(from).await).await.expect("leadership moves");
    }
    assert_eq!(cluster.leader().await, from);
    cluster.members[to].start();
    cluster.leader().await;
    cluster.same_everywhere().await;
    one_of_each(&cluster.members[to].client(), "after", 34).await;
    // Who is who was in it too.
    let members = cluster.members[to].client().member_list(MemberListRequest { linearizable: false }).await;
    for member in members.expect("a list").members {
        let named = cluster.members.iter().find(|one| one.name == member.name);
        let named = named.unwrap_or_else(|| panic!("nobody here is called {:?}", member.name));
        assert_eq!(member.peer_urls, [named.peer_url()]);
        // 3.5 has the client URLs beside its image.
        assert_eq!(member.client_urls, [named.client_url()]);
    }
    cluster.same_everywhere().await;
    assert!(cluster.members[to].said().contains("applied snapshot"), "it was brought up to date some other way");
}

#[tokio::test]
async fn a_snapshot_from_etcd_to_ours() {
    snapshot("mixed-to-ours", [true, false, false], 1, 0).await;
}

#[tokio::test]
async fn a_snapshot_from_ours_to_etcd() {
    snapshot("mixed-to-etcd", [true, true, false], 0, 2).await;
}

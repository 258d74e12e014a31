//! Members of the real etcd and ours form one cluster: every kind leads in
//! turn and is killed while it leads, every request goes through every member,
//! every watcher is told the same, and the hash of the history is the same on
//! all at every revision that is looked at.

use crate::harness::{self, Cluster, PATIENCE};
use crate::load::{Load, expect_all};
use client::{Client, Watcher};
use proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use proto::etcdserverpb::request_op::Request;
use proto::etcdserverpb::{
    CompactionRequest, Compare, DeleteRangeRequest, LeaseGrantRequest, LeaseTimeToLiveRequest, MemberListRequest,
    PutRequest, RangeRequest, RequestOp, TxnRequest, WatchCreateRequest,
};
use proto::mvccpb::Event;
use std::collections::BTreeSet;

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

/// One watcher of everything through each member, and what it was told.
struct Witnesses(Vec<(Watcher, Vec<Event>)>);

impl Witnesses {
    fn of(clients: &[Client]) -> Witnesses {
        let everything = WatchCreateRequest {
            range_end: "\0".into(),
            start_revision: 2,
            prev_kv: true,
            ..WatchCreateRequest::default()
        };
        Witnesses(clients.iter().map(|client| (client.watch(everything.clone()), Vec::new())).collect())
    }

    /// All were told the same up to this revision, and every revision.
    async fn agree(&mut self, revision: i64) {
        let last = |seen: &[Event]| seen.last().and_then(|event| event.kv.as_ref()).map_or(1, |kv| kv.mod_revision);
        for (watcher, seen) in &mut self.0 {
            while last(seen) < revision {
                let response = tokio::time::timeout(PATIENCE, watcher.next()).await.expect("a response in time");
                seen.extend(response.expect("the watch goes on").expect("the watch goes on").events);
            }
        }
        let mut told: Vec<i64> = self.0[0].1.iter().flat_map(|event| &event.kv).map(|kv| kv.mod_revision).collect();
        assert!(told.is_sorted());
        told.dedup();
        assert_eq!(told, (2..=revision).collect::<Vec<_>>());
        for (number, (_, seen)) in self.0.iter().enumerate() {
            assert!(seen == &self.0[0].1, "through {number} other events were told than through 0");
        }
    }
}

/// The present revision, once this member has applied it.
async fn present(client: &Client) -> i64 {
    let range = RangeRequest { key: "any".into(), count_only: true, ..RangeRequest::default() };
    client.range(range).await.expect("a range").header.expect("a header").revision
}

/// All members have the same hash at each of these revisions, and the same leases.
async fn agree_at(clients: &[Client], revisions: &[i64]) {
    let mut leases = Vec::new();
    for client in clients {
        present(client).await;
        let listed = client.lease_list().await.expect("a list");
        leases.push(listed.leases.iter().map(|lease| lease.id).collect::<BTreeSet<_>>());
    }
    assert!(leases.iter().all(|listed| listed == &leases[0]), "{leases:?}");
    for &revision in revisions {
        let mut hashes = Vec::new();
        for client in clients {
            let hash = client.hash_kv(revision).await.expect("a hash");
            hashes.push((hash.hash, hash.compact_revision));
        }
        assert!(hashes.iter().all(|hash| hash == &hashes[0]), "at {revision}: {hashes:?}");
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
    let mut witnesses = Witnesses::of(&clients);
    let mut lease = 100;
    for leader in 0..3 {
        let now = cluster.leader().await;
        if now != leader {
            clients[now].move_leader(cluster.id(leader).await).await.expect("leadership moves");
        }
        assert_eq!(cluster.leader().await, leader);
        let mut checked = Vec::new();
        for (number, client) in clients.iter().enumerate() {
            lease += 1;
            one_of_each(client, &format!("led by {leader} through {number}"), lease).await;
            checked.push(present(client).await);
        }
        witnesses.agree(*checked.last().expect("three")).await;
        agree_at(&clients, &checked).await;
        // Through each member once, some waiting for the rows to be gone.
        for (number, client) in clients.iter().enumerate() {
            let revision = checked[number] - 1;
            client.compact(CompactionRequest { revision, physical: number != leader }).await.expect("a compaction");
            agree_at(&clients, &[0, revision + 1, *checked.last().expect("three")]).await;
        }
        // This leader is lost, and nothing with it.
        let load = Load::start(&cluster, &format!("after {leader}"), 2, &[0, 1, 2]);
        load.goes_on(20).await;
        cluster.members[leader].kill();
        load.goes_on(50).await;
        cluster.members[leader].start();
        cluster.leader().await;
        load.goes_on(20).await;
        let acknowledged = load.stop().await;
        for client in &clients {
            expect_all(client, &format!("after {leader}"), &acknowledged).await;
        }
        cluster.same_everywhere().await;
        let now = present(&clients[leader]).await;
        witnesses.agree(now).await;
        agree_at(&clients, &[0, checked[2] + 1, (checked[2] + now) / 2, now]).await;
    }
    // Everybody has everything, also after its own restart.
    cluster.kill_all();
    cluster.start_all();
    cluster.leader().await;
    cluster.same_everywhere().await;
    let now = present(&clients[0]).await;
    agree_at(&clients, &[0, now - 1, now]).await;
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

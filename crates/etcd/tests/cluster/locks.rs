//! One holder, one leader at a time, in the order in which they came; and who
//! gives up leaves nothing behind.

use crate::harness::{self, Cluster, Member};
use crate::raw;
use client::Client;
use proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use proto::etcdserverpb::{CompactionRequest, LeaseGrantRequest, LeaseTimeToLiveRequest, PutRequest, RangeRequest};
use proto::methods::path;
use proto::v3electionpb::{
    CampaignRequest, CampaignResponse, LeaderKey, LeaderRequest, LeaderResponse, ProclaimRequest, ProclaimResponse,
    ResignRequest, ResignResponse,
};
use proto::v3lockpb::{LockRequest, LockResponse, UnlockRequest, UnlockResponse};
use tokio::task::JoinHandle;
use tonic::{Status, Streaming};

type Waiting<R> = JoinHandle<Result<R, Status>>;

async fn grant(client: &Client, id: i64) {
    client.lease_grant(LeaseGrantRequest { id, ttl: 600 }).await.expect("a lease");
}

/// When the key was created, as this member knows it now.
async fn created(client: &Client, key: &str) -> Option<i64> {
    let range = RangeRequest { key: key.to_owned().into(), ..RangeRequest::default() };
    let found = client.range(range).await.expect("a range");
    found.kvs.first().map(|kv| kv.create_revision)
}

async fn appears(client: &Client, key: &str) -> i64 {
    harness::appears(client, key).await.create_revision
}

async fn count(client: &Client, prefix: &str) -> i64 {
    let range_end = client::range::prefix_end(prefix.as_bytes());
    let range = RangeRequest { key: prefix.to_owned().into(), range_end, count_only: true, ..RangeRequest::default() };
    client.range(range).await.expect("a count").count
}

/// How many leases a member knows, which is not asked of a quorum.
async fn leases_of(client: &Client) -> usize {
    client.lease_list().await.expect("a list").leases.len()
}

fn lock(member: &Member, name: &str, lease: i64) -> Waiting<LockResponse> {
    let (channel, name) = (raw::channel(member), name.to_owned());
    tokio::spawn(async move { raw::unary(&channel, path::LOCK, LockRequest { name: name.into(), lease }).await })
}

async fn unlock(member: &Member, key: &str) -> i64 {
    let request = UnlockRequest { key: key.to_owned().into() };
    let unlocked: UnlockResponse = raw::unary(&raw::channel(member), path::UNLOCK, request).await.expect("it may");
    unlocked.header.expect("a header").revision
}

/// The key held, and the revision at which it was told so.
async fn held(waiting: Waiting<LockResponse>) -> (String, i64) {
    let answer = tokio::time::timeout(harness::PATIENCE, waiting).await.expect("in time").expect("no panic");
    let answer = answer.expect("the lock");
    (String::from_utf8(answer.key.to_vec()).expect("text"), answer.header.expect("a header").revision)
}

async fn refused<R: std::fmt::Debug>(waiting: Waiting<R>) -> String {
    let answer = tokio::time::timeout(harness::PATIENCE, waiting).await.expect("in time").expect("no panic");
    let status = answer.expect_err("a refusal");
    assert_eq!(status.code(), tonic::Code::Unknown);
    status.message().to_owned()
}

fn campaign(member: &Member, lease: i64, value: String) -> Waiting<CampaignResponse> {
    let channel = raw::channel(member);
    let request = CampaignRequest { name: "e".into(), lease, value: value.into() };
    tokio::spawn(async move { raw::unary(&channel, path::ELECTION_CAMPAIGN, request).await })
}

async fn elected(waiting: Waiting<CampaignResponse>) -> LeaderKey {
    let answer = tokio::time::timeout(harness::PATIENCE, waiting).await.expect("in time").expect("no panic");
    answer.expect("elected").leader.expect("a key")
}

/// Waiters on all members, each in the order in which its key was created,
/// whether the one before unlocks or loses its lease.
#[tokio::test]
async fn handed_on_in_the_order_of_arrival() {
    let _turn = harness::together().await;
    let cluster = Cluster::start("locks-order", 3, &[]).await;
    let client = cluster.client();
    let mut waiting = Vec::new();
    let mut places = Vec::new();
    // Names in another order than arrivals.
    for (number, lease) in [0x90, 0x10, 0x50, 0x30, 0x70, 0x20].into_iter().enumerate() {
        grant(&client, lease).await;
        waiting.push(lock(&cluster.members[number % 3], "order", lease));
        places.push((lease, appears(&client, &format!("order/{lease:x}")).await));
    }
    assert!(places.is_sorted_by_key(|(_, created)| *created), "{places:?}");
    let mut last = 0;
    let mut waiting = waiting.into_iter();
    for (number, (lease, created)) in places.into_iter().enumerate() {
        let (key, revision) = held(waiting.next().expect("one for each place")).await;
        assert!(waiting.as_slice().iter().all(|later| !later.is_finished()), "one at a time");
        assert_eq!(key, format!("order/{lease:x}"));
        assert!(revision >= created && revision > last, "held at {revision}, created at {created}");
        last = revision;
        if number % 2 == 0 {
            unlock(&cluster.members[(number + 1) % 3], &key).await;
        } else {
            client.lease_revoke(lease).await.expect("a revocation");
        }
    }
    assert_eq!(count(&client, "order/").await, 0);
}

/// The leader of the cluster dies, and members with waiters; nobody loses a
/// place.
#[tokio::test]
async fn places_outlive_members() {
    let _turn = harness::together().await;
    let mut cluster = Cluster::start("locks-loss", 3, &[]).await;
    let leader = cluster.leader().await;
    let [one, other] = cluster.others(leader)[..] else { panic!("three members") };
    let client = cluster.client_of(&[one, other]);
    for lease in 1..=4 {
        grant(&client, lease).await;
    }
    let (first, _) = held(lock(&cluster.members[leader], "loss", 1)).await;
    let second = lock(&cluster.members[one], "loss", 2);
    appears(&client, "loss/2").await;
    let third = lock(&cluster.members[leader], "loss", 3);
    let place = appears(&client, "loss/3").await;
    let fourth = lock(&cluster.members[other], "loss", 4);
    appears(&client, "loss/4").await;

    cluster.members[leader].kill();
    assert!(third.await.expect("no panic").is_err(), "its member has gone");
    cluster.leader().await;
    unlock(&cluster.members[other], &first).await;
    let (second, _) = held(second).await;
    // The same lease finds the same place, through any member.
    let third = lock(&cluster.members[other], "loss", 3);
    unlock(&cluster.members[one], &second).await;
    let (third, _) = held(third).await;
    assert_eq!(created(&client, &third).await, Some(place));
    client.lease_revoke(3).await.expect("a revocation");
    let (fourth, _) = held(fourth).await;
    assert_eq!(fourth, "loss/4");
}

/// Whose lease ends while it waits is told so then, not when the turn would
/// have come, and not that it has won.
#[tokio::test]
async fn a_lost_lease_is_told_at_once() {
    let _turn = harness::together().await;
    let cluster = Cluster::start("locks-lease", 3, &[]).await;
    let client = cluster.client();
    for lease in 1..=4 {
        grant(&client, lease).await;
    }
    held(lock(&cluster.members[0], "lease", 1)).await;
    let waiting = lock(&cluster.members[1], "lease", 2);
    appears(&client, "lease/2").await;
    let behind = lock(&cluster.members[2], "lease", 3);
    appears(&client, "lease/3").await;
    client.lease_revoke(2).await.expect("a revocation");
    assert_eq!(refused(waiting).await, "mutex: session is expired");
    // The one behind it waits for the holder now.
    assert!(!behind.is_finished());
    unlock(&cluster.members[0], "lease/1").await;
    assert_eq!(held(behind).await.0, "lease/3");

    elected(campaign(&cluster.members[0], 1, "one".into())).await;
    let waiting = campaign(&cluster.members[1], 4, "four".into());
    appears(&client, "e/4").await;
    client.lease_revoke(4).await.expect("a revocation");
    assert_eq!(refused(waiting).await, "election: not leader");
    assert_eq!(count(&client, "e/").await, 1);
}

/// A client that goes away while it waits leaves no key and no lease that was
/// made for it, and those behind it do not notice.
#[tokio::test]
async fn who_gives_up_leaves_nothing() {
    let _turn = harness::together().await;
    let cluster = Cluster::start("locks-leave", 3, &[]).await;
    let client = cluster.client();
    for lease in 1..=3 {
        grant(&client, lease).await;
    }
    held(lock(&cluster.members[0], "leave", 1)).await;
    // A holder that asks again, and gives that up, holds on.
    let place = created(&client, "leave/1").await;
    let channel = raw::channel(&cluster.members[0]);
    for moment in 0..200 {
        let (channel, request) = (channel.clone(), LockRequest { name: "leave".into(), lease: 1 });
        let again = tokio::spawn(async move { raw::unary::<_, LockResponse>(&channel, path::LOCK, request).await });
        for _ in 0..moment {
            tokio::task::yield_now().await;
        }
        again.abort();
    }
    for member in &cluster.members {
        held(lock(member, "leave", 1)).await;
    }
    assert_eq!(created(&client, "leave/1").await, place);
    let leaving = lock(&cluster.members[1], "leave", 2);
    appears(&client, "leave/2").await;
    let staying = lock(&cluster.members[2], "leave", 3);
    appears(&client, "leave/3").await;
    leaving.abort();
    harness::goes(&client, "leave/2").await;
    let left = client.lease_time_to_live(LeaseTimeToLiveRequest { id: 2, keys: true }).await.expect("its lease");
    assert!(left.ttl > 0 && left.keys.is_empty(), "the client's own lease stays: {left:?}");

    let leases = leases_of(&client).await;
    let without = lock(&cluster.members[1], "leave", 0);
    harness::keys_below(&client, "leave/", 3).await;
    // Its key outlives the lease when somebody writes it without; it goes all the same.
    let newest = RangeRequest {
        key: "leave/".into(),
        range_end: "leave0".into(),
        sort_order: SortOrder::Descend.into(),
        sort_target: SortTarget::Create.into(),
        limit: 1,
        ..RangeRequest::default()
    };
    let key = client.range(newest).await.expect("a range").kvs.remove(0).key;
    client.put(PutRequest { key, ..PutRequest::default() }).await.expect("a put");
    without.abort();
    harness::keys_below(&client, "leave/", 2).await;
    harness::until("its lease is gone", async || (leases_of(&client).await == leases).then_some(())).await;

    unlock(&cluster.members[1], "leave/1").await;
    assert_eq!(held(staying).await.0, "leave/3");

    elected(campaign(&cluster.members[0], 1, "one".into())).await;
    let leaving = campaign(&cluster.members[1], 2, "two".into());
    appears(&client, "e/2").await;
    leaving.abort();
    harness::goes(&client, "e/2").await;
    assert_eq!(count(&client, "e/").await, 1);
}

/// What waits does not care what is compacted meanwhile.
#[tokio::test]
async fn compactions_disturb_no_waiter() {
    let _turn = harness::together().await;
    let cluster = Cluster::start("locks-compaction", 1, &[]).await;
    let client = cluster.client();
    grant(&client, 1).await;
    grant(&client, 2).await;
    held(lock(&cluster.members[0], "compacted", 1)).await;
    let waiting = lock(&cluster.members[0], "compacted", 2);
    appears(&client, "compacted/2").await;
    for _ in 0..20 {
        let put = PutRequest { key: "other".into(), ..PutRequest::default() };
        let revision = client.put(put).await.expect("a put").header.expect("a header").revision;
        client.compact(CompactionRequest { revision, physical: true }).await.expect("a compaction");
    }
    unlock(&cluster.members[0], "compacted/1").await;
    assert_eq!(held(waiting).await.0, "compacted/2");
}

/// Hundreds wait for one lock; their client goes, and so do they.
#[tokio::test]
async fn many_wait() {
    const WAITERS: i64 = 500;
    let _turn = harness::together().await;
    let cluster = Cluster::start("locks-many", 3, &[]).await;
    let client = cluster.client();
    grant(&client, 1).await;
    held(lock(&cluster.members[0], "many", 1)).await;
    let channel = raw::channel(&cluster.members[1]);
    let waiting: Vec<_> = (0..WAITERS)
        .map(|_| {
            let channel = channel.clone();
            let request = LockRequest { name: "many".into(), lease: 0 };
            tokio::spawn(async move { raw::unary::<_, LockResponse>(&channel, path::LOCK, request).await })
        })
        .collect();
    harness::keys_below(&client, "many/", WAITERS as usize + 1).await;
    harness::until("each has a lease", async || (leases_of(&client).await == WAITERS as usize + 1).then_some(())).await;
    waiting.iter().for_each(JoinHandle::abort);
    drop(channel);
    harness::keys_below(&client, "many/", 1).await;
    harness::until("their leases are gone", async || (leases_of(&client).await == 1).then_some(())).await;
}

/// Leaders follow each other as fast as they can, and the leader of the
/// cluster dies meanwhile: on every member an observer sees each of them once,
/// in order, with all that it proclaims.
#[tokio::test]
async fn observers_see_every_leader_once() {
    const LEADERS: i64 = 24;
    let _turn = harness::together().await;
    let mut cluster = Cluster::start("locks-observe", 3, &[]).await;
    let leader = cluster.leader().await;
    let others = cluster.others(leader);
    let client = cluster.client_of(&others);
    let mut observers = Vec::new();
    for &number in &others {
        let channel = raw::channel(&cluster.members[number]);
        observers.push(tokio::spawn(async move {
            let request = LeaderRequest { name: "e".into() };
            let mut seen: Streaming<LeaderResponse> = raw::stream(&channel, path::ELECTION_OBSERVE, request).await?;
            let mut values = Vec::new();
            let mut last = 0;
            while values.len() < 2 * LEADERS as usize {
                let told = seen.message().await?.expect("the stream goes on");
                let kv = told.kv.expect("a leader");
                let revision = told.header.expect("a header").revision;
                assert!(revision > last && revision >= kv.mod_revision, "at {revision} after {last}: {kv:?}");
                last = revision;
                values.push(String::from_utf8(kv.value.to_vec()).expect("text"));
            }
            Ok::<_, Status>(values)
        }));
    }
    let mut waiting = Vec::new();
    for number in 0..LEADERS {
        grant(&client, number + 1).await;
        let member = &cluster.members[others[number as usize % 2]];
        waiting.push(campaign(member, number + 1, format!("{number}")));
        appears(&client, &format!("e/{:x}", number + 1)).await;
    }
    let mut expected = Vec::new();
    for (number, waiting) in waiting.into_iter().enumerate() {
        let own = elected(waiting).await;
        if number as i64 == LEADERS / 2 {
            cluster.members[leader].kill();
            cluster.leader().await;
        }
        let channel = raw::channel(&cluster.members[others[number % 2]]);
        let proclaim = ProclaimRequest { leader: Some(own.clone()), value: format!("{number} again").into() };
        let _: ProclaimResponse = raw::unary(&channel, path::ELECTION_PROCLAIM, proclaim).await.expect("it leads");
        expected.extend([format!("{number}"), format!("{number} again")]);
        let resign = ResignRequest { leader: Some(own.clone()) };
        let _: ResignResponse = raw::unary(&channel, path::ELECTION_RESIGN, resign).await.expect("it may");
        // Who has resigned leads no more, and resigning again changes nothing.
        let proclaim = ProclaimRequest { leader: Some(own), value: "too late".into() };
        let refused = raw::unary::<_, ProclaimResponse>(&channel, path::ELECTION_PROCLAIM, proclaim).await;
        let refused = refused.expect_err("it leads no more");
        assert_eq!((refused.code(), refused.message()), (tonic::Code::Unknown, "election: not leader"));
    }
    for observer in observers {
        let seen = tokio::time::timeout(harness::PATIENCE, observer).await.expect("in time").expect("in order");
        assert_eq!(seen.expect("the stream outlives the leader"), expected);
    }
}

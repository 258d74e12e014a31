//! The Lock and Election services, asked the same as the real etcd: headers,
//! keys, codes and words are compared line by line.

use crate::harness::{self, Cluster, Member};
use crate::raw;
use bytes::Bytes;
use client::Client;
use proto::etcdserverpb::*;
use proto::methods::path;
use proto::mvccpb::KeyValue;
use proto::v3electionpb::*;
use proto::v3lockpb::*;
use std::time::Duration;
use tokio::task::JoinHandle;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

/// One member, what was asked of it and what it said.
struct Side {
    client: Client,
    channel: Channel,
    /// Of this member: whose headers answers must carry.
    member_id: u64,
    cluster_id: u64,
    lines: Vec<String>,
}

type Waiting<R> = JoinHandle<Result<R, Status>>;

impl Side {
    async fn new(member: &Member) -> Side {
        let channel = raw::channel(member);
        let status: StatusResponse = raw::unary(&channel, path::STATUS, StatusRequest {}).await.expect("a status");
        let header = status.header.expect("a header");
        Side {
            client: member.client(),
            channel,
            member_id: header.member_id,
            cluster_id: header.cluster_id,
            lines: Vec::new(),
        }
    }

    fn note(&mut self, title: &str, what: String) {
        self.lines.push(format!("{title}: {what}"));
    }

    fn header(&self, header: Option<&ResponseHeader>) -> String {
        let Some(header) = header else { return "no header".to_owned() };
        let mine = header.member_id == self.member_id && header.cluster_id == self.cluster_id;
        format!("@{}{}", header.revision, if mine && header.raft_term > 0 { "" } else { " of somebody else" })
    }

    async fn ask<M, R>(&self, path: &'static str, request: M) -> Result<R, Status>
    where
        M: prost::Message + 'static,
        R: prost::Message + Default + 'static,
    {
        raw::unary(&self.channel, path, request).await
    }

    fn begin<M, R>(&self, path: &'static str, request: M) -> Waiting<R>
    where
        M: prost::Message + 'static,
        R: prost::Message + Default + 'static,
    {
        let channel = self.channel.clone();
        tokio::spawn(async move { raw::unary(&channel, path, request).await })
    }

    async fn lease(&self, id: i64) {
        let _: LeaseGrantResponse =
            self.ask(path::LEASE_GRANT, LeaseGrantRequest { id, ttl: 600 }).await.expect("a lease");
    }

    async fn revoke(&self, id: i64) {
        let _: LeaseRevokeResponse = self.ask(path::LEASE_REVOKE, LeaseRevokeRequest { id }).await.expect("a lease");
    }

    /// The key as it is, or nothing.
    async fn get(&self, key: &str) -> Option<KeyValue> {
        let range = RangeRequest { key: key.to_owned().into(), ..RangeRequest::default() };
        let found: RangeResponse = self.ask(path::RANGE, range).await.expect("a range");
        found.kvs.into_iter().next()
    }

    async fn put(&self, key: &str, lease: i64) {
        let put = PutRequest { key: key.to_owned().into(), lease, ..PutRequest::default() };
        let _: PutResponse = self.ask(path::PUT, put).await.expect("a put");
    }

    async fn appears(&self, key: &str) {
        harness::appears(&self.client, key).await;
    }

    async fn goes(&self, key: &str) {
        harness::goes(&self.client, key).await;
    }

    /// The store's revision.
    async fn revision(&self) -> i64 {
        let range = RangeRequest { key: "-".into(), ..RangeRequest::default() };
        let found: RangeResponse = self.ask(path::RANGE, range).await.expect("a range");
        found.header.expect("a header").revision
    }

    fn lock(&mut self, title: &str, answer: Result<LockResponse, Status>) {
        let what = match answer {
            Ok(answer) => {
                format!("{} key {}", self.header(answer.header.as_ref()), answer.key.escape_ascii())
            }
            Err(status) => said(&status),
        };
        self.note(title, what);
    }

    fn campaign(&mut self, title: &str, answer: Result<CampaignResponse, Status>) -> Option<LeaderKey> {
        let (what, leader) = match answer {
            Ok(answer) => (format!("{} {:?}", self.header(answer.header.as_ref()), answer.leader), answer.leader),
            Err(status) => (said(&status), None),
        };
        self.note(title, what);
        leader
    }

    fn headed<R>(&mut self, title: &str, answer: Result<R, Status>, header: fn(&R) -> Option<&ResponseHeader>) {
        let what = match answer {
            Ok(answer) => self.header(header(&answer)),
            Err(status) => said(&status),
        };
        self.note(title, what);
    }

    fn leader(&mut self, title: &str, answer: Result<LeaderResponse, Status>) {
        let what = match answer {
            Ok(answer) => format!("{} {:?}", self.header(answer.header.as_ref()), answer.kv),
            Err(status) => said(&status),
        };
        self.note(title, what);
    }

    /// What a lease that the server made lasts, and its hex name.
    async fn granted(&mut self, title: &str, key: &[u8], prefix: &str) -> i64 {
        let text = std::str::from_utf8(key).expect("hex").strip_prefix(prefix).expect("the prefix");
        let id = i64::from_str_radix(text, 16).expect("hex");
        let request = LeaseTimeToLiveRequest { id, keys: true };
        let left: LeaseTimeToLiveResponse = self.ask(path::LEASE_TIME_TO_LIVE, request).await.expect("what is left");
        self.note(title, format!("positive {}, ttl {}, {} keys", id > 0, left.granted_ttl, left.keys.len()));
        id
    }

    async fn leases(&self) -> usize {
        let all: LeaseLeasesResponse = self.ask(path::LEASE_LEASES, LeaseLeasesRequest {}).await.expect("a list");
        all.leases.len()
    }
}

fn said(status: &Status) -> String {
    format!("{:?} {}", status.code(), status.message())
}

fn lock(name: &'static str, lease: i64) -> LockRequest {
    LockRequest { name: name.into(), lease }
}

fn unlock(key: &'static str) -> UnlockRequest {
    UnlockRequest { key: key.into() }
}

async fn locks(member: &Member) -> Vec<String> {
    let mut side = Side::new(member).await;
    for id in 1..=9 {
        side.lease(id * 0x1000).await;
    }
    let answer = side.ask(path::LOCK, lock("a", 0x1000)).await;
    side.lock("free", answer);
    let answer = side.ask(path::LOCK, lock("a", 0x1000)).await;
    side.lock("again with the same lease", answer);
    let answer = side.ask(path::LOCK, lock("", 0x1000)).await;
    side.lock("without a name", answer);
    let answer = side.ask(path::LOCK, lock("b", 99)).await;
    side.lock("a lease that is not", answer);
    let answer = side.ask(path::LOCK, lock("b", -1)).await;
    side.lock("a negative lease that is not", answer);
    side.lease(-0xabc).await;
    let answer = side.ask(path::LOCK, lock("b", -0xabc)).await;
    side.lock("a negative lease", answer);
    let name = Bytes::from_static(b"\xff\x00\xfe");
    let answer = side.ask(path::LOCK, LockRequest { name, lease: 0x1000 }).await;
    side.lock("a name that is no text", answer);
    let answer = side.ask(path::LOCK, LockRequest { name: vec![b'x'; 1_572_864].into(), lease: 0x1000 }).await;
    side.lock("a name too large for the log", answer);

    let waiting = side.begin(path::LOCK, lock("a", 0x2000));
    side.appears("a/2000").await;
    let answer: Result<UnlockResponse, _> = side.ask(path::UNLOCK, unlock("a/1000")).await;
    side.headed("unlocked", answer, |answer| answer.header.as_ref());
    side.lock("waited", waiting.await.expect("no panic"));
    let answer: Result<UnlockResponse, _> = side.ask(path::UNLOCK, unlock("a/1000")).await;
    side.headed("unlocked twice", answer, |answer| answer.header.as_ref());
    let answer: Result<UnlockResponse, _> = side.ask(path::UNLOCK, unlock("")).await;
    side.headed("unlocked nothing", answer, |answer| answer.header.as_ref());

    // In the order of creation, and again while waiting.
    let third = side.begin(path::LOCK, lock("a", 0x3000));
    side.appears("a/3000").await;
    let again = side.begin(path::LOCK, lock("a", 0x3000));
    let fourth = side.begin(path::LOCK, lock("a", 0x4000));
    side.appears("a/4000").await;
    side.revoke(0x2000).await;
    side.lock("third", third.await.expect("no panic"));
    side.lock("third, asked again", again.await.expect("no panic"));
    let answer: Result<UnlockResponse, _> = side.ask(path::UNLOCK, unlock("a/3000")).await;
    side.headed("third unlocked", answer, |answer| answer.header.as_ref());
    side.lock("fourth", fourth.await.expect("no panic"));

    // Any key below counts, whoever wrote it.
    side.put("c/somebody", 0).await;
    let waiting = side.begin(path::LOCK, lock("c", 0x1000));
    side.appears("c/1000").await;
    let answer: Result<UnlockResponse, _> = side.ask(path::UNLOCK, unlock("c/somebody")).await;
    side.headed("somebody's key unlocked", answer, |answer| answer.header.as_ref());
    side.lock("after somebody's key", waiting.await.expect("no panic"));
    side.put("c/1000", 0).await;
    let answer = side.ask(path::LOCK, lock("c", 0x1000)).await;
    side.lock("own key written meanwhile", answer);

    // Lost while it waits: said when those before have gone.
    let waiting: Waiting<LockResponse> = side.begin(path::LOCK, lock("a", 0x5000));
    side.appears("a/5000").await;
    side.revoke(0x5000).await;
    let answer: Result<UnlockResponse, _> = side.ask(path::UNLOCK, unlock("a/4000")).await;
    side.headed("fourth unlocked", answer, |answer| answer.header.as_ref());
    side.lock("lease lost while waiting", waiting.await.expect("no panic"));

    // Given up while it waits.
    let answer = side.ask(path::LOCK, lock("a", 0x6000)).await;
    side.lock("held for what follows", answer);
    let waiting: Waiting<LockResponse> = side.begin(path::LOCK, lock("a", 0x7000));
    side.appears("a/7000").await;
    let before = side.revision().await;
    waiting.abort();
    side.goes("a/7000").await;
    let after = side.revision().await;
    side.note("given up", format!("{} revision more", after - before));
    let mut late = tonic::Request::new(lock("a", 0x7000));
    late.set_timeout(Duration::from_millis(300));
    let answer: Result<LockResponse, _> = raw::request(&side.channel, path::LOCK, late).await;
    // Client and server count to the same moment; either may be the first to say so.
    side.note("too late", format!("refused: {}", answer.is_err()));
    side.goes("a/7000").await;

    // Without a lease.
    let leases = side.leases().await;
    let answer: LockResponse = side.ask(path::LOCK, lock("d", 0)).await.expect("a lock");
    side.granted("without a lease", &answer.key, "d/").await;
    let more = side.leases().await - leases;
    side.note("without a lease", format!("{more} lease more"));
    let revision = side.revision().await;
    side.note("at the end", format!("@{revision}"));
    side.lines
}

async fn elections(member: &Member) -> Vec<String> {
    let mut side = Side::new(member).await;
    for id in 1..=9 {
        side.lease(id * 0x1000).await;
    }
    let campaign = |name: &'static str, lease, value: &'static str| CampaignRequest {
        name: name.into(),
        lease,
        value: value.into(),
    };
    let leader = |name: &'static str| LeaderRequest { name: name.into() };
    let answer = side.ask(path::ELECTION_LEADER, leader("e")).await;
    side.leader("nobody", answer);
    let answer = side.ask(path::ELECTION_CAMPAIGN, campaign("e", 0x1000, "one")).await;
    let first = side.campaign("free", answer).expect("a leader");
    let answer = side.ask(path::ELECTION_LEADER, leader("e")).await;
    side.leader("somebody", answer);
    let answer = side.ask(path::ELECTION_CAMPAIGN, campaign("e", 0x1000, "one")).await;
    side.campaign("again", answer);
    let answer = side.ask(path::ELECTION_CAMPAIGN, campaign("e", 0x1000, "eins")).await;
    side.campaign("again with another value", answer);
    let answer = side.ask(path::ELECTION_LEADER, leader("e")).await;
    side.leader("with another value", answer);
    let answer = side.ask(path::ELECTION_CAMPAIGN, campaign("e", 99, "x")).await;
    side.campaign("a lease that is not", answer);
    let answer = side.ask(path::ELECTION_CAMPAIGN, campaign("", 0x1000, "")).await;
    side.campaign("without name and value", answer);

    let proclaim = |leader: Option<LeaderKey>, value: &'static str| ProclaimRequest { leader, value: value.into() };
    let answer: Result<ProclaimResponse, _> = side.ask(path::ELECTION_PROCLAIM, proclaim(None, "x")).await;
    side.headed("proclaim as nobody", answer, |answer| answer.header.as_ref());
    let wrong = LeaderKey { rev: first.rev + 1, ..first.clone() };
    let answer: Result<ProclaimResponse, _> = side.ask(path::ELECTION_PROCLAIM, proclaim(Some(wrong), "x")).await;
    side.headed("proclaim at another revision", answer, |answer| answer.header.as_ref());
    let keyless = LeaderKey { key: Bytes::new(), ..first.clone() };
    let answer: Result<ProclaimResponse, _> = side.ask(path::ELECTION_PROCLAIM, proclaim(Some(keyless), "x")).await;
    side.headed("proclaim without a key", answer, |answer| answer.header.as_ref());
    let nameless = LeaderKey { name: Bytes::new(), ..first.clone() };
    let answer: Result<ProclaimResponse, _> =
        side.ask(path::ELECTION_PROCLAIM, proclaim(Some(nameless), "nameless")).await;
    side.headed("proclaim without a name", answer, |answer| answer.header.as_ref());
    let answer: Result<ProclaimResponse, _> =
        side.ask(path::ELECTION_PROCLAIM, proclaim(Some(first.clone()), "uno")).await;
    side.headed("proclaim", answer, |answer| answer.header.as_ref());
    let answer = side.ask(path::ELECTION_LEADER, leader("e")).await;
    side.leader("proclaimed", answer);
    let other = LeaderKey { lease: 0x2000, ..first.clone() };
    let answer: Result<ProclaimResponse, _> = side.ask(path::ELECTION_PROCLAIM, proclaim(Some(other), "uno")).await;
    side.headed("proclaim with another lease", answer, |answer| answer.header.as_ref());
    let answer = side.ask(path::ELECTION_LEADER, leader("e")).await;
    side.leader("proclaimed with another lease", answer);
    let gone = LeaderKey { lease: 99, ..first.clone() };
    let answer: Result<ProclaimResponse, _> = side.ask(path::ELECTION_PROCLAIM, proclaim(Some(gone), "uno")).await;
    side.headed("proclaim with a lease that is not", answer, |answer| answer.header.as_ref());
    let leases = side.leases().await;
    let free = LeaderKey { lease: 0, ..first.clone() };
    let answer: Result<ProclaimResponse, _> =
        side.ask(path::ELECTION_PROCLAIM, proclaim(Some(free.clone()), "uno")).await;
    side.headed("proclaim without a lease", answer, |answer| answer.header.as_ref());
    let kv = side.get("e/1000").await.expect("the key");
    let more = side.leases().await - leases;
    side.note("proclaimed without a lease", format!("{more} lease more, the key has one: {}", kv.lease != 0));

    // Waiting, and one leader after the other.
    let second: Waiting<CampaignResponse> = side.begin(path::ELECTION_CAMPAIGN, campaign("e", 0x3000, "two"));
    side.appears("e/3000").await;
    let third: Waiting<CampaignResponse> = side.begin(path::ELECTION_CAMPAIGN, campaign("e", 0x4000, "three"));
    side.appears("e/4000").await;
    // One that only waits may change what it would proclaim.
    let waiting = side.get("e/4000").await.expect("a key");
    let waiting = LeaderKey { name: "e".into(), key: waiting.key, rev: waiting.create_revision, lease: waiting.lease };
    let answer: Result<ProclaimResponse, _> = side.ask(path::ELECTION_PROCLAIM, proclaim(Some(waiting), "drei")).await;
    side.headed("proclaim while waiting", answer, |answer| answer.header.as_ref());

    let resign = |leader: Option<LeaderKey>| ResignRequest { leader };
    let answer: Result<ResignResponse, _> = side.ask(path::ELECTION_RESIGN, resign(None)).await;
    side.headed("resign as nobody", answer, |answer| answer.header.as_ref());
    let wrong = LeaderKey { rev: first.rev + 1, ..first.clone() };
    let answer: Result<ResignResponse, _> = side.ask(path::ELECTION_RESIGN, resign(Some(wrong))).await;
    side.headed("resign at another revision", answer, |answer| answer.header.as_ref());
    let keyless = LeaderKey { key: Bytes::new(), ..first.clone() };
    let answer: Result<ResignResponse, _> = side.ask(path::ELECTION_RESIGN, resign(Some(keyless))).await;
    side.headed("resign without a key", answer, |answer| answer.header.as_ref());
    let gone = LeaderKey { lease: 99, ..first.clone() };
    let answer: Result<ResignResponse, _> = side.ask(path::ELECTION_RESIGN, resign(Some(gone))).await;
    side.headed("resign, whatever the lease", answer, |answer| answer.header.as_ref());
    side.campaign("second", second.await.expect("no panic"));
    let leases = side.leases().await;
    let answer: Result<ResignResponse, _> = side.ask(path::ELECTION_RESIGN, resign(Some(free))).await;
    side.headed("resign twice, without a lease", answer, |answer| answer.header.as_ref());
    let more = side.leases().await - leases;
    side.note("resigned without a lease", format!("{more} lease more"));
    side.revoke(0x3000).await;
    side.campaign("third", third.await.expect("no panic"));

    // Given up while it waits.
    let waiting: Waiting<CampaignResponse> = side.begin(path::ELECTION_CAMPAIGN, campaign("e", 0x5000, "five"));
    side.appears("e/5000").await;
    waiting.abort();
    side.goes("e/5000").await;
    let mut late = tonic::Request::new(campaign("e", 0x5000, "late"));
    late.set_timeout(Duration::from_millis(300));
    let answer: Result<CampaignResponse, _> = raw::request(&side.channel, path::ELECTION_CAMPAIGN, late).await;
    // Client and server count to the same moment; either may be the first to say so.
    side.note("too late", format!("refused: {}", answer.is_err()));
    side.goes("e/5000").await;

    let answer: CampaignResponse = side.ask(path::ELECTION_CAMPAIGN, campaign("f", 0, "x")).await.expect("a leader");
    let own = answer.leader.expect("a leader");
    let id = side.granted("without a lease", &own.key, "f/").await;
    side.note("without a lease", format!("told {}", own.lease == id));
    let revision = side.revision().await;
    side.note("at the end", format!("@{revision}"));

    // Lost while it waits.
    let waiting: Waiting<CampaignResponse> = side.begin(path::ELECTION_CAMPAIGN, campaign("e", 0x6000, "six"));
    side.appears("e/6000").await;
    side.revoke(0x6000).await;
    side.revoke(0x4000).await;
    side.campaign("lease lost while waiting", waiting.await.expect("no panic"));
    side.lines
}

async fn observers(member: &Member) -> Vec<String> {
    let mut side = Side::new(member).await;
    let campaign = |lease, value: &'static str| CampaignRequest { name: "o".into(), lease, value: value.into() };
    let observe = || LeaderRequest { name: "o".into() };
    let next = async |side: &mut Side, title: &str, seen: &mut Streaming<LeaderResponse>| {
        let told = tokio::time::timeout(harness::PATIENCE, seen.message()).await.expect("told in time");
        side.leader(title, told.map(|told| told.expect("the stream goes on")));
    };
    for id in 1..=3 {
        side.lease(id * 0x1000).await;
    }
    // A stream's head comes with its first message.
    let channel = side.channel.clone();
    let early = tokio::spawn(async move { raw::stream(&channel, path::ELECTION_OBSERVE, observe()).await });
    side.put("other", 0).await;
    let first: CampaignResponse = side.ask(path::ELECTION_CAMPAIGN, campaign(0x1000, "one")).await.expect("a leader");
    let mut early = early.await.expect("no panic").expect("a stream");
    next(&mut side, "the first", &mut early).await;
    side.put("other", 0).await;
    let mut late = raw::stream(&side.channel, path::ELECTION_OBSERVE, observe()).await.expect("a stream");
    next(&mut side, "the first, seen later", &mut late).await;
    side.put("other", 0).await;
    let proclaim = ProclaimRequest { leader: first.leader.clone(), value: "eins".into() };
    let _: ProclaimResponse = side.ask(path::ELECTION_PROCLAIM, proclaim).await.expect("a leader");
    next(&mut side, "proclaimed", &mut early).await;
    next(&mut side, "proclaimed, seen later", &mut late).await;
    let second: Waiting<CampaignResponse> = side.begin(path::ELECTION_CAMPAIGN, campaign(0x2000, "two"));
    side.appears("o/2000").await;
    let resign = ResignRequest { leader: first.leader };
    let _: ResignResponse = side.ask(path::ELECTION_RESIGN, resign).await.expect("it may");
    next(&mut side, "the second", &mut early).await;
    next(&mut side, "the second, seen later", &mut late).await;
    let answer = second.await.expect("no panic");
    side.campaign("the second itself", answer);
    // Nobody for a while.
    side.revoke(0x2000).await;
    side.put("other", 0).await;
    let answer = side.ask(path::ELECTION_CAMPAIGN, campaign(0x3000, "three")).await;
    side.campaign("the third itself", answer);
    next(&mut side, "the third", &mut early).await;
    next(&mut side, "the third, seen later", &mut late).await;
    side.lines
}

/// What is told differently, and why (COMPAT.md).
const ON_PURPOSE: [(&str, &str); 2] = [
    ("resigned without a lease: 1 lease more", "resigned without a lease: 0 lease more"),
    (
        "lease lost while waiting: @19 Some(LeaderKey { name: b\"e\", key: b\"e/6000\", rev: 19, lease: 24576 })",
        "lease lost while waiting: Unknown election: not leader",
    ),
];

async fn both(title: &str, story: impl AsyncFn(&Member) -> Vec<String>) {
    let _turn = harness::together().await;
    let mut told = Vec::new();
    for (name, program) in [("real", harness::real_program()), ("ours", harness::our_program())] {
        let mut cluster = Cluster::plan_of(&format!("{title}-{name}"), vec![program], &[]);
        cluster.start_all();
        cluster.leader().await;
        told.push(story(&cluster.members[0]).await);
    }
    let [real, ours] = &told[..] else { unreachable!("two servers") };
    assert_eq!(real.len(), ours.len());
    for (real, ours) in real.iter().zip(ours) {
        let expected = ON_PURPOSE.iter().find(|(theirs, _)| theirs == real).map_or(real.as_str(), |(_, ours)| ours);
        assert_eq!(ours, expected);
    }
}

#[tokio::test]
async fn locks_are_told_as_by_etcd() {
    both("locks", locks).await;
}

#[tokio::test]
async fn elections_are_told_as_by_etcd() {
    both("elections", elections).await;
}

#[tokio::test]
async fn leaders_are_told_as_by_etcd() {
    both("observers", observers).await;
}

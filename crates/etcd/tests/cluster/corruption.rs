//! A member that holds something else than the others is named, gets etcd's alarm, and stops serving: by itself, without a
//! flag and without a restart.

use crate::harness::{self, Cluster, PATIENCE};
use client::Client;
use disk::{OsDisk, SegmentReader, SegmentWriter, Standing};
use proto::etcdserverpb::{AlarmMember, AlarmRequest, LeaseGrantRequest, PutRequest, RangeRequest, WatchCreateRequest};
use std::path::Path;

/// Where the items of a frame of the revision log begin.
const PRELUDE_BYTES: usize = 36;

fn number(bytes: &[u8]) -> u32 {
    u32::from_le_bytes(bytes[..4].try_into().expect("four bytes"))
}

/// Turns `old` into `new`, which is as long, in one item of a revision log, and makes every checksum fit again: the disk
/// has lied so well that nobody can see it by looking at this member alone.
fn forge(path: &Path, old: &[u8], new: &[u8]) {
    let (directory, name) = (path.parent().expect("a directory"), path.file_name().expect("a name").to_string_lossy());
    let disk = OsDisk::new(directory).expect("the directory is there");
    let mut reader = SegmentReader::open(&disk, &name, Standing::Last).expect("a segment");
    let mut writer = SegmentWriter::create(&disk, "forged", reader.header()).expect("a segment like it");
    let mut forged = 0;
    while let Some(frame) = reader.next().expect("whole frames") {
        let mut body = frame.body.to_vec();
        let mut at = if frame.kind == 0 { body.len() } else { PRELUDE_BYTES };
        while at < body.len() {
            let size = (number(&body[at + 4..]) >> 4) as usize;
            let item = &mut body[at..at + size];
            if let Some(place) = item.windows(old.len()).position(|part| part == old) {
                item[place..place + new.len()].copy_from_slice(new);
                let check = crc32c::crc32c(&item[4..]).to_le_bytes();
                item[..4].copy_from_slice(&check);
                forged += 1;
            }
            at += size;
        }
        writer.append(&[(frame.kind, &[&body])]).expect("room");
    }
    writer.sync().expect("a disk that syncs");
    assert_eq!(forged, 1, "one item is forged");
    std::fs::rename(directory.join("forged"), path).expect("it takes the place");
}

/// The revision log of a member, as long as it is one segment.
fn revisions(cluster: &Cluster, member: usize) -> std::path::PathBuf {
    let entries = std::fs::read_dir(cluster.members[member].data.join("member/store")).expect("a store");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    assert_eq!(paths.len(), 1, "{paths:?}");
    paths.pop().expect("one")
}

async fn alarms(client: &Client) -> Vec<AlarmMember> {
    client.alarm_list().await.map(|response| response.alarms).unwrap_or_default()
}

fn get(serializable: bool) -> RangeRequest {
    RangeRequest { key: "held/7".into(), serializable, ..RangeRequest::default() }
}

async fn refused(what: &str, answer: Result<(), client::Error>) {
    let words = answer.expect_err(what).to_string();
    assert!(words.contains("etcdserver: corrupt cluster"), "{what}: {words}");
}

/// A cluster of so many that was killed, and in which member 1 then came to hold another value.
async fn forged(title: &str, members: u16) -> Cluster {
    let mut cluster = Cluster::start(title, members, &[]).await;
    let client = cluster.client();
    for count in 0..20 {
        let value = format!("as it was written {count}");
        client
            .put(PutRequest { key: format!("held/{count}").into(), value: value.into(), ..Default::default() })
            .await
            .expect("a put");
    }
    cluster.same_everywhere().await;
    let (log, newest) = (revisions(&cluster, 1), b"as it was written 19");
    harness::until("the revision log is written", async || {
        let bytes = std::fs::read(&log).expect("the revision log can be read");
        bytes.windows(newest.len()).any(|part| part == newest).then_some(())
    })
    .await;
    cluster.kill_all();
    forge(&revisions(&cluster, 1), b"as it was written 7", b"as it was mangled 7");
    cluster.start_all();
    cluster.leader().await;
    cluster
}

#[tokio::test]
async fn a_member_that_differs_is_named_and_stops_serving() {
    let _turn = harness::together().await;
    let cluster = forged("differs", 3).await;
    let (sound, wrong) = (cluster.client_of(&[0]), cluster.client_of(&[1]));
    let named = AlarmMember { member_id: cluster.id(1).await, alarm: 2 };
    harness::until("the member is named", async || (alarms(&sound).await == [named]).then_some(())).await;
    harness::until("it knows itself", async || wrong.range(get(true)).await.is_err().then_some(())).await;
    for serializable in [true, false] {
        refused("a read of the one that differs", wrong.range(get(serializable)).await.map(|_| ())).await;
        let read = sound.range(get(serializable)).await.expect("the others go on to be read, as in etcd");
        assert_eq!(read.kvs[0].value, "as it was written 7");
    }
    let put = PutRequest { key: "more".into(), value: "x".into(), ..Default::default() };
    for client in [&sound, &wrong] {
        refused("a write anywhere, as in etcd", client.put(put.clone()).await.map(|_| ())).await;
    }
    for grant in [
        sound.lease_grant(LeaseGrantRequest { id: 5, ttl: 60 }).await,
        wrong.lease_grant(LeaseGrantRequest { id: 6, ttl: 60 }).await,
    ] {
        refused("a lease anywhere, as in etcd", grant.map(|_| ())).await;
    }
    refused("a renewal by the one that differs", wrong.lease_keep_alive_once(7).await.map(|_| ())).await;
    let watched =
        wrong.watch_stream(WatchCreateRequest { key: "held/7".into(), start_revision: 1, ..Default::default() });
    refused("a watch of the one that differs", first_told(watched).await).await;
    let name = format!("\"member-id\":\"{:x}\"", named.member_id);
    let names = |line: &str| line.contains("differs from what the majority holds") && line.contains(&name);
    let said = cluster.members[0].said() + &cluster.members[1].said() + &cluster.members[2].said();
    assert!(said.lines().any(names), "the logs say why, and who");
}

/// Nothing, if a watch is answered, else why not.
async fn first_told(
    watched: impl Future<Output = Result<client::WatchStream, client::Error>>,
) -> Result<(), client::Error> {
    let told = tokio::time::timeout(PATIENCE, async { watched.await?.next().await });
    told.await.expect("in time").map(|_| ())
}

/// Streams that are there when the alarm comes end of it, in the same words; those of the others stay.
#[tokio::test]
async fn streams_of_a_member_that_is_named_end() {
    let _turn = harness::together().await;
    let cluster = Cluster::start("named-streams", 3, &[]).await;
    let (sound, wrong) = (cluster.client_of(&[0]), cluster.client_of(&[1]));
    sound.lease_grant(LeaseGrantRequest { id: 7, ttl: 3 }).await.expect("a lease");
    let create = WatchCreateRequest { key: "held/7".into(), ..Default::default() };
    let mut watches = Vec::new();
    for client in [&sound, &wrong] {
        let mut watch = client.watch_stream(create.clone()).await.expect("a stream");
        let created = tokio::time::timeout(PATIENCE, watch.next()).await.expect("in time");
        assert!(created.expect("it goes on").expect("it goes on").created);
        watches.push(watch);
    }
    let mut renewals = wrong.lease_keep_alive(7);
    assert_eq!(renewals.next().await.expect("it can be kept").expect("it is there").ttl, 3);

    let alarm = AlarmRequest { action: 1, member_id: cluster.id(1).await, alarm: 2 };
    sound.alarm(alarm).await.expect("an alarm is raised");
    let told = tokio::time::timeout(PATIENCE, watches[1].next()).await.expect("in time");
    refused("a watch of the one that is named", told.map(|_| ())).await;
    let ended = async {
        loop {
            if let Err(error) = renewals.next().await {
                return error;
            }
        }
    };
    let ended = tokio::time::timeout(PATIENCE, ended).await.expect("in time");
    refused("renewals by the one that is named", Err(ended)).await;

    sound.alarm(AlarmRequest { action: 2, ..alarm }).await.expect("it is taken back");
    let put = PutRequest { key: "held/7".into(), value: "x".into(), ..Default::default() };
    sound.put(put).await.expect("a put");
    let told = tokio::time::timeout(PATIENCE, watches[0].next()).await.expect("in time");
    assert_eq!(
        told.expect("it goes on").expect("it goes on").events.len(),
        1,
        "the stream of a sound member has stayed"
    );
}

#[tokio::test]
async fn two_that_differ_both_stop_serving() {
    let _turn = harness::together().await;
    let cluster = forged("two-differ", 2).await;
    let clients = [cluster.client_of(&[0]), cluster.client_of(&[1])];
    let nobody = AlarmMember { member_id: 0, alarm: 2 };
    harness::until("an alarm without a name", async || (alarms(&clients[0]).await == [nobody]).then_some(())).await;
    for client in &clients {
        harness::until("it stops", async || client.range(get(true)).await.is_err().then_some(())).await;
        refused("a read", client.range(get(true)).await.map(|_| ())).await;
    }
}

//! A disk without room: the member says so wherever one looks, refuses what would need room, goes
//! on with everything else, and resumes when there is room. Nothing that was
//! acknowledged is lost on the way.

use crate::harness::{self, Cluster, Member};
use crate::load::{self, Load};
use crate::raw;
use client::{Client, Code};
use proto::etcdserverpb::{
    AlarmRequest, AlarmResponse, CompactionRequest, CompactionResponse, DeleteRangeRequest, DeleteRangeResponse,
    PutRequest, RangeRequest, RangeResponse,
};
use proto::methods::path;
use serde_json::Value;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A small disk in memory, in a mount namespace of its own, so that nothing is
/// left behind whatever ends the test: it goes with its last process, and the
/// one that holds it ends when our end of its standard input closes.
struct SmallDisk {
    holder: Child,
    mounted_on: PathBuf,
}

impl SmallDisk {
    fn mount(directory: &Path, options: &str) -> SmallDisk {
        std::fs::create_dir_all(directory).expect("the test's directory can be written");
        let mut command = Command::new("unshare");
        if !rustix::process::geteuid().is_root() {
            command.arg("--map-root-user");
        }
        let script = "mount -t tmpfs -o \"$1\" tmpfs \"$2\" && echo mounted && exec cat";
        command.args(["--mount", "sh", "-c", script, "sh", options]).arg(directory);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut holder = command.spawn().expect("unshare, of util-linux, starts");
        let mut line = String::new();
        let out = holder.stdout.take().expect("it is a pipe");
        BufReader::new(out).read_line(&mut line).expect("a pipe can be read");
        let disk = SmallDisk { holder, mounted_on: directory.to_owned() };
        assert_eq!(line, "mounted\n", "a tmpfs cannot be mounted here");
        disk
    }

    /// Makes `member` a process that sees this disk.
    fn give_to(&self, member: &mut Member) {
        let holder = self.holder.id().to_string();
        let mut enter: Vec<String> = ["--target", &holder, "--mount"].map(str::to_owned).to_vec();
        if !rustix::process::geteuid().is_root() {
            enter.extend(["--user", "--preserve-credentials"].map(str::to_owned));
        }
        enter.push("--".to_owned());
        enter.push(member.program.display().to_string());
        enter.append(&mut member.arguments);
        member.arguments = enter;
        member.program = PathBuf::from("nsenter");
    }

    /// Where others see it.
    fn root(&self) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.holder.id()));
        root.join(self.mounted_on.strip_prefix("/").expect("an absolute path"))
    }

    fn filler(&self) -> PathBuf {
        self.root().join("filler")
    }

    /// Takes all the room there is.
    fn fill(&self) {
        let mut file = File::create(self.filler()).expect("an empty file needs no room");
        while file.write_all(&[0; 4096]).is_ok() {}
    }

    /// Gives it back.
    fn free(&self) {
        std::fs::remove_file(self.filler()).expect("the filler is ours");
    }

    /// Makes files until there can be no more.
    fn take_all_files(&self) {
        std::fs::create_dir(self.filler()).expect("there is room for a few files");
        let mut names = (0..u32::MAX).map(|at| self.filler().join(at.to_string()));
        while names.next().is_some_and(|name| File::create_new(name).is_ok()) {}
    }

    /// Gives them back.
    fn free_files(&self) {
        std::fs::remove_dir_all(self.filler()).expect("the filler is ours");
    }

    /// How many segments there are in a directory of the member.
    fn segments(&self, directory: &str) -> usize {
        std::fs::read_dir(self.root().join(directory)).expect("the member has made it").count()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

fn put(key: &str) -> PutRequest {
    PutRequest { key: key.to_owned().into(), value: vec![7; 2_000].into(), ..PutRequest::default() }
}

/// Writes until the member says that there is no room. The writes before that
/// may hang: what they are told is that nobody knows.
async fn until_refused(client: &Client) {
    let client = client.clone().with_timeout(Some(Duration::from_millis(500)));
    harness::until("writes are refused for want of room", async || match client.put(put("filling")).await {
        Err(error) if error.says("etcdserver: mvcc: database space exceeded") => {
            assert_eq!(error.code(), Some(Code::ResourceExhausted));
            Some(())
        }
        _ => None,
    })
    .await;
}

async fn until_taken(client: &Client) {
    let client = client.clone().with_timeout(Some(Duration::from_secs(1)));
    harness::until("writes are taken again", async || client.put(put("taken")).await.ok()).await;
}

const FULL: &str = "etcdserver: no space left on device: this member waits for room in its data directory";

/// A linearizable read has to know all that is committed, and what is not
/// applied for want of room it cannot: then it fails with the reason, soon.
async fn linearizable_in_time(member: &Member) {
    let asked = Instant::now();
    let range = RangeRequest { key: "load/0/00000000".into(), ..RangeRequest::default() };
    match raw::unary::<_, RangeResponse>(&raw::channel(member), path::RANGE, range).await {
        Ok(answer) => assert_eq!(answer.kvs.len(), 1),
        Err(status) => assert_eq!((status.code() as i32, status.message()), (14, FULL)),
    }
    let took = asked.elapsed();
    println!("a linearizable read on a full disk took {took:?}");
    assert!(took <= Duration::from_secs(3), "it took {took:?}");
}

/// What would have to be written, and needs no room of its own, is refused with the reason, and soon.
async fn refuses_the_rest(member: &Member) {
    let channel = raw::channel(member);
    let asked = Instant::now();
    let delete = DeleteRangeRequest { key: "load/0/00000000".into(), ..Default::default() };
    let refused = [
        raw::unary::<_, DeleteRangeResponse>(&channel, path::DELETE_RANGE, delete).await.err(),
        raw::unary::<_, CompactionResponse>(
            &channel,
            path::COMPACT,
            CompactionRequest { revision: 2, physical: false },
        )
        .await
        .err(),
        raw::unary::<_, AlarmResponse>(&channel, path::ALARM, AlarmRequest::default()).await.err(),
    ];
    for status in refused {
        let status = status.expect("it would have to be written");
        assert_eq!((status.code() as i32, status.message()), (14, FULL));
    }
    // A second each, so that a client that asks again does not do so all the time.
    let took = asked.elapsed();
    assert!(took >= Duration::from_secs(3) && took <= Duration::from_secs(6), "three refusals took {took:?}");
}

async fn page(member: &Member, path: &str) -> (u16, String) {
    let address = format!("127.0.0.1:{}", member.client_port);
    let answer = etcd::ask::get(&address, path, Duration::from_secs(20)).await.expect("an answer");
    (answer.status.as_u16(), String::from_utf8_lossy(&answer.body).into_owned())
}

/// What the member's log has said in these words.
fn records(member: &Member, words: &str) -> Vec<Value> {
    let said = member.said();
    let records = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    records.filter(|record| record["msg"].as_str().is_some_and(|said| said.starts_with(words))).collect()
}

/// Whoever looks learns that the disk is full, and nobody has a reason to start the member again.
async fn says_so(member: &Member) {
    let status = member.status().await.expect("it needs no room");
    assert_eq!(status.errors, [FULL]);
    assert_eq!(page(member, "/livez").await, (200, "ok\n".to_owned()));
    let (code, checks) = page(member, "/readyz?verbose").await;
    assert_eq!(code, 503);
    let lines: Vec<&str> = checks.lines().collect();
    assert!(lines.contains(&"[+]serializable_read ok"), "{checks}");
    assert!(lines.contains(&&*format!("[-]disk_space failed: {FULL}")), "{checks}");
    let kubelet = page(member, "/health?exclude=NOSPACE&serializable=true").await;
    assert_eq!(kubelet, (200, r#"{"health":"true","reason":""}"#.to_owned()));
    let health = page(member, "/health").await;
    let reads = (200, r#"{"health":"true","reason":""}"#.to_owned());
    let waits = (503, format!("{{\"health\":\"false\",\"reason\":\"RANGE ERROR:{FULL}\"}}\n"));
    assert!(health == reads || health == waits, "{health:?}");

    let said = records(member, "no space left on device: writes to the ");
    let last = said.last().expect("its log says so");
    let file = last["file"].as_str().expect("a file");
    assert!(file.starts_with(member.data.to_str().expect("UTF-8")), "{last}");
    assert_eq!(last["error"], "No space left on device (os error 28)");
    assert!(
        last["advice"].as_str().is_some_and(|advice| advice.starts_with("make room on that file system")),
        "{last}"
    );
}

/// And that it is not any more.
async fn says_nothing_more(member: &Member) {
    harness::until("it is ready", async || (page(member, "/readyz").await.0 == 200).then_some(())).await;
    assert!(member.status().await.expect("a status").errors.is_empty());
    let full = records(member, "no space left on device: writes to the ");
    let room = records(member, "there is room on the disk again; writes to the ");
    let begun = full.iter().filter(|record| record["waited"].is_null()).count();
    assert_eq!(room.len(), begun, "once for each that waited: {}", member.said());
    assert!(room.iter().all(|record| record["waited"].is_string()), "{room:?}");
}

const SIXTEEN_MIB: &str = "size=16m";

/// A cluster whose first member has a disk of its own.
async fn start(title: &str, count: u16, options: &str) -> (Cluster, SmallDisk) {
    let mut cluster = Cluster::plan(title, count, &["--snapshot-count", "100", "--snapshot-catchup-entries", "50"]);
    let disk = SmallDisk::mount(&cluster.members[0].data, options);
    disk.give_to(&mut cluster.members[0]);
    cluster.start_all();
    cluster.leader().await;
    (cluster, disk)
}

#[tokio::test]
async fn alone_it_refuses_writes_until_there_is_room() {
    let _turn = harness::together().await;
    let (mut cluster, disk) = start("full-alone", 1, SIXTEEN_MIB).await;
    let client = cluster.client();
    let load = Load::start(&cluster, "load", 4, &[0]);
    for _ in 0..2 {
        load.goes_on(100).await;
        disk.fill();
        until_refused(&client).await;
        // Looking needs no room.
        let range = RangeRequest { key: "load/0/00000000".into(), serializable: true, ..RangeRequest::default() };
        assert_eq!(client.range(range).await.expect("a read").count, 1);
        linearizable_in_time(&cluster.members[0]).await;
        refuses_the_rest(&cluster.members[0]).await;
        says_so(&cluster.members[0]).await;
        disk.free();
        until_taken(&client).await;
        load.goes_on(100).await;
        says_nothing_more(&cluster.members[0]).await;
    }
    let acknowledged = load.stop().await;
    load::expect_all(&client, "load", &acknowledged).await;
    assert_eq!(
        cluster.members[0].said().matches("starting an etcd server").count(),
        1,
        "it was the same process all along"
    );

    // What was acknowledged before, on and after a full disk was durable.
    cluster.members[0].kill();
    cluster.members[0].start();
    cluster.leader().await;
    load::expect_all(&client, "load", &acknowledged).await;
}

#[tokio::test]
async fn killed_on_a_full_disk_it_comes_back_with_everything() {
    let _turn = harness::together().await;
    let (mut cluster, disk) = start("full-killed", 1, SIXTEEN_MIB).await;
    let client = cluster.client();
    for _ in 0..3 {
        let load = Load::start(&cluster, "load", 4, &[0]);
        load.goes_on(50).await;
        disk.fill();
        until_refused(&client).await;
        cluster.members[0].kill();
        let acknowledged = load.stop().await;
        disk.free();
        cluster.members[0].start();
        cluster.leader().await;
        load::expect_all(&client, "load", &acknowledged).await;
        until_taken(&client).await;
    }
}

/// The others do not need it, and it catches up once it can.
#[tokio::test]
async fn one_of_three_holds_nobody_up() {
    let _turn = harness::together().await;
    let (cluster, disk) = start("full-one", 3, SIXTEEN_MIB).await;
    if cluster.leader().await == 0 {
        let other = cluster.id(1).await;
        cluster.members[0].client().move_leader(other).await.expect("leadership moves");
        cluster.leader().await;
    }
    let load = Load::start(&cluster, "load", 4, &[1, 2]);
    load.goes_on(50).await;
    disk.fill();
    until_refused(&cluster.members[0].client()).await;
    load.goes_on(300).await;
    linearizable_in_time(&cluster.members[0]).await;
    refuses_the_rest(&cluster.members[0]).await;
    says_so(&cluster.members[0]).await;
    disk.free();
    until_taken(&cluster.members[0].client()).await;
    let acknowledged = load.stop().await;
    cluster.same_everywhere().await;
    load::expect_all(&cluster.members[0].client(), "load", &acknowledged).await;
}

/// A member that cannot even begin names the directory once, and says what to do.
#[tokio::test]
async fn a_first_start_on_a_full_disk_says_what_to_do() {
    let _turn = harness::together().await;
    let mut cluster = Cluster::plan("full-first", 1, &[]);
    let disk = SmallDisk::mount(&cluster.members[0].data, "size=64k");
    disk.fill();
    let member = &mut cluster.members[0];
    disk.give_to(member);
    member.start();
    assert_eq!(member.ended().await.code(), Some(1));
    let said = member.said();
    let last = said.lines().next_back().expect("a reason");
    let directory = member.data.display().to_string();
    assert!(last.starts_with(&format!("etcd: cannot use data directory {directory} (--data-dir): member")), "{last}");
    assert!(last.contains(": No space left on device (os error 28); make room on that file system"), "{last}");
    assert_eq!(last.matches(&directory).count(), 1, "{last}");
}

/// A disk that has room, and none for another file. Both logs want one after 64 MB.
#[tokio::test]
async fn without_room_for_another_file_it_goes_on_in_those_it_has() {
    const STORE: &str = "member/store";
    const LOG: &str = "member/log";
    let _turn = harness::together().await;
    let (mut cluster, disk) = start("full-files", 1, "size=600m,nr_inodes=100").await;
    let client = cluster.client();
    let big = |at: usize| PutRequest {
        key: format!("big/{at}").into(),
        value: vec![7; 1_000_000].into(),
        ..PutRequest::default()
    };
    client.put(big(0)).await.expect("a healthy member");
    let files = (disk.segments(STORE), disk.segments(LOG));
    assert_eq!(files, (1, 1));
    disk.take_all_files();
    for at in 1..75 {
        client.put(big(at)).await.expect("a write for which there is room");
    }
    assert_eq!((disk.segments(STORE), disk.segments(LOG)), files, "there was no room for a file more");
    disk.free_files();
    for at in 75..77 {
        client.put(big(at)).await.expect("a write");
    }
    harness::until("both logs have another segment", async || {
        let more = disk.segments(STORE) > files.0 && disk.segments(LOG) > files.1;
        more.then_some(())
    })
    .await;
    assert_eq!(cluster.members[0].said().matches("starting an etcd server").count(), 1, "it was the same process");
    cluster.members[0].kill();
    cluster.members[0].start();
    cluster.leader().await;
    let all =
        RangeRequest { key: "big/".into(), range_end: "big0".into(), count_only: true, ..RangeRequest::default() };
    assert_eq!(client.range(all).await.expect("a read").count, 77);
}

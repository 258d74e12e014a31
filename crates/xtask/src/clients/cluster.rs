//! Three members on free ports of loopback, ended when dropped.

use anyhow::{Context, Result, bail};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const MEMBERS: u16 = 3;
/// Until all members are healthy.
const PATIENCE: Duration = Duration::from_secs(30);
/// Ports of a block; the first marks the block as taken, as the harness of
/// `crates/etcd/tests` does.
const BLOCK: u16 = 24;

/// The flags of every member. Names that both 3.5 and 3.7 know.
const FLAGS: [&str; 6] = [
    "--heartbeat-interval=50",
    "--election-timeout=500",
    "--initial-cluster-state=new",
    "--initial-cluster-token=foreign-clients",
    "--experimental-watch-progress-notify-interval=500ms",
    "--log-level=info",
];

pub struct Cluster {
    members: Vec<Child>,
    ports: Ports,
}

impl Cluster {
    /// Starts three members in an empty directory and waits until each of them
    /// is healthy.
    pub fn start(directory: &Path, binary: &Path) -> Result<Cluster> {
        if directory.exists() {
            fs::remove_dir_all(directory)?;
        }
        fs::create_dir_all(directory)?;
        let ports = Ports::reserve()?;
        let pairs: Vec<String> =
            (0..MEMBERS).map(|number| format!("m{number}=http://127.0.0.1:{}", ports.peer(number))).collect();
        let mut cluster = Cluster { members: Vec::new(), ports };
        for number in 0..MEMBERS {
            let client = format!("http://127.0.0.1:{}", cluster.ports.client(number));
            let peer = format!("http://127.0.0.1:{}", cluster.ports.peer(number));
            let log = File::create(directory.join(format!("m{number}.log")))?;
            let mut command = Command::new(binary);
            for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("ETCD_")) {
                command.env_remove(name);
            }
            command.arg("--name").arg(format!("m{number}"));
            command.arg("--data-dir").arg(directory.join(format!("m{number}")));
            command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
            command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
            command.args(["--initial-cluster", &pairs.join(",")]).args(FLAGS);
            command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
            let child = command.spawn().with_context(|| format!("cannot start {}", binary.display()))?;
            cluster.members.push(child);
        }
        let deadline = Instant::now() + PATIENCE;
        for number in 0..MEMBERS {
            while !is_healthy(cluster.ports.client(number)) {
                if Instant::now() > deadline {
                    bail!("member m{number} is not healthy after {PATIENCE:?}; logs: {}", directory.display());
                }
                thread::sleep(Duration::from_millis(20));
            }
        }
        Ok(cluster)
    }

    /// For `COMPAT_ENDPOINTS`.
    pub fn endpoints(&self) -> String {
        let all: Vec<String> = (0..MEMBERS).map(|number| format!("127.0.0.1:{}", self.ports.client(number))).collect();
        all.join(",")
    }

    /// For `COMPAT_PIDS`, in the order of the endpoints. Nobody has waited for
    /// these processes, so the ids cannot come to mean others.
    pub fn pids(&self) -> String {
        let all: Vec<String> = self.members.iter().map(|member| member.id().to_string()).collect();
        all.join(",")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for member in &mut self.members {
            // It may be gone: programs kill members.
            let _ = member.kill();
            let _ = member.wait();
        }
    }
}

fn is_healthy(port: u16) -> bool {
    let asked = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        stream.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    asked().is_ok_and(|answer| answer.contains("\"health\":\"true\""))
}

/// A block of ports below those that the system gives to outgoing connections.
struct Ports {
    _reserved: TcpListener,
    first: u16,
}

impl Ports {
    fn reserve() -> Result<Ports> {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let blocks = (31_992 - 12_000) / BLOCK;
        for _ in 0..blocks {
            let turn = NEXT.fetch_add(1, Ordering::Relaxed);
            let block = (std::process::id() as u16).wrapping_mul(37).wrapping_add(turn) % blocks;
            let first = 12_000 + block * BLOCK;
            let Ok(reserved) = TcpListener::bind(("127.0.0.1", first)) else { continue };
            if (first + 1..first + BLOCK).all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok()) {
                return Ok(Ports { _reserved: reserved, first });
            }
        }
        bail!("no block of free ports on loopback");
    }

    fn client(&self, number: u16) -> u16 {
        self.first + 1 + number
    }

    fn peer(&self, number: u16) -> u16 {
        self.first + 1 + MEMBERS + number
    }
}

//! A cluster of real processes on loopback, in fresh directories.
//!
//! Ours and etcd are started with the same flags, letter by letter; which is
//! which is known only by the path of the program.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use proto::etcdserverpb::{RangeResponse, StatusRequest, StatusResponse};
use proto::methods::path;

use crate::load;
use crate::request::ask_revision;
use crate::{machine, started};

/// How long a cluster may take to elect a leader and answer.
const START_MAX: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(50);

/// How much of a failed member's log is shown.
const LOG_TAIL_BYTES: usize = 2000;

/// How often a member that was started again is asked whether it is there.
const ASK_AGAIN: Duration = Duration::from_millis(1);

/// One running member.
struct Member {
    pid: u32,
    /// `host:port` for clients.
    endpoint: String,
    log: PathBuf,
    program: PathBuf,
    arguments: Vec<String>,
}

impl Member {
    /// Starts a process for a member, and returns its id.
    fn spawn(program: &Path, arguments: &[String], log: &Path) -> Result<u32> {
        let output = File::options().create(true).append(true).open(log).context("making a log file")?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null());
        command.stdout(output.try_clone().context("sharing a log file")?).stderr(output);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("ETCD_")) {
            command.env_remove(name);
        }
        started::spawn(&mut command)
    }
}

/// Running members; ended and removed when dropped.
pub struct Cluster {
    members: Vec<Member>,
    directory: PathBuf,
    /// The command line of each member.
    pub commands: Vec<String>,
}

impl Cluster {
    /// Starts `count` members of a new cluster in `directory`, which must not
    /// exist, and waits until every one of them answers a linearizable range.
    pub fn start(program: &Path, count: usize, directory: &Path, extra: &[String]) -> Result<Self> {
        ensure!(!directory.exists(), "{} is there already", directory.display());
        started::make_directory(directory)?;
        let mut cluster = Self { members: Vec::new(), directory: directory.to_owned(), commands: Vec::new() };
        let ports = free_ports(count * 2)?;
        let (clients, peers) = ports.split_at(count);
        for (index, client) in clients.iter().enumerate() {
            let arguments = arguments(index, *client, peers, directory, extra);
            let log = directory.join(format!("m{index}.log"));
            let pid = Member::spawn(program, &arguments, &log)?;
            cluster.commands.push(format!("{} {}", program.display(), arguments.join(" ")));
            let (endpoint, program) = (format!("127.0.0.1:{client}"), program.to_owned());
            cluster.members.push(Member { pid, endpoint, log, program, arguments });
        }
        cluster.wait_until_ready()?;
        Ok(cluster)
    }

    fn wait_until_ready(&self) -> Result<()> {
        let deadline = Instant::now() + START_MAX;
        loop {
            self.check_alive()?;
            let ready = || {
                self.leader()?;
                self.members.iter().try_for_each(|member| revision(&member.endpoint).map(drop))
            };
            let Err(error) = ready() else { return Ok(()) };
            if Instant::now() >= deadline {
                return Err(error.context(format!("no ready cluster after {START_MAX:?}\n{}", self.log_tail(0))));
            }
            thread::sleep(POLL);
        }
    }

    /// Kills a member, starts it again on its data, and asks `ask` of its
    /// endpoint until it answers. How long that took from the start on, and the
    /// answer.
    pub fn restart<T>(&mut self, index: usize, ask: impl Fn(&str) -> Result<T>) -> Result<(Duration, T)> {
        started::end(self.members[index].pid);
        let began = Instant::now();
        let member = &mut self.members[index];
        member.pid = Member::spawn(&member.program, &member.arguments, &member.log)?;
        loop {
            match ask(&self.members[index].endpoint) {
                Ok(answer) => return Ok((began.elapsed(), answer)),
                Err(error) if began.elapsed() > START_MAX => {
                    return Err(error.context(format!("no answer after {START_MAX:?}\n{}", self.log_tail(index))));
                }
                Err(_) => self.check_alive()?,
            }
            // A process whose port is not open yet tells nobody when it will be.
            thread::sleep(ASK_AGAIN);
        }
    }

    /// # Errors
    /// When a member has ended, with the end of its log.
    pub fn check_alive(&self) -> Result<()> {
        for (index, member) in self.members.iter().enumerate() {
            if let Some(status) = started::ended(member.pid) {
                bail!("member m{index} ended ({status})\n{}", self.log_tail(index));
            }
        }
        Ok(())
    }

    fn log_tail(&self, index: usize) -> String {
        let text = fs::read(&self.members[index].log).unwrap_or_default();
        String::from_utf8_lossy(&text[text.len().saturating_sub(LOG_TAIL_BYTES)..]).into_owned()
    }

    /// Which member leads, as all of them say.
    pub fn leader(&self) -> Result<usize> {
        let status = |member: &Member| -> Result<StatusResponse> {
            load::call(&member.endpoint, path::STATUS, &StatusRequest {})
        };
        let statuses = self.members.iter().map(status).collect::<Result<Vec<_>>>()?;
        let leader = statuses[0].leader;
        ensure!(leader != 0 && statuses.iter().all(|status| status.leader == leader), "no leader yet");
        let leads = |status: &StatusResponse| status.header.as_ref().is_some_and(|header| header.member_id == leader);
        statuses.iter().position(leads).context("the leader is none of the members")
    }

    /// Where clients reach this member.
    pub fn endpoint(&self, index: usize) -> &str {
        &self.members[index].endpoint
    }

    /// Resident bytes of each member.
    pub fn resident_bytes(&self) -> Vec<u64> {
        self.members.iter().filter_map(|member| machine::resident_bytes(member.pid)).collect()
    }

    /// Bytes all members have written to disk.
    pub fn written_bytes(&self) -> u64 {
        self.members.iter().filter_map(|member| machine::written_bytes(member.pid)).sum()
    }

    /// Processor time all members have had, in seconds.
    pub fn process_seconds(&self) -> f64 {
        self.members.iter().filter_map(|member| machine::process_seconds(member.pid)).sum()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.members.iter().for_each(|member| started::end(member.pid));
        started::remove_directory(&self.directory);
    }
}

/// The present revision, read linearizably through this member.
pub fn revision(endpoint: &str) -> Result<i64> {
    let reply: RangeResponse = load::call(endpoint, path::RANGE, &ask_revision())?;
    Ok(reply.header.context("a reply without a header")?.revision)
}

/// The version the member says it has.
pub fn version(endpoint: &str) -> Result<String> {
    let status: StatusResponse = load::call(endpoint, path::STATUS, &StatusRequest {})?;
    Ok(status.version)
}

/// Ports that nobody listens on, all different.
fn free_ports(count: usize) -> Result<Vec<u16>> {
    // All are held until all are known, or the kernel might repeat one.
    let listeners = (0..count).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<Vec<_>, _>>();
    let listeners = listeners.context("binding a port of loopback")?;
    listeners.iter().map(|listener| Ok(listener.local_addr().context("asking for a port")?.port())).collect()
}

fn arguments(index: usize, client: u16, peers: &[u16], directory: &Path, extra: &[String]) -> Vec<String> {
    let client = format!("http://127.0.0.1:{client}");
    let peer = |port: u16| format!("http://127.0.0.1:{port}");
    let everyone: Vec<_> = peers.iter().enumerate().map(|(index, port)| format!("m{index}={}", peer(*port))).collect();
    let flags = [
        ("--name", format!("m{index}")),
        ("--data-dir", directory.join(format!("m{index}.data")).display().to_string()),
        ("--listen-client-urls", client.clone()),
        ("--advertise-client-urls", client),
        ("--listen-peer-urls", peer(peers[index])),
        ("--initial-advertise-peer-urls", peer(peers[index])),
        ("--initial-cluster", everyone.join(",")),
        ("--initial-cluster-token", "bench".to_owned()),
        ("--initial-cluster-state", "new".to_owned()),
    ];
    let flags = flags.into_iter().flat_map(|(name, value)| [name.to_owned(), value]);
    flags.chain(extra.iter().cloned()).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ports_differ() {
        let ports: BTreeSet<u16> = free_ports(8).unwrap().into_iter().collect();
        assert_eq!(ports.len(), 8);
    }

    #[test]
    fn members_know_each_other() {
        let extra = ["--log-level=warn".to_owned()];
        let line = arguments(1, 10, &[21, 22], Path::new("d"), &extra).join(" ");
        assert_eq!(
            line,
            "--name m1 --data-dir d/m1.data --listen-client-urls http://127.0.0.1:10 --advertise-client-urls \
             http://127.0.0.1:10 --listen-peer-urls http://127.0.0.1:22 --initial-advertise-peer-urls \
             http://127.0.0.1:22 --initial-cluster m0=http://127.0.0.1:21,m1=http://127.0.0.1:22 \
             --initial-cluster-token bench --initial-cluster-state new --log-level=warn"
        );
    }

    #[test]
    fn a_program_that_ends_at_once_is_reported() {
        let directory = std::env::temp_dir().join(format!("bench-cluster-{}", std::process::id()));
        let error = Cluster::start(Path::new("false"), 1, &directory, &[]).err().unwrap();
        assert!(error.to_string().contains("member m0 ended"), "{error:#}");
        assert!(!directory.exists());
    }
}

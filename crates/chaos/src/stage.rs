//! What faults are done to: members and the network between them.

use crate::away::Away;
use crate::clock::{self, Clock};
use crate::disk::Disk;
use crate::member::Member;
use crate::room::{self, Room};
use crate::wire::{self, Wire};
use anyhow::{Context, Result};
use fastrand::Rng;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;

/// Heartbeats and elections as etcd has them by default, in milliseconds.
const HEARTBEAT: &str = "100";
const ELECTION: &str = "1000";

/// How long members may take to say that they lead: a fault waits for it.
const SAYS: Duration = Duration::from_millis(300);

/// Of what must not happen, at most so much is noted.
const WRONG_MAX: usize = 20;

/// What this machine can do.
#[derive(Clone, Debug, Default)]
pub struct Means {
    /// Loop devices with a file system that can be shut down.
    pub power: bool,
    /// The library that moves wall clocks.
    pub clock: Option<PathBuf>,
    /// A library under which syncs do nothing, for the guard.
    pub no_sync: Option<PathBuf>,
}

/// Members, network, and who leads.
pub struct Stage {
    /// All members.
    pub members: Vec<Member>,
    /// What is between them.
    pub wire: Wire,
    /// The number of the member that leads, as far as is known.
    pub leader: Arc<AtomicUsize>,
    /// Leaders that were taken away.
    pub away: Away,
    /// What must not have happened.
    pub wrong: Vec<String>,
    /// Processes that ended by themselves, and had a reason.
    pub excused: Vec<String>,
    /// Runs what has to be waited for.
    pub runtime: tokio::runtime::Handle,
}

/// Where clients find a member.
pub fn endpoint(number: usize, members: usize) -> String {
    format!("{}:2379", wire::address(number, members))
}

impl Stage {
    /// Rooms, disks and processes for so many members, everything under
    /// `directory`.
    pub fn new(members: usize, seed: u64, program: &Path, directory: &Path, means: &Means) -> Result<Stage> {
        let wire = Wire::new(members, seed)?;
        let images = directory.join("images");
        std::fs::create_dir_all(&images)?;
        // Nothing of the machine's own disks is worn, and nothing is left. Not in
        // shared memory either: libfaketime keeps locks there by process id, and
        // one that a killed process held would hang the next with that id.
        for place in [&images, Path::new("/dev/shm")] {
            room::run(std::process::Command::new("mount").args(["-t", "tmpfs", "tmpfs"]).arg(place))?;
        }
        let url = |number, port: u16| format!("http://{}:{port}", wire::address(number, members));
        let pairs: Vec<String> = (0..members).map(|number| format!("m{}={}", number + 1, url(number, 2380))).collect();
        let mut all = Vec::new();
        for number in 0..members {
            let name = format!("m{}", number + 1);
            let room = Room::new(number, members)?;
            let disk = Disk::new(&images, &directory.join(&name), means.power)?;
            let (client, peer) = (url(number, 2379), url(number, 2380));
            let mut command = vec![program.display().to_string()];
            let mut flags = |flags: &[&str]| command.extend(flags.iter().map(|&flag| flag.to_owned()));
            flags(&["--name", &name, "--data-dir", &disk.place().join("data").display().to_string()]);
            flags(&["--listen-client-urls", &client, "--advertise-client-urls", &client]);
            flags(&["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
            flags(&["--initial-cluster", &pairs.join(","), "--initial-cluster-token", &format!("chaos-{seed}")]);
            flags(&["--heartbeat-interval", HEARTBEAT, "--election-timeout", ELECTION]);
            // So that whoever was away for a while needs a snapshot.
            flags(&["--snapshot-count", "500", "--experimental-snapshot-catchup-entries", "250"]);
            flags(&["--experimental-watch-progress-notify-interval", "500ms"]);
            let offset = images.join(format!("{name}.clock"));
            let clock = means.clock.as_ref().map(|library| Clock::new(offset, library)).transpose()?;
            all.push(Member::new(number, room, disk, clock, command, directory.join(format!("{name}.log"))));
        }
        room::clients(members)?;
        Ok(Stage {
            members: all,
            wire,
            leader: Arc::new(AtomicUsize::new(0)),
            away: Away::new(members),
            wrong: Vec::new(),
            excused: Vec::new(),
            runtime: tokio::runtime::Handle::current(),
        })
    }

    /// Starts all.
    pub fn start(&mut self) -> Result<()> {
        self.members.iter_mut().try_for_each(Member::start)
    }

    /// Who leads, as far as is known.
    pub fn leader(&self) -> usize {
        self.leader.load(Ordering::Relaxed) % self.members.len()
    }

    /// Who says, within a moment, that it leads; of several the one of the latest term.
    pub fn who_leads(&self) -> Option<usize> {
        let mut asked = JoinSet::new();
        for number in 0..self.members.len() {
            let client = crate::load::client(&[number], self.members.len(), SAYS).ok()?;
            asked.spawn_on(async move { (number, client.status().await) }, &self.runtime);
        }
        let answers = self.runtime.block_on(asked.join_all());
        let says = answers.into_iter().filter_map(|(number, answer)| {
            let status = answer.ok()?;
            (status.header?.member_id == status.leader).then_some((status.raft_term, number))
        });
        says.max().map(|(_, number)| number)
    }

    /// Any member.
    pub fn any(&self, chance: &mut Rng) -> usize {
        chance.usize(0..self.members.len())
    }

    /// So many members, in any order.
    pub fn some(&self, count: usize, chance: &mut Rng) -> Vec<usize> {
        let mut all: Vec<usize> = (0..self.members.len()).collect();
        chance.shuffle(&mut all);
        all.truncate(count);
        all
    }

    /// How many are a majority.
    pub fn majority(&self) -> usize {
        self.members.len() / 2 + 1
    }

    /// Members whose process has ended by itself are told of and started again.
    pub fn look(&mut self) -> Result<()> {
        for member in &mut self.members {
            match member.ended() {
                Some(Ok(words)) => self.excused.push(words),
                Some(Err(words)) if self.wrong.len() < WRONG_MAX => self.wrong.push(words),
                Some(Err(_)) | None => {}
            }
            member.restart()?;
        }
        Ok(())
    }

    /// Notes what a fault could not do.
    pub fn must(&mut self, what: &str, result: Result<()>) {
        if let Err(error) = result.with_context(|| what.to_owned()) {
            self.wrong.push(format!("the run itself: {error:#}"));
        }
    }
}

/// What is missing here, and what is not possible for want of it.
pub fn means() -> (Means, Vec<String>) {
    let mut lacks = Vec::new();
    let mut lack = |what: &str, package: &str| lacks.push(format!("{what}: {package} is missing"));
    let loops = Path::new("/dev/loop-control").exists() && rustix::process::geteuid().is_root();
    let power = loops && is_there("mkfs.ext4") && is_there("xfs_io");
    if !loops {
        lack("loss of power", "a loop device (and root)");
    } else if !power {
        lack("loss of power", "mkfs.ext4 (package e2fsprogs) or xfs_io (package xfsprogs)");
    }
    let clock = clock::library();
    if clock.is_none() {
        lack("jumps of wall clocks", "libfaketime (package faketime)");
    }
    (Means { power, clock, no_sync: library_named("libeatmydata.so") }, lacks)
}

/// Where Debian and others have libraries that are loaded before others.
const LIBRARIES: [&str; 4] = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib"];

/// A library, if it is there: where the environment says that some are, or in the system.
pub fn library_named(name: &str) -> Option<PathBuf> {
    let told = std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    let places = std::env::split_paths(&told).chain(LIBRARIES.iter().map(PathBuf::from));
    places.filter(|place| place.is_absolute()).map(|place| place.join(name)).find(|path| path.is_file())
}

/// Whether a program of this name lies in the path.
pub fn is_there(tool: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(tool).is_file())
}

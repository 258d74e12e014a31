//! `cargo x chaos`: real processes under real faults.

use crate::{debian, shell};
use anyhow::{Context, Result};
use std::process::Command;

/// What a run was asked to be.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// How long all rounds together take.
    pub minutes: Option<u64>,
    /// The schedule of the first round.
    pub seed: Option<u64>,
    /// Three or five; both in turn if not said.
    pub members: Option<u64>,
    /// Kinds of faults that must have an effect in each round.
    pub demand: &'static [&'static str],
}

/// Debian's packages with what faults need beyond what every system has: a
/// network, disks whose power can go, clocks that jump, disks that do not sync.
const PACKAGES: [(&str, &[&str]); 5] = [
    ("iproute2", &["/usr/sbin/ip", "/usr/bin/ip", "/sbin/ip", "/bin/ip"]),
    ("e2fsprogs", &["/usr/sbin/mkfs.ext4", "/sbin/mkfs.ext4"]),
    ("xfsprogs", &["/usr/sbin/xfs_io", "/sbin/xfs_io"]),
    (
        "libfaketime",
        &[
            "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
            "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
        ],
    ),
    ("libeatmydata1", &["/usr/lib/x86_64-linux-gnu/libeatmydata.so", "/usr/lib/aarch64-linux-gnu/libeatmydata.so"]),
];

/// First that the checks find what is lost on disks that do not sync, then
/// faults and load, once for each of `runs`.
pub fn run(runs: &[Options]) -> Result<()> {
    install()?;
    // Optimised, with assertions, as the simulator is.
    shell::run(shell::cargo(&["build", "-q", "--profile", "checked", "-p", "etcd", "-p", "chaos", "--bins"]))?;
    let bin = shell::target().join("checked");
    let command = || {
        let mut command = Command::new(bin.join("chaos"));
        command.arg("--etcd").arg(bin.join("etcd")).arg("--directory").arg(shell::target().join("chaos"));
        debian::show(&mut command).map(|()| command)
    };
    let mut guard = command()?;
    guard.arg("--guard");
    shell::run(guard).context("the guard of the checks")?;
    for run in runs {
        let mut faults = command()?;
        for (name, value) in [("--minutes", run.minutes), ("--seed", run.seed), ("--members", run.members)] {
            if let Some(value) = value {
                faults.args([name, &value.to_string()]);
            }
        }
        for kind in run.demand {
            faults.args(["--demand", kind]);
        }
        shell::run(faults)?;
    }
    Ok(())
}

/// On test machines what is missing is installed; elsewhere it is unpacked beside the project, or said how to get it.
fn install() -> Result<()> {
    let missing: Vec<&str> = PACKAGES.iter().filter(|(_, files)| !debian::has(files)).map(|(name, _)| *name).collect();
    if missing.is_empty() {
        return Ok(());
    }
    if std::env::var("CI").is_ok_and(|value| value == "true") {
        let apt = |arguments: &[&str]| {
            let mut command = Command::new("apt-get");
            command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
            command
        };
        shell::run(apt(&["update", "-qq"]))?;
        let mut install = apt(&["install", "-qq", "--yes", "--no-install-recommends"]);
        install.args(&missing);
        return shell::run(install);
    }
    let names = missing.join(" ");
    println!("fetching for faults into .cache/debian, nothing is installed: {names}");
    if let Err(error) = debian::fetch(&missing) {
        println!("cannot fetch them ({error:#}); for all kinds of faults: apt-get install {names}");
    }
    Ok(())
}

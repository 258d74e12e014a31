//! What must hold before a change is done, step by step.

use crate::{chaos, clients, compat, real_etcd, shell, tidy};
use anyhow::{Context, Result, bail};
use std::process::Command;
use std::time::Instant;

/// Simulated clusters in each check.
const CHECK_SEEDS: u64 = 2_000;

/// Of them with disks that rot on any number of members.
const CHECK_SEEDS_BEYOND: u64 = 500;

/// The rounds of faults for real processes in each check.
const CHAOS: [chaos::Options; 2] = [
    chaos::Options { minutes: Some(1), seed: Some(320), members: Some(3), demand: &FELT },
    chaos::Options { minutes: Some(1), seed: Some(377), members: Some(5), demand: &FELT },
];

/// What must have an effect in each of them: whatever else happens then, there
/// are packets, processes and clocks for these to harm.
const FELT: [&str; 18] = [
    "majority killed",
    "all killed",
    "all but one stopped (SIGSTOP)",
    "one isolated",
    "majority and minority split",
    "all apart",
    "ring: each hears only its neighbours",
    "one link, one way",
    "one link comes and goes",
    "delay and jitter",
    "loss",
    "packets doubled and out of order",
    "connections reset within a message",
    "clients cut off from one",
    "clients hear nothing",
    "power of all lost",
    "wall clock jumps forward",
    "wall clock jumps back",
];

type Step = (&'static str, fn() -> Result<()>);

const STEPS: [Step; 10] = [
    ("format", || shell::run(shell::cargo(&["fmt", "--all", "--check"])).context("`cargo x fix` formats")),
    ("tidy", tidy::tidy),
    ("lints", || shell::run(shell::cargo(&["clippy", "-q", "--workspace", "--all-targets", "--", "-D", "warnings"]))),
    ("build", || shell::run(shell::cargo(&["build", "-q", "--workspace", "--bins"]))),
    ("tests", tests),
    ("compat", || compat::differential(compat::Options::default())),
    ("clients", || clients::run(None)),
    ("sim", simulate),
    // Always the same schedule, as the simulator has the same seeds; `cargo x chaos` draws others.
    ("chaos", || chaos::run(&CHAOS)),
    ("documentation", documentation),
];

/// Runs every step, or those whose name contains `only`; the first failure
/// ends it.
pub fn check(only: Option<&str>) -> Result<()> {
    let chosen = STEPS.iter().filter(|(name, _)| only.is_none_or(|part| name.contains(part)));
    let mut ran = 0;
    for (name, step) in chosen {
        println!("── {name}");
        let started = Instant::now();
        step().with_context(|| format!("step \"{name}\" failed; `cargo x check --only {name}` repeats it"))?;
        println!("── {name}: {:.0} s", started.elapsed().as_secs_f64());
        ran += 1;
    }
    if ran == 0 {
        let names: Vec<&str> = STEPS.iter().map(|(name, _)| *name).collect();
        bail!("no step is named like that; there are: {}", names.join(", "));
    }
    println!("all that was checked holds");
    Ok(())
}

/// Formats, and lets clippy mend what it can.
pub fn fix() -> Result<()> {
    shell::run(shell::cargo(&["fmt", "--all"]))?;
    shell::run(shell::cargo(&["clippy", "--workspace", "--all-targets", "--fix", "--allow-dirty", "--allow-staged"]))?;
    shell::run(shell::cargo(&["fmt", "--all"]))
}

/// One seed with its trace, or many.
pub fn sim(seed: Option<u64>, seeds: Option<u64>, minutes: Option<u64>, members: Option<u64>) -> Result<()> {
    // Optimised, with assertions: a thousand clusters take seconds, not minutes.
    let mut command = shell::cargo(&["run", "-q", "--profile", "checked", "-p", "sim", "--"]);
    match (seed, seeds, minutes) {
        (Some(seed), None, None) => command.arg("replay").arg(seed.to_string()),
        (None, seeds, None) => command.args(["seeds", &seeds.unwrap_or(CHECK_SEEDS).to_string()]),
        (None, None, Some(minutes)) => command.args(["minutes", &minutes.to_string()]),
        _ => bail!("give one of: a seed to replay, --seeds N, --minutes N"),
    };
    if let Some(members) = members {
        command.args(["--members", &members.to_string()]);
    }
    shell::run(command)
}

/// One seed with its trace, or many, in which disks rot on any number of members.
pub fn sim_beyond(seed: Option<u64>, seeds: Option<u64>) -> Result<()> {
    let mut command = shell::cargo(&["run", "-q", "--profile", "checked", "-p", "sim", "--", "beyond"]);
    match seed {
        Some(seed) => command.arg("replay").arg(seed.to_string()),
        None => command.arg(seeds.unwrap_or(CHECK_SEEDS_BEYOND).to_string()),
    };
    shell::run(command)
}

/// Ours and the real etcd under the same load.
pub fn bench(rest: &[String]) -> Result<()> {
    let real = real_etcd::fetch()?;
    shell::run(shell::cargo(&["build", "-q", "--release", "-p", "etcd", "-p", "bench"]))?;
    let bin = shell::target().join("release");
    let mut command = Command::new(bin.join("bench"));
    command.arg("compare").arg("--ours").arg(bin.join("etcd")).arg("--real").arg(real.join("etcd")).args(rest);
    command.current_dir(shell::root());
    shell::run(command)
}

/// Scenarios, mutants and many seeds, all optimised.
fn simulate() -> Result<()> {
    shell::run(shell::cargo(&["test", "-q", "--profile", "checked", "-p", "sim"]))?;
    sim(None, Some(CHECK_SEEDS), None, None)?;
    sim_beyond(None, Some(CHECK_SEEDS_BEYOND))
}

fn tests() -> Result<()> {
    let real = real_etcd::fetch()?;
    let features = "bolt/real-etcd,store/real-etcd,etcd/real-etcd,etcdctl/real-etcd";
    let mut command = shell::cargo(&["test", "-q", "--workspace", "--exclude", "sim", "--features", features]);
    command.env("QUORATE_ETCD_BIN", real);
    shell::run(command)
}

fn documentation() -> Result<()> {
    let mut command = shell::cargo(&["doc", "-q", "--workspace", "--no-deps", "--document-private-items"]);
    command.env("RUSTDOCFLAGS", "-D warnings -A rustdoc::private_intra_doc_links");
    shell::run(command)
}

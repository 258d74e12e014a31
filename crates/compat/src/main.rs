//! The differential suite: the same requests to the real etcd and to ours, and
//! every answer compared.
//!
//! A seed makes a lane (`lane`), a lane makes a sequence of steps (`grammar`),
//! `run` sends it to both sides and stops at the first difference, `minimise`
//! shortens it. Nothing here knows how a member works inside; it speaks gRPC
//! to processes.

mod answer;
mod cluster;
mod excluded;
mod grammar;
mod lane;
mod minimise;
mod request;
mod run;
mod side;
mod watch;

use anyhow::{Result, bail};
use clap::Parser;
use cluster::Programs;
use futures_util::future::join_all;
use lane::Lane;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

#[derive(Parser)]
#[command(
    name = "compat",
    about = "The same requests to the real etcd and to ours, compared",
    disable_version_flag = true
)]
struct Arguments {
    /// Our program
    #[arg(long)]
    ours: PathBuf,
    /// The real one
    #[arg(long)]
    real: PathBuf,
    /// Only this seed
    #[arg(long)]
    seed: Option<u64>,
    /// Only so many steps of each seed
    #[arg(long)]
    steps: Option<usize>,
    /// Until so many requests were compared
    #[arg(long, default_value_t = 200_000)]
    requests: u64,
    /// Until so many minutes have passed
    #[arg(long)]
    minutes: Option<u64>,
    /// The first seed
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Lanes at once
    #[arg(long, default_value_t = 4)]
    lanes: usize,
}

/// Memory, where there is some: what is compared is no disk.
fn scratch() -> PathBuf {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() }
}

struct Totals {
    next: AtomicU64,
    requests: AtomicU64,
    disturbed: AtomicU64,
    differences: Mutex<Vec<String>>,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let started = Instant::now();
    let totals = Totals {
        next: AtomicU64::new(arguments.from),
        requests: AtomicU64::new(0),
        disturbed: AtomicU64::new(0),
        differences: Mutex::default(),
    };
    let runners = if arguments.seed.is_some() { 1 } else { arguments.lanes };
    let ends = join_all((0..runners).map(|_| runner(&arguments, started, &totals))).await;
    ends.into_iter().collect::<Result<()>>()?;
    let requests = totals.requests.load(Ordering::Relaxed);
    let disturbed = totals.disturbed.load(Ordering::Relaxed);
    let differences = totals.differences.into_inner().unwrap_or_default();
    println!(
        "{requests} requests compared in {:.0} s, {} differences, {disturbed} lanes disturbed; not compared: {}",
        started.elapsed().as_secs_f64(),
        differences.len(),
        excluded::EXCLUDED.map(|(name, _)| name).join(", ")
    );
    if !differences.is_empty() {
        bail!("the two differ:\n{}", differences.join("\n"));
    }
    Ok(())
}

/// Runs lane after lane.
async fn runner(arguments: &Arguments, started: Instant, totals: &Totals) -> Result<()> {
    let programs = Programs { ours: arguments.ours.clone(), real: arguments.real.clone() };
    loop {
        let over = match arguments.minutes {
            Some(minutes) => started.elapsed() >= Duration::from_secs(60 * minutes),
            None => totals.requests.load(Ordering::Relaxed) >= arguments.requests,
        };
        let stop = totals.differences.lock().is_ok_and(|differences| !differences.is_empty());
        if over || stop {
            return Ok(());
        }
        let seed = arguments.seed.unwrap_or_else(|| totals.next.fetch_add(1, Ordering::Relaxed));
        let mut lane = Lane::of(seed);
        lane.steps = arguments.steps.map_or(lane.steps, |steps| steps.min(lane.steps));
        one(&programs, lane, totals).await?;
        if arguments.seed.is_some() {
            return Ok(());
        }
    }
}

async fn one(programs: &Programs, lane: Lane, totals: &Totals) -> Result<()> {
    let steps = grammar::sequence(lane);
    let (started, scratch) = (Instant::now(), scratch());
    let outcome = run::run(programs, &scratch, lane, &steps).await?;
    totals.requests.fetch_add(outcome.requests, Ordering::Relaxed);
    let took = started.elapsed().as_secs_f64();
    println!("seed {} ({:?}): {} requests in {took:.1} s", lane.seed, lane.kind, outcome.requests);
    if let Some(why) = outcome.disturbed {
        println!("seed {} was disturbed: {why}", lane.seed);
        totals.disturbed.fetch_add(1, Ordering::Relaxed);
    }
    let Some(mismatch) = outcome.mismatch else { return Ok(()) };
    println!(
        "seed {} differs at step {}:\n{}\nlooking for the shortest sequence …",
        lane.seed, mismatch.at, mismatch.words
    );
    let (shortest, mismatch) = minimise::minimise(programs, &scratch, lane, &steps, mismatch).await?;
    let lines: Vec<String> = shortest.iter().map(|step| format!("  {step:?}")).collect();
    let words = format!(
        "`cargo x compat --seed {}`, {} steps:\n{}\n{}",
        lane.seed,
        lines.len(),
        lines.join("\n"),
        mismatch.words
    );
    println!("{words}");
    totals.differences.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(words);
    Ok(())
}

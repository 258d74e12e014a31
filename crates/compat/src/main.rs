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
mod words;

use anyhow::{Result, bail};
use clap::Parser;
use cluster::Programs;
use futures_util::future::join_all;
use lane::Lane;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Seeds of a run that was asked for nothing else.
const SEEDS: u64 = 20;
/// That many requests are compared by such a run, or it has failed.
const ENOUGH: u64 = 200_000;
/// A lane that is disturbed is run again; when it is so each time, that is a
/// difference too.
const ATTEMPTS: usize = 4;

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
    /// So many seeds
    #[arg(long, default_value_t = SEEDS)]
    seeds: u64,
    /// Until so many minutes have passed
    #[arg(long)]
    minutes: Option<u64>,
    /// The first seed
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Lanes at once
    #[arg(long, default_value_t = 6)]
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
    events: AtomicU64,
    lanes: AtomicU64,
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
        events: AtomicU64::new(0),
        lanes: AtomicU64::new(0),
        disturbed: AtomicU64::new(0),
        differences: Mutex::default(),
    };
    let runners = if arguments.seed.is_some() { 1 } else { arguments.lanes };
    let ends = join_all((0..runners).map(|_| runner(&arguments, started, &totals))).await;
    ends.into_iter().collect::<Result<()>>()?;
    let told = |number: &AtomicU64| number.load(Ordering::Relaxed);
    let requests = told(&totals.requests);
    let differences = totals.differences.lock().map(|differences| differences.clone()).unwrap_or_default();
    println!("not compared: {}", excluded::EXCLUDED.map(|(name, _)| name).join(", "));
    println!(
        "{requests} requests and {} events compared in {} lanes ({} disturbed and run again), {} mismatches, {:.0} s",
        told(&totals.events),
        told(&totals.lanes),
        told(&totals.disturbed),
        differences.len(),
        started.elapsed().as_secs_f64(),
    );
    if !differences.is_empty() {
        bail!("the two differ:\n{}", differences.join("\n"));
    }
    let all = arguments.seed.is_none() && arguments.minutes.is_none() && arguments.steps.is_none();
    if all && arguments.seeds >= SEEDS && requests < ENOUGH {
        bail!("only {requests} requests were compared, at least {ENOUGH} should be");
    }
    Ok(())
}

/// Runs lane after lane.
async fn runner(arguments: &Arguments, started: Instant, totals: &Totals) -> Result<()> {
    let programs = Programs { ours: arguments.ours.clone(), real: arguments.real.clone() };
    loop {
        let stop = totals.differences.lock().is_ok_and(|differences| !differences.is_empty());
        let seed = arguments.seed.unwrap_or_else(|| totals.next.fetch_add(1, Ordering::Relaxed));
        let over = match (arguments.seed, arguments.minutes) {
            (Some(_), _) => false,
            (None, Some(minutes)) => started.elapsed() >= Duration::from_secs(60 * minutes),
            (None, None) => seed >= arguments.from + arguments.seeds,
        };
        if over || stop {
            return Ok(());
        }
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
    let mut attempt = 1;
    let outcome = loop {
        let outcome = run::run(programs, &scratch, lane, &steps).await?;
        let Some(why) = &outcome.disturbed else { break outcome };
        println!("seed {} was disturbed after {} requests: {why}", lane.seed, outcome.requests);
        totals.disturbed.fetch_add(1, Ordering::Relaxed);
        if attempt == ATTEMPTS {
            break outcome;
        }
        attempt += 1;
    };
    totals.requests.fetch_add(outcome.requests, Ordering::Relaxed);
    totals.events.fetch_add(outcome.events, Ordering::Relaxed);
    totals.lanes.fetch_add(1, Ordering::Relaxed);
    println!(
        "seed {} ({:?}{}): {} requests, {} events in {:.1} s",
        lane.seed,
        lane.kind,
        if lane.limits.tight { ", tight" } else { "" },
        outcome.requests,
        outcome.events,
        started.elapsed().as_secs_f64()
    );
    let words = match (outcome.mismatch, outcome.disturbed) {
        (Some(mismatch), _) => {
            println!(
                "seed {} differs at step {}:\n{}\nlooking for the shortest sequence …",
                lane.seed, mismatch.at, mismatch.words
            );
            let (shortest, mismatch) = minimise::minimise(programs, &scratch, lane, &steps, mismatch).await?;
            let lines: Vec<String> = shortest.iter().map(|step| format!("  {}", words::cut(step, 500))).collect();
            let count = lines.len();
            format!("`cargo x compat --seed {}`, {count} steps:\n{}\n{}", lane.seed, lines.join("\n"), mismatch.words)
        }
        (None, Some(why)) => format!("`cargo x compat --seed {}` was disturbed {ATTEMPTS} times: {why}", lane.seed),
        (None, None) => return Ok(()),
    };
    println!("{words}");
    totals.differences.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(words);
    Ok(())
}

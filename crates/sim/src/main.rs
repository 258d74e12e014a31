//! `sim replay SEED`, `sim seeds N`, `sim minutes N`, `sim mutants N`.

use sim::mutant::{ALL, Mutant, UNCAUGHT};
use sim::record::Counts;
use sim::{Outcome, Settings, run};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["replay", seed] => match seed.parse() {
            Ok(seed) => replay(seed),
            Err(_) => usage(),
        },
        ["seeds", count] => match count.parse() {
            Ok(count) => many(count, None),
            Err(_) => usage(),
        },
        ["mutants", seeds] => match seeds.parse() {
            Ok(seeds) => mutants(seeds, None),
            Err(_) => usage(),
        },
        ["mutants", seeds, name] => match seeds.parse() {
            Ok(seeds) => mutants(seeds, Some(name)),
            Err(_) => usage(),
        },
        ["minutes", minutes] => match minutes.parse() {
            Ok(minutes) => many(u64::MAX, Some(minutes)),
            Err(_) => usage(),
        },
        _ => usage(),
    }
}

fn usage() -> ExitCode {
    eprintln!("usage: sim replay SEED | sim seeds N | sim minutes N | sim mutants N [NAME]");
    ExitCode::from(2)
}

fn replay(seed: u64) -> ExitCode {
    let outcome = run(Settings { tell: true, ..Settings::of(seed) });
    println!("seed {seed} holds: {outcome:?}");
    ExitCode::SUCCESS
}

/// What all runs together did.
#[derive(Default)]
struct Total {
    runs: u64,
    simulated_seconds: u64,
    member_seconds: u64,
    counts: Counts,
    failed: Vec<u64>,
}

impl Total {
    fn add(&mut self, outcome: &Outcome) {
        let seconds = outcome.simulated / 1_000_000;
        self.runs += 1;
        self.simulated_seconds += seconds;
        self.member_seconds += seconds * outcome.members as u64;
        let (sum, one) = (&mut self.counts, outcome.counts);
        sum.asked += one.asked;
        sum.answered += one.answered;
        sum.crashes += one.crashes;
        sum.partitions += one.partitions;
        sum.snapshots += one.snapshots;
        sum.elections += one.elections;
        sum.events += one.events;
        sum.renewals += one.renewals;
        sum.replaced += one.replaced;
    }
}

/// Seeds from 0 on, on as many threads as there are cores, until the count or
/// the time is reached. One seed in fifty runs twice and must not differ.
fn many(seeds: u64, minutes: Option<u64>) -> ExitCode {
    // The driver of worlds may look at the clock; the worlds may not.
    #[allow(clippy::disallowed_methods)]
    let started = std::time::Instant::now();
    let deadline = minutes.map(|minutes| std::time::Duration::from_secs(60 * minutes));
    let next = Arc::new(AtomicU64::new(0));
    let total = Arc::new(Mutex::new(Total::default()));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds || deadline.is_some_and(|limit| started.elapsed() > limit) {
                        return;
                    }
                    one(seed, &total);
                }
            });
        }
    });
    let total = total.lock().expect("workers have ended");
    let elapsed = started.elapsed().as_secs_f64();
    let counts = total.counts;
    println!(
        "{} seeds in {elapsed:.1} s: {} cluster-hours per core-hour; {} requests, {} answered, {} watch events, \
         {} renewals, {} crashes, {} partitions, {} snapshots, {} elections, {} members replaced; {} violations",
        total.runs,
        (total.simulated_seconds as f64 / elapsed / cores as f64) as u64,
        counts.asked,
        counts.answered,
        counts.events,
        counts.renewals,
        counts.crashes,
        counts.partitions,
        counts.snapshots,
        counts.elections,
        counts.replaced,
        total.failed.len(),
    );
    if total.failed.is_empty() {
        return ExitCode::SUCCESS;
    }
    for seed in &total.failed {
        println!("  seed {seed} broke a promise; `cargo x sim {seed}` replays it");
    }
    ExitCode::FAILURE
}

/// The first seed below the bound that catches each mutant.
fn mutants(seeds: u64, name: Option<&str>) -> ExitCode {
    std::panic::set_hook(Box::new(|_| {}));
    let mut all = true;
    let demanded = ALL.into_iter().map(|(mutant, _)| mutant);
    let chosen: Vec<Mutant> = match name {
        Some(name) => demanded.chain(UNCAUGHT).filter(|mutant| format!("{mutant:?}") == name).collect(),
        None => demanded.collect(),
    };
    for mutant in chosen {
        // The driver of worlds may look at the clock; the worlds may not.
        #[allow(clippy::disallowed_methods)]
        let started = std::time::Instant::now();
        let caught = (0..seeds).find_map(|seed| {
            let settings = Settings { mutant: Some(mutant), ..Settings::of(seed) };
            let panic = std::panic::catch_unwind(|| run(settings)).err()?;
            let words = panic.downcast_ref::<String>().cloned().unwrap_or_default();
            Some((seed, words))
        });
        all &= caught.is_some();
        match caught {
            Some((seed, words)) => {
                let first: String = words.lines().next().unwrap_or_default().chars().take(140).collect();
                let seconds = started.elapsed().as_secs_f64();
                println!("{mutant:?}: seed {seed}, {seconds:.1} s: {first}");
            }
            None => println!("{mutant:?}: not caught by {seeds} seeds"),
        }
    }
    if all { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn one(seed: u64, total: &Mutex<Total>) {
    let outcome = std::panic::catch_unwind(|| {
        let outcome = run(Settings::of(seed));
        if seed.is_multiple_of(50) {
            let again = run(Settings::of(seed));
            assert_eq!(outcome.trace_hash, again.trace_hash, "seed {seed} run twice gives two traces");
        }
        outcome
    });
    let mut total = total.lock().expect("a worker counts without panicking");
    match outcome {
        Ok(outcome) => total.add(&outcome),
        Err(_) => {
            eprintln!("seed {seed} broke a promise (above)");
            total.failed.push(seed);
        }
    }
}

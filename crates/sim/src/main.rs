//! `sim replay SEED`, `sim seeds N`, `sim minutes N`, `sim beyond N`, `sim mutants N`, `sim matrix N`; see `usage`.

use sim::check::room::Waiting;
use sim::faults::{HEAL, KINDS, NAMES, can_meet};
use sim::ledger::Kinds;
use sim::load::Mix;
use sim::mutant::{ALL, Mutant, Stage};
use sim::record::Counts;
use sim::scenario::Story;
use sim::{Outcome, Settings, World, run, scenario};
use std::ops::Range;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match (number_of(&mut words, "--from"), number_of(&mut words, "--members")) {
        (Ok(from), Ok(members)) => told(&words, from.unwrap_or(0), members).unwrap_or_else(usage),
        _ => usage(),
    }
}

/// The number behind a flag, which is taken away with it.
fn number_of(words: &mut Vec<&str>, flag: &str) -> Result<Option<u64>, ()> {
    let Some(at) = words.iter().position(|word| *word == flag) else { return Ok(None) };
    let number = words.get(at + 1).and_then(|number| number.parse().ok()).ok_or(())?;
    words.drain(at..at + 2);
    Ok(Some(number))
}

/// What was asked for; nothing if nobody knows what that is.
fn told(words: &[&str], from: u64, members: Option<u64>) -> Option<ExitCode> {
    let members = match members {
        Some(members @ 1..=7) => Some(members as usize),
        Some(_) => return None,
        None => None,
    };
    let world = |seed| Settings { members, ..Settings::of(seed) };
    Some(match *words {
        ["replay", seed] => replay(world(seed.parse().ok()?)),
        ["seeds", count] => many(world, from..from.saturating_add(count.parse().ok()?), None),
        ["minutes", minutes] => many(world, from..u64::MAX, Some(minutes.parse().ok()?)),
        ["beyond", count] => beyond(from..from.saturating_add(count.parse().ok()?)),
        ["beyond", "replay", seed] => replay(Settings { beyond: true, ..world(seed.parse().ok()?) }),
        ["scenario", name, seed] => tell(name, seed.parse().ok()?, None),
        ["scenario", name, seed, mutant] => tell(name, seed.parse().ok()?, Some(mutant)),
        ["mutants", seeds] => mutants(seeds.parse().ok()?, None),
        ["mutants", seeds, name] => mutants(seeds.parse().ok()?, Some(name)),
        ["history", requests] => history(requests.parse().ok()?),
        ["matrix", seeds] => matrix(seeds.parse().ok()?, None),
        ["matrix", seeds, name] => matrix(seeds.parse().ok()?, Some(name)),
        _ => return None,
    })
}

fn usage() -> ExitCode {
    eprintln!(
        "usage: sim replay SEED | sim seeds N [--from SEED] [--members 1..7] | sim minutes N [--from SEED] | \
         sim beyond N [--from SEED] | sim beyond replay SEED | sim scenario NAME SEED [MUTANT] | sim mutants N [NAME] | \
         sim matrix N [NAME] | sim history N"
    );
    ExitCode::from(2)
}

fn replay(settings: Settings) -> ExitCode {
    let outcome = run(Settings { tell: true, ..settings });
    println!("seed {} holds: {outcome:?}", settings.seed);
    ExitCode::SUCCESS
}

/// One scenario, whole or with a mutant.
fn tell(name: &str, seed: u64, mutant: Option<&str>) -> ExitCode {
    let known =
        |wanted: &str| ALL.into_iter().map(|(mutant, ..)| mutant).find(|mutant| format!("{mutant:?}") == wanted);
    let broken = mutant.and_then(known);
    let Some((_, scenario)) = scenario::ALL.into_iter().find(|(known, _)| *known == name) else {
        eprintln!("no scenario is called {name:?}");
        return ExitCode::from(2);
    };
    if broken.is_none() && mutant.is_some() {
        eprintln!("no mutant is called {mutant:?}");
        return ExitCode::from(2);
    }
    println!("{name} holds: {:?}", scenario(Story { seed, mutant: broken }));
    ExitCode::SUCCESS
}

/// What all runs together did.
#[derive(Default)]
struct Total {
    runs: u64,
    simulated_seconds: f64,
    seconds_under_faults: f64,
    counts: Counts,
    kinds: Kinds,
    most: Waiting,
    halted: u64,
    failed: Vec<u64>,
}

impl Total {
    fn add(&mut self, outcome: &Outcome) {
        self.runs += 1;
        self.halted += u64::from(outcome.halted);
        self.simulated_seconds += outcome.simulated as f64 / 1e6;
        self.seconds_under_faults += outcome.under_faults as f64 / 1e6;
        let (sum, one) = (&mut self.counts, outcome.counts);
        sum.asked += one.asked;
        sum.answered += one.answered;
        sum.faults += one.faults;
        sum.crashes += one.crashes;
        sum.partitions += one.partitions;
        sum.snapshots += one.snapshots;
        sum.elections += one.elections;
        sum.events += one.events;
        sum.progress += one.progress;
        sum.renewals += one.renewals;
        sum.revoked += one.revoked;
        sum.met.add(&one.met);
        sum.replaced += one.replaced;
        self.kinds.add(&outcome.kinds);
        self.most.widen(&outcome.most_waiting);
    }
}

/// Runs the worlds of these seeds, on as many threads as there are cores, until all have run or the time is over. One seed in
/// fifty runs twice and must not differ.
fn run_all(world: impl Fn(u64) -> Settings + Sync, seeds: Range<u64>, deadline: impl Fn() -> bool + Sync) -> Total {
    let next = AtomicU64::new(seeds.start);
    let total = Mutex::new(Total::default());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end || deadline() {
                        return;
                    }
                    one(world(seed), &total);
                }
            });
        }
    });
    total.into_inner().expect("workers have ended")
}

/// Worlds of many seeds, or of so many minutes, and figures of them.
fn many(world: impl Fn(u64) -> Settings + Sync, seeds: Range<u64>, minutes: Option<u64>) -> ExitCode {
    // The driver of worlds may look at the clock; the worlds may not.
    #[allow(clippy::disallowed_methods)]
    let started = std::time::Instant::now();
    let members = world(0).members;
    let limit = minutes.map(|minutes| std::time::Duration::from_secs(60 * minutes));
    let total = run_all(world, seeds, || limit.is_some_and(|limit| started.elapsed() > limit));
    let elapsed = started.elapsed().as_secs_f64();
    let counts = total.counts;
    let size = members.map_or("1 to 7".to_owned(), |members| members.to_string());
    // Of the cores that were really had: others may use them too.
    let spent = processor_seconds().unwrap_or(elapsed);
    println!(
        "{} seeds of {size} members in {elapsed:.1} s ({spent:.1} s of processors): {:.0} cluster-hours per core-hour, {:.0} of them under faults; {} requests, {} answered, {} watch events, \
         {} answers of progress, {} renewals, {} leases revoked, {} faults with effect, {} crashes, {} partitions, {} snapshots, {} elections, {} members replaced; {} violations",
        total.runs,
        total.simulated_seconds / spent,
        total.seconds_under_faults / spent,
        counts.asked,
        counts.answered,
        counts.events,
        counts.progress,
        counts.renewals,
        counts.revoked,
        counts.faults,
        counts.crashes,
        counts.partitions,
        counts.snapshots,
        counts.elections,
        counts.replaced,
        total.failed.len(),
    );
    println!("the most that waited inside a member: {:?}; bounds that were met: {:?}", total.most, counts.met);
    tell_kinds(&total.kinds, false);
    told_failures(&total, "")
}

/// Worlds in which disks rot on any number of members.
fn beyond(seeds: Range<u64>) -> ExitCode {
    let total = run_all(|seed| Settings { beyond: true, ..Settings::of(seed) }, seeds, || false);
    let counts = total.counts;
    println!(
        "{} worlds with disks that rot on any number of members: {} halted, {} could go on; {} requests, {} answered, \
         {} watch events, {} faults with effect, {} crashes; {} violations",
        total.runs,
        total.halted,
        total.runs - total.halted,
        counts.asked,
        counts.answered,
        counts.events,
        counts.faults,
        counts.crashes,
        total.failed.len(),
    );
    tell_kinds(&total.kinds, true);
    told_failures(&total, " --beyond")
}

/// What was drawn and came to nothing, and what never went wrong together.
fn tell_kinds(kinds: &Kinds, beyond: bool) {
    let named = |wanted: &dyn Fn(usize) -> bool| {
        // What ends others is none itself.
        let names: Vec<&str> =
            (0..KINDS).filter(|&kind| kind != HEAL && wanted(kind)).map(|kind| NAMES[kind]).collect();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    };
    println!(
        "{} faults drawn, {} with effect; kinds never drawn: {}; kinds without effect: {}",
        kinds.all_drawn(),
        kinds.all_struck(),
        named(&|kind| kinds.drawn[kind] == 0),
        named(&|kind| kinds.drawn[kind] > 0 && kinds.struck[kind] == 0),
    );
    let mut rarest: Vec<usize> = (0..KINDS).filter(|&kind| kind != HEAL).collect();
    rarest.sort_by_key(|&kind| kinds.struck[kind]);
    let rarest: Vec<String> = rarest[..5]
        .iter()
        .map(|&kind| format!("{} {} of {}", NAMES[kind], kinds.struck[kind], kinds.drawn[kind]))
        .collect();
    println!("  fewest: {}", rarest.join(", "));
    let pairs = (0..KINDS).flat_map(|one| (0..one).map(move |other| (other, one)));
    let possible: Vec<(usize, usize)> = pairs.filter(|&(one, other)| can_meet(one, other, beyond)).collect();
    let apart: Vec<String> = possible
        .iter()
        .filter(|&&(one, other)| !kinds.have_met(one, other))
        .map(|&(one, other)| format!("{} and {}", NAMES[one], NAMES[other]))
        .collect();
    println!("{} of {} pairs of kinds overlapped in time", possible.len() - apart.len(), possible.len());
    if !apart.is_empty() {
        println!("  never: {}", apart.join("; "));
    }
}

fn told_failures(total: &Total, how: &str) -> ExitCode {
    if total.failed.is_empty() {
        return ExitCode::SUCCESS;
    }
    for seed in &total.failed {
        println!("  seed {seed} broke a promise; `cargo x sim {seed}{how}` replays it");
    }
    ExitCode::FAILURE
}

/// The first seed below the bound that catches each mutant, where it is looked for.
fn mutants(seeds: u64, name: Option<&str>) -> ExitCode {
    std::panic::set_hook(Box::new(|_| {}));
    let mut all = true;
    for (mutant, stage, _) in
        ALL.into_iter().filter(|(mutant, ..)| name.is_none_or(|name| format!("{mutant:?}") == name))
    {
        // The driver of worlds may look at the clock; the worlds may not.
        #[allow(clippy::disallowed_methods)]
        let started = std::time::Instant::now();
        let caught = (0..seeds).find_map(|seed| Some((seed, stage.catches(mutant, seed)?)));
        all &= caught.is_some();
        match caught {
            Some((seed, words)) => {
                let seconds = started.elapsed().as_secs_f64();
                println!("{mutant:?} | {} | {seed} | {seconds:.1} | {}", stage.name(), brief(&words));
            }
            None => println!("{mutant:?} | {} | not caught by {seeds} seeds", stage.name()),
        }
    }
    if all { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// One long history, and how long it takes to check it.
fn history(requests: u64) -> ExitCode {
    let mut world = World::directed(Story::of(1), 3);
    world.clients_ask(Mix::default(), 2_000, None);
    while world.counts().asked < requests {
        world.go_on(1_000_000);
    }
    // The driver of worlds may look at the clock; the worlds may not.
    #[allow(clippy::disallowed_methods)]
    let now = std::time::Instant::now;
    let mut rested = now();
    let outcome = world.finish_noting(|| rested = now());
    let seconds = rested.elapsed().as_secs_f64();
    let (counts, simulated) = (outcome.counts, outcome.simulated / 1_000_000);
    println!(
        "{} requests, {} answers and {} events in {simulated} simulated seconds: checked in {seconds:.1} s",
        counts.asked, counts.answered, counts.events
    );
    ExitCode::SUCCESS
}

/// Which mutants each scenario, or one, notices within so many seeds.
fn matrix(seeds: u64, only: Option<&str>) -> ExitCode {
    std::panic::set_hook(Box::new(|_| {}));
    for (name, scenario) in scenario::ALL.into_iter().filter(|(name, _)| only.is_none_or(|only| only == *name)) {
        let notices = |mutant: Mutant| (0..seeds).find_map(|seed| Stage::Told(scenario).catches(mutant, seed));
        let noticed: Vec<String> = ALL
            .into_iter()
            .filter(|&(mutant, ..)| notices(mutant).is_some())
            .map(|(mutant, ..)| format!("{mutant:?}"))
            .collect();
        println!("{name}: {}", noticed.join(", "));
    }
    ExitCode::SUCCESS
}

/// The first line of what was said, and not too much of it.
fn brief(words: &str) -> String {
    words.lines().next().unwrap_or_default().chars().take(140).collect()
}

/// Seconds that this process has had of processors, its own and the system's for it; where that is told.
fn processor_seconds() -> Option<f64> {
    let told = std::fs::read_to_string("/proc/self/stat").ok()?;
    // Behind the name, which may hold anything: utime and stime are the 12th and 13th field.
    let fields: Vec<&str> = told.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks: u64 = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    // Linux tells user space a hundred of them a second, whatever it counts by itself.
    Some(ticks as f64 / 100.0)
}

fn one(settings: Settings, total: &Mutex<Total>) {
    let seed = settings.seed;
    let outcome = std::panic::catch_unwind(|| {
        let outcome = run(settings);
        if seed.is_multiple_of(50) {
            let again = run(settings);
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

//! Ours against etcd: in turns, in one run, medians of the rounds.
//!
//! ```text
//!   round 1:  ours ×3   etcd ×3   ours ×1   etcd ×1   ours restarted   etcd restarted
//!   round 2:  ours ×3   …
//! ```
//!
//! One cluster is up at a time: even an idle one has heartbeats, and on few
//! cores they show. Whatever goes wrong with a load is a problem that is
//! reported at the end; the other loads go on.

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;
use serde_json::json;

use crate::cluster::{self, Cluster};
use crate::figure::{MEMORY, Measurement, RESTART, ROWS, Row, Sample, Side, To, lines};
use crate::keyspace::Keyspace;
use crate::load::{self, Extent, Load, Outcome};
use crate::machine::{self, Machine};
use crate::origin::Origin;
use crate::request::Kind;
use crate::{report, restart};

/// A started cluster is left alone this long before it counts as idle.
const SETTLE: Duration = Duration::from_secs(1);

/// More of the machine than this, used by others, makes figures doubtful.
const OTHER_CORES_MAX: f64 = 0.1;

/// What to compare, and how long.
pub struct Plan {
    pub ours: PathBuf,
    pub etcd: PathBuf,
    pub members: usize,
    pub rounds: usize,
    /// What is measured of each load.
    pub measured: Duration,
    pub keys: usize,
    pub value_bytes: usize,
    /// Puts before memory is measured.
    pub fill: u64,
    /// Names of loads; none means all.
    pub only: Vec<String>,
    /// Flags for every member of both.
    pub extra: Vec<String>,
    /// Where clusters get their directories.
    pub directory: PathBuf,
    pub json: Option<PathBuf>,
}

/// What the run found out besides figures.
#[derive(Default, Serialize)]
struct Findings {
    samples: Vec<Sample>,
    problems: Vec<String>,
    /// One command line of a member for each side and size of cluster.
    commands: Vec<String>,
    versions: Vec<(Side, String)>,
}

impl Plan {
    fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|wanted| wanted == name)
    }

    /// # Errors
    /// When the plan cannot be carried out whatever the servers do.
    pub fn check(&self) -> Result<()> {
        for name in &self.only {
            let known: Vec<&str> = ROWS.iter().map(|row| row.name).chain([MEMORY, RESTART]).collect();
            ensure!(known.contains(&name.as_str()), "there is no load {name:?}; there are {}", known.join(", "));
        }
        for program in [&self.ours, &self.etcd] {
            ensure!(program.is_file(), "{} is no file", program.display());
        }
        ensure!(self.members >= 1 && self.rounds >= 1, "nothing to compare without members and rounds");
        ensure!(self.fill >= self.keys as u64, "the fill must write every one of the {} keys", self.keys);
        Ok(())
    }
}

/// Carries the plan out and prints the table. True when nothing went wrong.
pub fn run(plan: &Plan) -> Result<bool> {
    plan.check()?;
    std::fs::create_dir_all(&plan.directory).with_context(|| format!("making {}", plan.directory.display()))?;
    let machine = Machine::here(&plan.directory);
    // Before anything runs: a tree that is built anew meanwhile would be told for the one that was measured.
    let origin = Origin::of(Side::BOTH.map(|side| (side, plan.program(side))))?;
    let keyspace = Rc::new(Keyspace::new(plan.keys, plan.value_bytes));
    let mut findings = Findings::default();
    for round in 1..=plan.rounds {
        for single in [false, true] {
            if !ROWS.iter().any(|row| row.single == single && plan.wants(row.name)) && (single || !plan.wants(MEMORY)) {
                continue;
            }
            for side in Side::BOTH {
                if let Err(error) = one_cluster(plan, &keyspace, round, side, single, &mut findings) {
                    findings.problem(round, side, "cluster", &format!("{error:#}"));
                }
            }
        }
        for side in Side::BOTH.into_iter().filter(|_| plan.wants(RESTART)) {
            match restart::measure(plan.program(side), &plan.place(round, side, RESTART), plan) {
                Ok(measurement) => {
                    let (first, resident) = (measurement.first_read_us / 1e3, &measurement.resident_after);
                    println!(
                        "round {round}  {side:<5?} {RESTART:<20} first read {first:.1} ms  resident {resident:?} bytes"
                    );
                    findings.sample(round, side, RESTART, measurement);
                }
                Err(error) => findings.problem(round, side, RESTART, &format!("{error:#}")),
            }
        }
    }
    let lines = lines(&findings.samples);
    println!();
    print!("{}", origin.lines());
    println!();
    print!("{}", report::table(&lines));
    warn_of_others(&findings.samples);
    if let Some(path) = &plan.json {
        let result = json!({
            "machine": machine, "rounds": plan.rounds, "members": plan.members, "keys": plan.keys,
            "value_bytes": plan.value_bytes, "fill": plan.fill, "measured_seconds": plan.measured.as_secs_f64(),
            "origin": origin, "figures": lines, "findings": findings,
        });
        let text = serde_json::to_string_pretty(&result).context("writing JSON")?;
        std::fs::write(path, text + "\n").with_context(|| format!("writing {}", path.display()))?;
    }
    for problem in &findings.problems {
        println!("PROBLEM {problem}");
    }
    Ok(findings.problems.is_empty())
}

impl Findings {
    fn problem(&mut self, round: usize, side: Side, load: &str, words: &str) {
        let problem = format!("round {round}, {side:?}, {load}: {words}");
        eprintln!("{problem}");
        self.problems.push(problem);
    }

    fn sample(&mut self, round: usize, side: Side, load: &'static str, measurement: Measurement) {
        if let Some((words, count)) = measurement.failures.iter().max_by_key(|(_, count)| **count) {
            let failed: u64 = measurement.failures.values().sum();
            self.problem(round, side, load, &format!("{failed} requests failed, {count} of them with: {words}"));
        }
        self.samples.push(Sample { round, side, load, measurement });
    }
}

/// Starts one cluster, runs its loads, ends it.
fn one_cluster(
    plan: &Plan,
    keyspace: &Rc<Keyspace>,
    round: usize,
    side: Side,
    single: bool,
    findings: &mut Findings,
) -> Result<()> {
    let members = if single { 1 } else { plan.members };
    let directory = plan.place(round, side, &members.to_string());
    let cluster = Cluster::start(plan.program(side), members, &directory, &plan.extra)?;
    if round == 1 {
        findings.commands.push(cluster.commands[0].clone());
        if !single {
            findings.versions.push((side, cluster::version(cluster.endpoint(0))?));
        }
    }
    thread::sleep(SETTLE);

    // The fill also gives every key its value, so ranges have something to find.
    let memory = !single && plan.wants(MEMORY);
    let requests = if memory { plan.fill } else { plan.keys as u64 };
    let filled = measure(&cluster, keyspace, &Load::fill(Kind::Put, requests), To::Leader).context("filling")?;
    ensure!(filled.failures.is_empty(), "filling failed: {:?}", filled.failures);
    if memory {
        let line = format!("resident {:?} -> {:?} bytes", filled.resident_before, filled.resident_after);
        println!("round {round}  {side:<5?} {MEMORY:<20} {line}");
        findings.sample(round, side, MEMORY, filled);
    }

    let rows: Vec<&Row> = ROWS.iter().filter(|row| row.single == single && plan.wants(row.name)).collect();
    if rows.iter().any(|row| row.kind.needs() == Some(Kind::Grant)) {
        let grants = Load::fill(Kind::Grant, plan.keys as u64);
        let granted = measure(&cluster, keyspace, &grants, To::Leader).context("granting leases")?;
        ensure!(granted.failures.is_empty(), "granting leases failed: {:?}", granted.failures);
    }
    for row in rows {
        match measure(&cluster, keyspace, &plan.load(row), row.to) {
            Ok(measurement) => {
                let Measurement { rate, p50_us, p99_us, server_us_per_request, .. } = measurement;
                let rate = report::thousands(rate as u64);
                let name = row.name;
                println!(
                    "round {round}  {side:<5?} {name:<20} {rate:>9}/s  p50 {:.2} ms  p99 {:.2} ms  \
                     servers {server_us_per_request:.1} us",
                    p50_us / 1e3,
                    p99_us / 1e3
                );
                findings.sample(round, side, row.name, measurement);
            }
            Err(error) => findings.problem(round, side, row.name, &format!("{error:#}")),
        }
        cluster.check_alive()?;
    }
    Ok(())
}

impl Plan {
    fn program(&self, side: Side) -> &Path {
        match side {
            Side::Ours => &self.ours,
            Side::Etcd => &self.etcd,
        }
    }

    /// The directory of a cluster; `what` tells it from others of the round.
    fn place(&self, round: usize, side: Side, what: &str) -> PathBuf {
        self.directory.join(format!("bench-{}-{round}-{side:?}-{what}", std::process::id()))
    }

    fn load(&self, row: &Row) -> Load {
        let warm_up = Duration::from_secs(1).min(self.measured / 4);
        let extent = Extent::Time { warm_up, measured: self.measured };
        Load { kind: row.kind, connections: row.connections, in_flight: row.in_flight, extent }
    }
}

/// One load against one member, with what it cost everybody.
fn measure(cluster: &Cluster, keyspace: &Rc<Keyspace>, load: &Load, to: To) -> Result<Measurement> {
    let leader = cluster.leader()?;
    let target = match to {
        To::Leader => leader,
        To::Follower => (leader + 1) % cluster.commands.len(),
    };
    let endpoints = [cluster.endpoint(target).to_owned()];
    let revision = || cluster::revision(cluster.endpoint(leader));
    let costs = || Costs {
        servers: cluster.process_seconds(),
        load: machine::process_seconds(std::process::id()).unwrap_or(0.0),
        all: machine::busy_seconds().unwrap_or(0.0),
        written: cluster.written_bytes() as f64,
    };

    let resident_before = cluster.resident_bytes();
    let revision_before = revision()?;
    let (before, began) = (costs(), std::time::Instant::now());
    let outcome = load::run(&endpoints, keyspace, load)?;
    let (spent, took) = (costs().since(&before), began.elapsed().as_secs_f64());
    if load.kind == Kind::Put {
        check_revisions(&outcome, revision()? - revision_before)?;
    }
    ensure!(cluster.leader()? == leader, "the leader changed under the load");
    let mut measurement = measurement(outcome, &spent, took);
    let put = measurement.answered as f64 * keyspace.pair_bytes() * cluster.commands.len() as f64;
    if load.kind == Kind::Put && put > 0.0 {
        measurement.written_per_byte = spent.written / put;
    }
    Ok(Measurement { resident_before, resident_after: cluster.resident_bytes(), ..measurement })
}

/// Nobody else writes, so every put that was answered made one revision.
fn check_revisions(outcome: &Outcome, grown: i64) -> Result<()> {
    let answered = outcome.answered as i64;
    if grown < answered {
        bail!("{answered} puts were answered and the revision grew by {grown}: writes were lost");
    }
    if grown > answered && outcome.failures.is_empty() {
        bail!("{answered} puts were sent and the revision grew by {grown}: writes were made twice");
    }
    Ok(())
}

/// Processor time in seconds, and what the servers wrote in bytes.
struct Costs {
    servers: f64,
    load: f64,
    all: f64,
    written: f64,
}

impl Costs {
    fn since(&self, before: &Self) -> Self {
        Self {
            servers: self.servers - before.servers,
            load: self.load - before.load,
            all: self.all - before.all,
            written: self.written - before.written,
        }
    }
}

fn measurement(outcome: Outcome, spent: &Costs, took: f64) -> Measurement {
    let microseconds = |part| outcome.latencies.quantile(part).as_secs_f64() * 1e6;
    let per_request = |seconds: f64| seconds * 1e6 / outcome.answered.max(1) as f64;
    Measurement {
        rate: outcome.rate(),
        p50_us: microseconds(0.5),
        p90_us: microseconds(0.9),
        p99_us: microseconds(0.99),
        p999_us: microseconds(0.999),
        max_us: microseconds(1.0),
        answered: outcome.answered,
        server_us_per_request: per_request(spent.servers),
        load_us_per_request: per_request(spent.load),
        other_cores: ((spent.all - spent.servers - spent.load) / took).max(0.0),
        failures: outcome.failures,
        ..Measurement::default()
    }
}

/// A busy machine is no problem of the servers, but the reader must know.
fn warn_of_others(samples: &[Sample]) {
    let others = Side::BOTH.map(|side| {
        // Nothing of a restart is long enough to say what others did meanwhile.
        let own = samples.iter().filter(|sample| sample.side == side && sample.load != RESTART);
        let cores: Vec<f64> = own.map(|sample| sample.measurement.other_cores).collect();
        cores.iter().sum::<f64>() / cores.len().max(1) as f64
    });
    if others.iter().any(|cores| *cores > OTHER_CORES_MAX) {
        let [ours, etcd] = others;
        println!("\nThe machine was busy: something else used {ours:.2} cores beside ours and {etcd:.2} beside etcd.");
        println!("Measure again when it is quiet; of the figures above, CPU, memory and disk suffer least.");
    }
}

/// Where data goes when nobody said: below `target` when it is here.
pub fn default_directory() -> PathBuf {
    let target = Path::new("target");
    if target.is_dir() { target.to_owned() } else { PathBuf::from(".") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::histogram::Histogram;

    fn plan() -> Plan {
        Plan {
            ours: PathBuf::from("/proc/self/exe"),
            etcd: PathBuf::from("/proc/self/exe"),
            members: 3,
            rounds: 1,
            measured: Duration::from_secs(1),
            keys: 10,
            value_bytes: 256,
            fill: 10,
            only: vec![],
            extra: vec![],
            directory: PathBuf::from("."),
            json: None,
        }
    }

    fn outcome(answered: u64, failed: bool) -> Outcome {
        let failures = if failed { [("late".to_owned(), 1)].into() } else { Default::default() };
        Outcome { seconds: 2.0, latencies: Histogram::new(), answered, failures }
    }

    #[test]
    fn a_plan_is_doubted_before_anything_starts() {
        assert!(plan().check().is_ok());
        let error = Plan { only: vec!["putt".into()], ..plan() }.check().unwrap_err().to_string();
        assert!(error.contains("put-leader") && error.contains("memory"), "{error}");
        assert!(Plan { ours: PathBuf::from("/nowhere"), ..plan() }.check().is_err());
        assert!(Plan { fill: 9, ..plan() }.check().is_err());
        assert!(Plan { rounds: 0, ..plan() }.check().is_err());
    }

    #[test]
    fn only_what_is_wanted() {
        let plan = Plan { only: vec!["range".into()], ..plan() };
        assert!(plan.wants("range") && !plan.wants("put-leader"));
        assert!(self::plan().wants(MEMORY));
    }

    #[test]
    fn every_answered_put_is_one_revision() {
        assert!(check_revisions(&outcome(5, false), 5).is_ok());
        assert!(check_revisions(&outcome(5, false), 4).unwrap_err().to_string().contains("lost"));
        assert!(check_revisions(&outcome(5, false), 6).unwrap_err().to_string().contains("twice"));
        assert!(check_revisions(&outcome(5, true), 6).is_ok(), "one that failed may have happened");
    }

    #[test]
    fn costs_are_per_request_and_others_are_the_rest() {
        let spent = Costs { servers: 1.0, load: 0.5, all: 2.5, written: 0.0 };
        let measurement = measurement(outcome(1_000_000, false), &spent, 2.0);
        assert_eq!(measurement.server_us_per_request, 1.0);
        assert_eq!(measurement.load_us_per_request, 0.5);
        assert_eq!(measurement.other_cores, 0.5);
        assert_eq!(measurement.rate, 0.0);
    }
}

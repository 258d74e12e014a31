//! One round: a cluster, faults and load, rest, checks, and what came of it.

use crate::Arguments;
use crate::check::{self, Verdict};
use crate::faults::{KINDS, Kind};
use crate::history::{History, Outcome};
use crate::load::Load;
use crate::member::Member;
use crate::rest::{self, Checkers};
use crate::schedule;
use crate::stage::{Means, Stage, means};
use crate::trouble::{self, Done};
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufWriter, Read, Write};
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

/// How often what was demanded and had no effect is tried once more, alone.
const ONCE_MORE: u64 = 2;
/// Of so many kinds at most: where more met nobody the schedule is to blame, and a round has its time.
const ONCE_MORE_KINDS: usize = 4;
/// Until a new cluster serves.
const START: Duration = Duration::from_secs(30);
/// The guard has so many writes acknowledged before its sync, and again between
/// that and the loss of power.
const GUARD_WRITES: u64 = 100;
/// A cluster that has lost what it said does not come to rest: its watches wait
/// for revisions that were.
const GUARD_PATIENCE: Duration = Duration::from_secs(10);

/// Runs a round in namespaces that were made for it.
pub fn inside(arguments: &Arguments, seconds: u64) -> Result<ExitCode> {
    end_with_parent()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let seed = arguments.seed.context("a round has a seed")?;
    let members = arguments.members.context("a round has members")? as usize;
    let _inside = runtime.enter();
    let mut round = Round::new(arguments, seed, members)?;
    let wrong = if arguments.guard { round.guard(&runtime) } else { round.run(&runtime, seed, seconds) }?;
    if wrong.is_empty() {
        if arguments.keep {
            round.keep(&wrong)?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    println!("VIOLATED, seed {seed}:");
    for words in &wrong {
        println!("• {words}");
    }
    round.keep(&wrong)?;
    Ok(ExitCode::FAILURE)
}

/// When whoever began this is gone, so are we, and with us all in here.
fn end_with_parent() -> Result<()> {
    std::thread::Builder::new().name("lifeline".to_owned()).spawn(|| {
        let mut nothing = [0];
        // Nothing is ever sent: this returns when the other end closes.
        let _ = std::io::stdin().read(&mut nothing);
        std::process::exit(130);
    })?;
    Ok(())
}

struct Round<'a> {
    directory: &'a Path,
    demand: &'a [String],
    tell: bool,
    stage: Stage,
    means: Means,
    history: History,
}

impl<'a> Round<'a> {
    fn new(arguments: &'a Arguments, seed: u64, members: usize) -> Result<Round<'a>> {
        let (means, _) = means();
        let mut stage = Stage::new(members, seed, &arguments.etcd, &arguments.directory, &means)?;
        if arguments.guard {
            let library = means.no_sync.clone().context("libeatmydata.so is missing")?;
            stage.members.iter_mut().for_each(|member| member.preload.push(library.clone()));
        }
        stage.start()?;
        let (directory, demand, tell) = (arguments.directory.as_path(), &arguments.demand, arguments.tell);
        Ok(Round { directory, demand, tell, stage, means, history: History::default() })
    }

    /// Faults, load, rest and checks; what does not hold.
    fn run(&mut self, runtime: &tokio::runtime::Runtime, seed: u64, seconds: u64) -> Result<Vec<String>> {
        runtime.block_on(serves(&mut self.stage))?;
        let mut load = Load::start(&self.stage, seed, true)?;
        let began = Instant::now();
        let length = Duration::from_secs(seconds);
        let mut faults = BufWriter::new(File::create(self.directory.join("faults.log"))?);
        let done = self.faults(seed, began, length, &mut faults)?;
        let checkers = Checkers::new(self.stage.members.len(), rest::PATIENCE)?;
        let served = runtime.block_on(checkers.serve(&mut self.stage, &load))?;
        runtime.block_on(load.go_on(length.saturating_sub(began.elapsed())))?;
        runtime.block_on(load.stop())?;
        let (healthy_after, mut wrong) = match served {
            Ok(after) => (after, runtime.block_on(checkers.rest(&mut self.stage, &load))?),
            Err(words) => (rest::PATIENCE, vec![words]),
        };
        wrong.append(&mut self.stage.wrong);
        wrong.extend(self.stage.members.iter().flat_map(Member::panics));
        for words in std::mem::take(&mut self.stage.excused) {
            writeln!(faults, "{words}")?;
            if self.tell {
                println!("  {words}");
            }
        }
        for (name, felt) in &done.faults {
            writeln!(faults, "{name}: {}", felt.times())?;
        }
        faults.flush()?;
        self.history = load.notebook.take();
        let births = |member: &Member| member.births.iter().map(|&birth| load.notebook.at(birth)).collect();
        self.history.births = self.stage.members.iter().map(births).collect();
        drop(load);
        let checked = Instant::now();
        let verdict = check::check(&self.history);
        self.summary(&done, healthy_after, &verdict, checked.elapsed());
        wrong.extend(verdict.wrong);
        wrong.extend(check::enough::check(&self.history, length));
        let missed = self.missed(&done).into_iter();
        wrong.extend(missed.map(|kind| format!("no fault had an effect of those called: {}", kind.name)));
        Ok(wrong)
    }

    /// Carries out the seed's schedule; then what was demanded and had no effect, as often as that may take; then the
    /// leader is taken away. What was done.
    fn faults(&mut self, seed: u64, began: Instant, length: Duration, log: &mut impl Write) -> Result<Done> {
        let tells = self.tell;
        let mut tell = |line: &str| {
            if tells {
                println!("  {line}");
            }
            Ok(writeln!(log, "{line}")?)
        };
        let mut done = Done::default();
        trouble::carry_out(&mut self.stage, began, schedule::draw(seed, length, &self.means), &mut done, &mut tell)?;
        for again in 0..ONCE_MORE {
            let missed = self.missed(&done);
            if missed.is_empty() || missed.len() > ONCE_MORE_KINDS {
                break;
            }
            let names: Vec<&str> = missed.iter().map(|kind| kind.name).collect();
            tell(&format!("once more, since they met nobody: {}", names.join(", ")))?;
            done.once_more.extend(names);
            let plan = schedule::once_more(&missed, seed ^ (again + 1), began.elapsed());
            trouble::carry_out(&mut self.stage, began, plan, &mut done, &mut tell)?;
        }
        let plan = schedule::leaders_away(length, began.elapsed());
        trouble::carry_out(&mut self.stage, began, plan, &mut done, &mut tell)?;
        Ok(done)
    }

    /// Syncs do nothing here. After all have lost power the checks must find
    /// that acknowledged writes are lost.
    fn guard(&mut self, runtime: &tokio::runtime::Runtime) -> Result<Vec<String>> {
        runtime.block_on(serves(&mut self.stage))?;
        // Nobody compacts: what is lost could not be told from what is compacted.
        let mut load = Load::start(&self.stage, 1, false)?;
        runtime.block_on(more_writes(&load, GUARD_WRITES))?;
        // What was written so far is there, as if it had been synced; what comes
        // now is not, unless somebody really syncs.
        for member in &self.stage.members {
            member.disk.sync()?;
        }
        runtime.block_on(more_writes(&load, GUARD_WRITES))?;
        for member in &mut self.stage.members {
            member.hold_down();
            member.disk.lose_power()?;
        }
        for member in &mut self.stage.members {
            member.let_up()?;
        }
        let checkers = Checkers::new(self.stage.members.len(), GUARD_PATIENCE)?;
        let served = runtime.block_on(checkers.serve(&mut self.stage, &load))?;
        runtime.block_on(load.stop())?;
        let unrest = match served {
            Ok(_) => runtime.block_on(checkers.rest(&mut self.stage, &load))?,
            Err(words) => vec![words],
        };
        self.history = load.notebook.take();
        let verdict = check::check(&self.history);
        println!("syncs did nothing and all lost power: {} acknowledged writes lost", verdict.lost);
        if verdict.lost > 0 {
            return Ok(Vec::new());
        }
        Ok([vec!["the checks find no lost write".to_owned()], unrest, verdict.wrong].concat())
    }

    /// Kinds that were demanded, that this machine can do, and that had no effect.
    fn missed(&self, done: &Done) -> Vec<&'static Kind> {
        let missed = done.missed(self.demand);
        let kinds = KINDS.iter().filter(|kind| schedule::can(kind.needs, &self.means));
        kinds.filter(|kind| missed.contains(&kind.name)).collect()
    }

    fn summary(&self, done: &Done, healthy_after: Duration, verdict: &Verdict, checking: Duration) {
        let counts = done.counts();
        let (felt, without): (Vec<_>, Vec<_>) = counts.iter().partition(|(_, (had, _))| *had > 0);
        let of: Vec<String> = felt.iter().map(|(name, (had, began))| format!("{name} {had} of {began}")).collect();
        let total: u32 = felt.iter().map(|(_, (had, _))| had).sum();
        println!(
            "  {total} of {} faults had an effect, of {} kinds, {} began beside others: {}",
            done.faults.len(),
            felt.len(),
            done.overlapped,
            of.join(", ")
        );
        if !without.is_empty() {
            let names: Vec<&str> = without.iter().map(|(name, _)| **name).collect();
            println!("  without effect: {}", names.join(", "));
        }
        if !done.once_more.is_empty() {
            println!("  once more, alone, since they met nobody: {}", done.once_more.join(", "));
        }
        let mut ops: BTreeMap<&str, [usize; 3]> = BTreeMap::new();
        for op in &self.history.ops {
            let column = match op.outcome {
                Outcome::Answered(_) => 0,
                Outcome::Refused(_) => 1,
                Outcome::Unknown(_) => 2,
            };
            ops.entry(op.kind()).or_default()[column] += 1;
        }
        let told: Vec<String> =
            ops.iter().map(|(kind, [yes, no, unknown])| format!("{kind} {yes}/{no}/{unknown}")).collect();
        println!("  {} requests (answered/refused/unknown): {}", self.history.ops.len(), told.join(", "));
        println!(
            "  {} renewals and reads asked of leaders that were away; {} of {} compactions acknowledged",
            self.history.asked_away,
            self.history.compactions_done,
            self.history.compactions.len()
        );
        let (without, from) = unavailable(&self.history);
        let (carried, harmed) = self.stage.wire.counts();
        let births: usize = self.stage.members.iter().map(|member| member.births.len()).sum();
        let excused: u32 = self.stage.members.iter().map(|member| member.excused).sum();
        println!(
            "  {births} processes, {excused} ended by themselves on full disks; {carried} packets, {harmed} of them lost, late or doubled"
        );
        println!(
            "  no write was acknowledged for {:.1} s at most, from {:.1} s on; all served {:.1} s after the last fault",
            without.as_secs_f64(),
            from.as_secs_f64(),
            healthy_after.as_secs_f64()
        );
        println!(
            "  {} revisions, {} reads and {} events checked in {:.1} s; acknowledged writes lost: {}",
            verdict.revisions,
            verdict.reads,
            verdict.events,
            checking.as_secs_f64(),
            verdict.lost
        );
    }

    /// Keeps what the run leaves: what was found, the history and the data.
    fn keep(&mut self, wrong: &[String]) -> Result<()> {
        fs::write(self.directory.join("violations.txt"), wrong.join("\n\n"))?;
        let mut file = BufWriter::new(File::create(self.directory.join("history.txt"))?);
        self.history.ops.sort_by_key(|op| op.begin);
        for op in &self.history.ops {
            writeln!(file, "{op}")?;
        }
        for told in &self.history.watches {
            writeln!(file, "watch of client {} from {}: {:?}", told.client, told.from, told.responses)?;
        }
        file.flush()?;
        for member in &mut self.stage.members {
            member.kill();
            let to = self.directory.join("data").join(format!("m{}", member.number + 1));
            fs::create_dir_all(&to)?;
            // The mounts go with us; a copy stays.
            crate::room::run(
                Command::new("cp").args(["-a", "--sparse=always"]).arg(member.disk.place().join("data")).arg(to),
            )?;
        }
        Ok(())
    }
}

/// Waits until the new cluster serves.
async fn serves(stage: &mut Stage) -> Result<()> {
    let count = stage.members.len();
    let deadline = Instant::now() + START;
    for number in 0..count {
        let client = crate::load::client(&[number], count, Duration::from_secs(1))?;
        while client.range(proto::etcdserverpb::RangeRequest { key: "r".into(), ..Default::default() }).await.is_err() {
            stage.look()?;
            if Instant::now() > deadline || !stage.wrong.is_empty() {
                anyhow::bail!(
                    "m{} does not serve: {}\n{}",
                    number + 1,
                    stage.wrong.join("\n"),
                    stage.members[number].last_words(10)
                );
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    Ok(())
}

/// Waits until so many more writes are acknowledged.
async fn more_writes(load: &Load, count: u64) -> Result<()> {
    let (from, deadline) = (load.notebook.acknowledged(), Instant::now() + START);
    while load.notebook.acknowledged() < from + count {
        anyhow::ensure!(Instant::now() < deadline, "no {count} writes were acknowledged within {START:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

/// The longest time in which no write was acknowledged, and when it began.
fn unavailable(history: &History) -> (Duration, Duration) {
    let mut ends: Vec<u64> = history.ops.iter().filter(|op| op.changed()).map(|op| op.end).collect();
    ends.sort_unstable();
    let gaps = ends.windows(2).map(|two| (two[1] - two[0], two[0]));
    let (longest, from) = gaps.max().unwrap_or_default();
    (Duration::from_nanos(longest), Duration::from_nanos(from))
}

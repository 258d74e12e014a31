//! Runs a sequence against both sides and stops at the first difference.

use crate::answer::Answer;
use crate::cluster::Programs;
use crate::lane::{Kind, Lane};
use crate::request::{Request, Step};
use crate::side::Side;
use anyhow::Result;
use futures_util::future::{join, join_all};
use std::path::Path;
use std::time::{Duration, Instant};

/// Reads that are under way at once.
const TOGETHER: usize = 32;

/// The real one deletes what a compaction drops within this time.
const COMPACTED_WITHIN: Duration = Duration::from_secs(20);
/// Nothing tells when a foreign process has done so; all there is to do is to ask it again.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Where the two sides differ.
#[derive(Debug)]
pub struct Mismatch {
    /// The step.
    pub at: usize,
    /// Both answers, in words.
    pub words: String,
}

/// How a run ended.
pub struct Outcome {
    /// Requests that both sides were asked.
    pub requests: u64,
    /// Events that both sides told.
    pub events: u64,
    /// The first difference, if there is one.
    pub mismatch: Option<Mismatch>,
    /// Why it could not be run to its end, if so: a write whose outcome nobody
    /// knows, because a leader was lost under way.
    pub disturbed: Option<String>,
}

struct Pair {
    real: Side,
    ours: Side,
    requests: u64,
    events: u64,
    lane: Lane,
}

/// What ends a run early.
enum Stop {
    Mismatch(usize, String),
    Disturbed(String),
}

/// From fresh processes on.
pub async fn run(programs: &Programs, scratch: &Path, lane: Lane, steps: &[Step]) -> Result<Outcome> {
    let (real, ours): (&[bool], &[bool]) = match lane.kind {
        Kind::One => (&[false], &[true]),
        Kind::Three => (&[false; 3], &[true; 3]),
        Kind::MixedOne => (&[false], &[true, false, false]),
        Kind::MixedTwo => (&[false], &[true, false, true]),
    };
    let (real, ours) = {
        let start = |members| Side::start(programs, scratch, members, lane.limits);
        join(start(real), start(ours)).await
    };
    let mut pair = Pair { real: real?, ours: ours?, requests: 0, events: 0, lane };
    let ended = pair.go(steps).await;
    let died = pair.real.cluster.ended().into_iter().chain(pair.ours.cluster.ended()).next();
    let (mut mismatch, mut disturbed) = (None, None);
    match ended {
        Ok(()) => {}
        Err(Stop::Mismatch(at, words)) => mismatch = Some(Mismatch { at, words }),
        Err(Stop::Disturbed(why)) => disturbed = Some(why),
    }
    if let Some(died) = died {
        let at = mismatch.map_or(steps.len(), |mismatch| mismatch.at + 1);
        mismatch = Some(Mismatch { at: at.saturating_sub(1), words: died });
        // It was lost because a member died, which is to be told and not to be tried again.
        disturbed = None;
    }
    Ok(Outcome { requests: pair.requests, events: pair.events, mismatch, disturbed })
}

impl Pair {
    async fn go(&mut self, steps: &[Step]) -> Result<(), Stop> {
        let mut at = 0;
        while at < steps.len() {
            let reads = |step: &&Step| matches!(step, Step::Ask(_, request) if request.only_reads());
            let together = steps[at..].iter().take(TOGETHER).take_while(reads).count();
            if together > 1 {
                let compared = join_all(steps[at..at + together].iter().map(|step| self.compare(step))).await;
                for (further, compared) in compared.into_iter().enumerate() {
                    compared.map_err(|(words, _)| Stop::of(at + further, words))?;
                }
                self.requests += together as u64;
                at += together;
                continue;
            }
            self.step(at, &steps[at]).await?;
            at += 1;
        }
        Ok(())
    }

    async fn step(&mut self, at: usize, step: &Step) -> Result<(), Stop> {
        match step {
            Step::Ask(member, Request::Watch(number, message)) => {
                let asked = Request::Watch(*number, message.clone());
                let open = |side: &Side| side.streams.member(*number).unwrap_or_else(|| side.running(*member));
                let through = (open(&self.real), open(&self.ours));
                let (real, ours) =
                    join(watch(&mut self.real, through.0, &asked), watch(&mut self.ours, through.1, &asked)).await;
                self.requests += 1;
                self.same_watch(at, &asked, real, ours)
            }
            Step::Ask(_, Request::ReadWatches) => self.read_watches(at).await,
            Step::Ask(_, request) => {
                if matches!(request, Request::Compact(_)) {
                    self.read_watches(at).await?;
                }
                let compared = self.compare(step).await.map_err(|(words, _)| Stop::of(at, words))?;
                self.requests += 1;
                self.events += compared.0.events();
                self.learn(request, compared);
                Ok(())
            }
            Step::SameEverywhere => self.same_everywhere(at).await,
            Step::Lead(member) => {
                let failed = |error: anyhow::Error| Stop::Disturbed(format!("leadership did not move: {error:#}"));
                self.ours.lead(*member).await.map_err(failed)
            }
            Step::KillLeader => {
                self.read_watches(at).await?;
                let leader = self.ours.ready().await.map_err(|error| Stop::Mismatch(at, format!("{error:#}")))?;
                for number in self.ours.streams.through(leader) {
                    self.ours.streams.close(number);
                    self.real.streams.close(number);
                }
                self.ours.streams.leave(leader);
                self.ours.cluster.kill(leader);
                self.ours.ready().await.map(|_| ()).map_err(|error| Stop::Mismatch(at, format!("{error:#}")))
            }
            Step::Restart => {
                self.ours.cluster.restart().map_err(|error| Stop::Mismatch(at, format!("{error:#}")))?;
                self.ours.ready().await.map(|_| ()).map_err(|error| Stop::Mismatch(at, format!("{error:#}")))
            }
        }
    }

    async fn compare(&self, step: &Step) -> Result<(Answer, Answer), (String, ())> {
        let Step::Ask(member, request) = step else { return Ok((Answer::Nothing, Answer::Nothing)) };
        let (for_real, for_ours) = (request.resolve(&self.real.meaning), request.resolve(&self.ours.meaning));
        let ask = || join(self.real.ask(*member, &for_real), self.ours.ask(*member, &for_ours));
        let (mut real, mut ours) = ask().await;
        // Excluded: hash-while-compacting. The real one has an end with it soon.
        let deadline = Instant::now() + COMPACTED_WITHIN;
        while hashes_differ(&real, &ours) && !self.lane.named_leases && Instant::now() < deadline {
            tokio::time::sleep(LOOK_AGAIN).await;
            (real, ours) = ask().await;
        }
        let (mut left, mut right) = (real.clone(), ours.clone());
        // A lease that both have just named has no place in the lists yet.
        if let (Answer::Grant(left), Answer::Grant(right), Request::Grant(asked)) = (&mut left, &mut right, request)
            && asked.id == 0
        {
            (left.id, right.id) = (left.id.signum(), right.id.signum());
        }
        // Ids that servers named are in what is hashed.
        if let (true, Answer::HashKv(left), Answer::HashKv(right)) = (self.lane.named_leases, &mut left, &mut right) {
            (left.hash, right.hash) = (0, 0);
        }
        left.normalise(&self.real.meaning, request);
        right.normalise(&self.ours.meaning, request);
        if left != right && !crate::excluded::is(&for_ours, &left, &right) {
            let asked = crate::words::short(&for_ours);
            return Err((format!("asked {asked}\n{}", crate::words::difference(&left, &right)), ()));
        }
        Ok((real, ours))
    }

    fn learn(&mut self, request: &Request, (real, ours): (Answer, Answer)) {
        if let Some(revision) = real.revision() {
            for meaning in [&mut self.real.meaning, &mut self.ours.meaning] {
                meaning.current = meaning.current.max(revision);
            }
        }
        if let (Request::Compact(_), Answer::Compact(_)) = (request, &real)
            && let Request::Compact(asked) = request.resolve(&self.real.meaning)
        {
            self.real.meaning.compacted = asked.revision;
            self.ours.meaning.compacted = asked.revision;
        }
        if let (Request::Grant(asked), Answer::Grant(real), Answer::Grant(ours)) = (request, real, ours)
            && asked.id == 0
        {
            self.real.meaning.leases.push(real.id);
            self.ours.meaning.leases.push(ours.id);
        }
    }

    async fn read_watches(&mut self, at: usize) -> Result<(), Stop> {
        let (real, ours) = join(watch(&mut self.real, 0, &Request::ReadWatches), async {
            let through = self.ours.running(0);
            watch(&mut self.ours, through, &Request::ReadWatches).await
        })
        .await;
        self.same_watch(at, &Request::ReadWatches, real, ours)
    }

    fn same_watch(&mut self, at: usize, asked: &Request, real: Watched, ours: Watched) -> Result<(), Stop> {
        let words = |side: &Side, watched: Watched| match watched {
            Ok(responses) => {
                let mut answer = Answer::Watch(responses);
                answer.normalise(&side.meaning, asked);
                Ok(answer)
            }
            Err(why) => Err(why),
        };
        let (real, ours) = (words(&self.real, real), words(&self.ours, ours));
        if let (Ok(real), Ok(ours)) = (&real, &ours)
            && real == ours
        {
            self.events += real.events();
            return Ok(());
        }
        let asked = asked.resolve(&self.ours.meaning);
        let words = match (&real, &ours) {
            (Ok(real), Ok(ours)) => crate::words::difference(real, ours),
            _ => format!("the real one: {}\nours:         {}", crate::words::short(&real), crate::words::short(&ours)),
        };
        Err(Stop::of(at, format!("asked {}\n{words}", crate::words::short(&asked))))
    }

    async fn same_everywhere(&mut self, at: usize) -> Result<(), Stop> {
        let (current, compacted) = (self.ours.meaning.current, self.ours.meaning.compacted);
        for revision in [0, current, (current + compacted) / 2, compacted.max(1) + 1] {
            if revision > current || (revision != 0 && revision < compacted) {
                continue;
            }
            let failed = |error: anyhow::Error| Stop::Disturbed(format!("HashKV: {error:#}"));
            let mut hashes = self.ours.hashes(revision).await.map_err(failed)?;
            let differ = |hashes: &[(u32, i64)]| hashes.windows(2).any(|two| two[0] != two[1]);
            // Excluded: hash-while-compacting.
            let deadline = Instant::now() + COMPACTED_WITHIN;
            while differ(&hashes) && Instant::now() < deadline {
                tokio::time::sleep(LOOK_AGAIN).await;
                hashes = self.ours.hashes(revision).await.map_err(failed)?;
            }
            if differ(&hashes) {
                return Err(Stop::Mismatch(at, format!("HashKV at {revision} differs among members: {hashes:?}")));
            }
        }
        Ok(())
    }
}

fn hashes_differ(real: &Answer, ours: &Answer) -> bool {
    matches!((real, ours), (Answer::HashKv(real), Answer::HashKv(ours)) if real.hash != ours.hash)
}

type Watched = Result<Vec<proto::etcdserverpb::WatchResponse>, String>;

async fn watch(side: &mut Side, through: usize, request: &Request) -> Watched {
    if side.cluster.len() > 1 {
        side.catch_up(through).await.map_err(|status| status.to_string())?;
    }
    let now = (side.meaning.current, side.meaning.compacted);
    let channel = side.channel(through).clone();
    match request.resolve(&side.meaning) {
        Request::Watch(number, message) => side.streams.send(number, (&channel, through), &message, now).await,
        _ => side.streams.read((&channel, through), now.0).await,
    }
}

impl Stop {
    /// A lost leader is no difference.
    fn of(at: usize, words: String) -> Stop {
        let lost = ["Unavailable", "leader changed", "request timed out"];
        if lost.iter().any(|lost| words.contains(lost)) { Stop::Disturbed(words) } else { Stop::Mismatch(at, words) }
    }
}

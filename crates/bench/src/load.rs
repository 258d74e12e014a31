//! Drives connections against a server and counts.
//!
//! Everything runs on one thread: with two cores shared by all, a second thread
//! of the load would only take turns with the servers. Each connection keeps a
//! fixed number of requests in flight and owns its counts; what they share is
//! one [`Run`], of cells. Requests of a kind that has a stream go on one stream
//! per connection and are answered in their order. The clock is read twice per batch of replies, not per
//! reply: a latency is from the write of its batch to the read of another.

mod watch;
mod wire;

use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use prost::Message;
use tokio::task::LocalSet;
use tokio::time::{Instant, timeout};

use crate::grpc;
use crate::histogram::Histogram;
use crate::keyspace::{Chance, Keyspace};
use crate::request::Kind;
use wire::{PATIENCE, Wire};

/// How often somebody looks whether replies still come.
const LOOK: Duration = Duration::from_secs(1);

/// Different words of failure that are kept apart; the rest are only counted.
const FAILURES_MAX: usize = 20;

/// What to send, and for how long.
#[derive(Clone, Debug)]
pub struct Load {
    pub kind: Kind,
    /// For watches: streams, each with [`watch::WATCHERS_PER_STREAM`] watchers.
    pub connections: usize,
    /// Requests in flight on each connection; for watches, puts that not every
    /// watcher has been told of.
    pub in_flight: usize,
    pub extent: Extent,
}

impl Load {
    /// So many requests as fast as they go, over the keys in turn.
    pub fn fill(kind: Kind, requests: u64) -> Self {
        Self { kind, connections: 10, in_flight: 100, extent: Extent::Requests(requests) }
    }
}

/// When a load ends.
#[derive(Clone, Copy, Debug)]
pub enum Extent {
    /// After a time; what is answered while it warms up does not count.
    Time { warm_up: Duration, measured: Duration },
    /// After so many requests, over the keys in turn.
    Requests(u64),
}

impl Extent {
    /// From when on replies count, when requests end, and how many are sent at most.
    fn from(self, now: Instant) -> (Instant, Option<Instant>, u64) {
        match self {
            Self::Time { warm_up, measured } => (now + warm_up, Some(now + warm_up + measured), u64::MAX),
            Self::Requests(count) => (now, None, count),
        }
    }
}

/// What came of a load.
pub struct Outcome {
    /// Seconds that were measured.
    pub seconds: f64,
    /// Latencies of the replies within them that went well.
    pub latencies: Histogram,
    /// Replies that went well in all, warm-up and end included.
    pub answered: u64,
    /// What went wrong, in words, and how often, over the whole load.
    pub failures: BTreeMap<String, u64>,
}

impl Outcome {
    /// Replies per second.
    pub fn rate(&self) -> f64 {
        self.latencies.count() as f64 / self.seconds
    }
}

/// What the connections of one load share.
struct Run {
    kind: Kind,
    keyspace: Rc<Keyspace>,
    /// Replies before this are not counted.
    begin: Instant,
    /// Replies after this neither, and no request is sent.
    end: Option<Instant>,
    /// With an end by number: how many requests are still to be sent.
    left: Cell<u64>,
    /// The highest revision in any reply.
    highest: Cell<i64>,
    /// When the last reply came.
    last: Cell<Instant>,
}

/// A request in flight.
#[derive(Clone, Copy)]
struct Ticket {
    number: usize,
    floor: i64,
    sent: Instant,
}

/// What one connection counted.
struct Tally {
    latencies: Histogram,
    answered: u64,
    failures: BTreeMap<String, u64>,
}

/// The tag of a connection's stream, which stays in flight itself.
const STREAM_TAG: u32 = u32::MAX;

/// One connection: socket, protocol, counts.
struct Line {
    wire: Wire,
    /// The stream on which all requests go, if their kind has one.
    stream: Option<u32>,
    /// Tags of the requests on it, in their order.
    asked: VecDeque<u32>,
    tickets: Vec<Ticket>,
    /// Tags that are not in flight.
    free: Vec<u32>,
    /// The body of the request that is sent next, when it had no room yet.
    next: Option<usize>,
    body: Vec<u8>,
    chance: Chance,
    tally: Tally,
}

/// Runs a load over these endpoints (`host:port`), connections in turn.
///
/// # Errors
/// When a server cannot be reached, ends a connection, breaks HTTP/2 or stops
/// answering. Failed requests are no error here: they are in the outcome.
pub fn run(endpoints: &[String], keyspace: &Rc<Keyspace>, load: &Load) -> Result<Outcome> {
    ensure!(!endpoints.is_empty() && load.connections > 0 && load.in_flight > 0, "a load of nothing");
    if load.kind == Kind::Watch {
        return watch::run(endpoints, keyspace, load);
    }
    on_this_thread(async {
        let mut lines = Vec::new();
        for (index, endpoint) in endpoints.iter().cycle().take(load.connections).enumerate() {
            lines.push(Line::open(endpoint, load.kind, load.in_flight, index as u64).await?);
        }
        let now = Instant::now();
        let (begin, end, left) = load.extent.from(now);
        let (left, highest, last) = (Cell::new(left), Cell::new(0), Cell::new(now));
        let run = Rc::new(Run { kind: load.kind, keyspace: Rc::clone(keyspace), begin, end, left, highest, last });
        let tasks: Vec<_> =
            lines.into_iter().map(|line| tokio::task::spawn_local(line.drive(Rc::clone(&run)))).collect();

        let mut outcome = Outcome { seconds: 0.0, latencies: Histogram::new(), answered: 0, failures: BTreeMap::new() };
        for mut task in tasks {
            let joined = loop {
                match timeout(LOOK, &mut task).await {
                    Ok(joined) => break joined,
                    Err(_) => ensure!(run.last.get().elapsed() < PATIENCE, "no reply for {PATIENCE:?}"),
                }
            };
            let tally = joined.context("a connection's task was lost")??;
            outcome.latencies.merge(&tally.latencies);
            outcome.answered += tally.answered;
            for (words, count) in tally.failures {
                *outcome.failures.entry(words).or_default() += count;
            }
        }
        outcome.seconds = (run.end.unwrap_or(run.last.get()) - run.begin).as_secs_f64();
        Ok(outcome)
    })
}

/// One request on a connection of its own, and its reply.
///
/// # Errors
/// When the server cannot be reached, does not answer, or answers with an error.
pub fn call<M: Message + Default>(endpoint: &str, path: &str, request: &impl Message) -> Result<M> {
    on_this_thread(async {
        let mut wire = Wire::open(endpoint, path).await?;
        let mut body = Vec::new();
        grpc::frame(request, &mut body);
        wire.connection.request(0, &body);
        let mut reply = None;
        while reply.is_none() {
            wire.flush()?;
            timeout(PATIENCE, wire.read()).await.context("no answer")??;
            wire.receive(|_, body| reply = Some(body.and_then(grpc::message)))?;
        }
        reply.expect("the loop ends with one").map_err(|words| anyhow!("{path}: {words}"))
    })
}

fn on_this_thread<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("a runtime")?;
    LocalSet::new().block_on(&runtime, work)
}

impl Line {
    async fn open(endpoint: &str, kind: Kind, in_flight: usize, seed: u64) -> Result<Self> {
        let mut wire = Wire::open(endpoint, kind.path()).await?;
        let stream = kind.has_stream().then(|| wire.connection.open(STREAM_TAG));
        let now = Instant::now();
        Ok(Self {
            wire,
            stream,
            asked: VecDeque::with_capacity(in_flight),
            tickets: vec![Ticket { number: 0, floor: 0, sent: now }; in_flight],
            free: (0..in_flight as u32).rev().collect(),
            next: None,
            body: Vec::new(),
            chance: Chance::new(seed),
            tally: Tally { latencies: Histogram::new(), answered: 0, failures: BTreeMap::new() },
        })
    }

    async fn drive(mut self, run: Rc<Run>) -> Result<Tally> {
        loop {
            self.send(&run)?;
            self.wire.flush()?;
            if self.is_idle() && self.next.is_none() {
                return Ok(self.tally);
            }
            self.wire.read().await?;
            self.take_replies(&run)?;
        }
    }

    fn is_idle(&self) -> bool {
        self.free.len() == self.tickets.len()
    }

    /// Fills the outbox up to the number of requests in flight.
    fn send(&mut self, run: &Run) -> Result<()> {
        let now = Instant::now();
        while let Some(&tag) = self.free.last() {
            let Some(number) = self.next.take().or_else(|| run.next_key(now, &mut self.chance)) else { break };
            run.kind.encode(&run.keyspace, number, &mut self.body);
            let connection = &mut self.wire.connection;
            let has_room = match self.stream {
                Some(stream) => connection.has_room_on(stream, self.body.len())?,
                None => connection.has_room(self.body.len())?,
            };
            if !has_room {
                ensure!(!self.is_idle(), "the server allows no request at all");
                self.next = Some(number);
                break;
            }
            self.free.pop();
            self.tickets[tag as usize] = Ticket { number, floor: run.highest.get(), sent: now };
            match self.stream {
                Some(stream) => {
                    connection.send(stream, &self.body);
                    self.asked.push_back(tag);
                }
                None => connection.request(tag, &self.body),
            }
        }
        Ok(())
    }

    fn take_replies(&mut self, run: &Run) -> Result<()> {
        let now = Instant::now();
        let counts = now >= run.begin && run.end.is_none_or(|end| now < end);
        let (tickets, free, tally) = (&self.tickets, &mut self.free, &mut self.tally);
        let (asked, mut ended) = (&mut self.asked, None);
        self.wire.receive(|tag, reply| {
            let tag = match (tag, &reply) {
                (STREAM_TAG, Err(words)) => {
                    ended = Some(words.clone());
                    return;
                }
                (STREAM_TAG, Ok(_)) => match asked.pop_front() {
                    Some(tag) => tag,
                    None => return tally.fail("an answer to nothing".to_owned()),
                },
                (tag, _) => tag,
            };
            let ticket = tickets[tag as usize];
            free.push(tag);
            run.last.set(now);
            let checked = reply.and_then(|body| run.kind.check(&run.keyspace, ticket.number, ticket.floor, body));
            match checked {
                Ok(revision) => {
                    run.highest.set(run.highest.get().max(revision));
                    tally.answered += 1;
                    if counts {
                        tally.latencies.record(now - ticket.sent);
                    }
                }
                Err(words) => tally.fail(words),
            }
        })?;
        ended.map_or(Ok(()), |words| Err(anyhow!("a stream ended under the load: {words}")))
    }
}

impl Run {
    /// The key of the next request, or nothing when the load is over.
    fn next_key(&self, now: Instant, chance: &mut Chance) -> Option<usize> {
        let Some(end) = self.end else {
            let left = self.left.get().checked_sub(1)?;
            self.left.set(left);
            return Some((left % self.keyspace.len() as u64) as usize);
        };
        (now < end).then(|| chance.below(self.keyspace.len()))
    }
}

impl Tally {
    fn fail(&mut self, words: String) {
        let known = self.failures.len() < FAILURES_MAX || self.failures.contains_key(&words);
        let words = if known { words } else { "other failures".to_owned() };
        *self.failures.entry(words).or_default() += 1;
    }
}

#[cfg(test)]
mod tests;

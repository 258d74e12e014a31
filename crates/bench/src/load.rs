//! Drives connections against a server and counts.
//!
//! Everything runs on one thread: with two cores shared by all, a second thread
//! of the load would only take turns with the servers. Each connection keeps a
//! fixed number of requests in flight and owns its counts; what they share is
//! one [`Run`], of cells. The clock is read twice per batch of replies, not per
//! reply: a latency is from the write of its batch to the read of another.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use bytes::BytesMut;
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::TcpStream;
use tokio::task::LocalSet;
use tokio::time::{Instant, timeout};

use crate::grpc;
use crate::histogram::Histogram;
use crate::http2::connection::Connection;
use crate::keyspace::{Chance, Keyspace};
use crate::request::Kind;

/// How long a server may take to accept, to greet, or to send any reply at all.
const PATIENCE: Duration = Duration::from_secs(15);

/// How often somebody looks whether replies still come.
const LOOK: Duration = Duration::from_secs(1);

/// Room for what one read of the socket brings.
const READ_BYTES: usize = 64 << 10;

/// Different words of failure that are kept apart; the rest are only counted.
const FAILURES_MAX: usize = 20;

/// What to send, and for how long.
#[derive(Clone, Debug)]
pub struct Load {
    pub kind: Kind,
    pub connections: usize,
    /// Requests in flight on each connection.
    pub in_flight: usize,
    pub extent: Extent,
}

/// When a load ends.
#[derive(Clone, Copy, Debug)]
pub enum Extent {
    /// After a time; what is answered while it warms up does not count.
    Time { warm_up: Duration, measured: Duration },
    /// After so many requests, over the keys in turn.
    Requests(u64),
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

/// One connection: socket, protocol, counts.
struct Line {
    socket: TcpStream,
    connection: Connection,
    inbox: BytesMut,
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
    on_this_thread(async {
        let mut lines = Vec::new();
        for (index, endpoint) in endpoints.iter().cycle().take(load.connections).enumerate() {
            lines.push(Line::open(endpoint, load.kind.path(), load.in_flight, index as u64).await?);
        }
        let now = Instant::now();
        let (begin, end, left) = match load.extent {
            Extent::Time { warm_up, measured } => (now + warm_up, Some(now + warm_up + measured), u64::MAX),
            Extent::Requests(count) => (now, None, count),
        };
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
        let mut line = Line::open(endpoint, path, 1, 0).await?;
        grpc::frame(request, &mut line.body);
        line.connection.request(0, &line.body);
        let mut reply = None;
        while reply.is_none() {
            line.flush()?;
            let keep = |_, body: Result<&[u8], String>| reply = Some(body.and_then(grpc::message));
            timeout(PATIENCE, line.read()).await.context("no answer")??;
            line.connection.receive(&mut line.inbox, keep)?;
        }
        reply.expect("the loop ends with one").map_err(|words| anyhow!("{path}: {words}"))
    })
}

fn on_this_thread<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("a runtime")?;
    LocalSet::new().block_on(&runtime, work)
}

impl Line {
    async fn open(endpoint: &str, path: &str, in_flight: usize, seed: u64) -> Result<Self> {
        let socket = timeout(PATIENCE, TcpStream::connect(endpoint)).await.context("no answer")?;
        let socket = socket.with_context(|| format!("connecting to {endpoint}"))?;
        socket.set_nodelay(true).context("turning off Nagle's algorithm")?;
        let now = Instant::now();
        let mut line = Self {
            socket,
            connection: Connection::new(endpoint, path),
            inbox: BytesMut::with_capacity(READ_BYTES),
            tickets: vec![Ticket { number: 0, floor: 0, sent: now }; in_flight],
            free: (0..in_flight as u32).rev().collect(),
            next: None,
            body: Vec::new(),
            chance: Chance::new(seed),
            tally: Tally { latencies: Histogram::new(), answered: 0, failures: BTreeMap::new() },
        };
        let greeting = std::mem::take(&mut line.connection.outbox);
        line.socket.write_all(&greeting).await.context("greeting the server")?;
        while !line.connection.is_ready() {
            timeout(PATIENCE, line.read()).await.with_context(|| format!("{endpoint} did not greet"))??;
            line.connection.receive(&mut line.inbox, |_, _| panic!("a reply to nothing"))?;
        }
        Ok(line)
    }

    async fn drive(mut self, run: Rc<Run>) -> Result<Tally> {
        loop {
            self.send(&run)?;
            self.flush()?;
            if self.connection.in_flight() == 0 && self.next.is_none() {
                return Ok(self.tally);
            }
            self.read().await?;
            self.take_replies(&run)?;
        }
    }

    /// Fills the outbox up to the number of requests in flight.
    fn send(&mut self, run: &Run) -> Result<()> {
        let now = Instant::now();
        while let Some(&tag) = self.free.last() {
            let Some(number) = self.next.take().or_else(|| run.next_key(now, &mut self.chance)) else { break };
            run.kind.encode(&run.keyspace, number, &mut self.body);
            if !self.connection.has_room(self.body.len())? {
                ensure!(self.connection.in_flight() > 0, "the server allows no request at all");
                self.next = Some(number);
                break;
            }
            self.free.pop();
            self.tickets[tag as usize] = Ticket { number, floor: run.highest.get(), sent: now };
            self.connection.request(tag, &self.body);
        }
        Ok(())
    }

    fn take_replies(&mut self, run: &Run) -> Result<()> {
        let now = Instant::now();
        let counts = now >= run.begin && run.end.is_none_or(|end| now < end);
        let (tickets, free, tally) = (&self.tickets, &mut self.free, &mut self.tally);
        self.connection.receive(&mut self.inbox, |tag, reply| {
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
        })
    }

    /// Writes as much of the outbox as the socket takes.
    fn flush(&mut self) -> Result<()> {
        let mut written = 0;
        let outbox = &mut self.connection.outbox;
        while written < outbox.len() {
            match self.socket.try_write(&outbox[written..]) {
                Ok(bytes) => written += bytes,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error).context("writing to the server"),
            }
        }
        outbox.drain(..written);
        Ok(())
    }

    /// Waits for bytes and reads them. Comes back without any when the socket
    /// takes more of what is left in the outbox.
    async fn read(&mut self) -> Result<()> {
        self.inbox.reserve(READ_BYTES);
        let read = if self.connection.outbox.is_empty() {
            // Knows that a short read was the last: one system call per batch.
            self.socket.read_buf(&mut self.inbox).await
        } else {
            let either = Interest::READABLE | Interest::WRITABLE;
            self.socket.ready(either).await.context("waiting for the server")?;
            self.socket.try_read_buf(&mut self.inbox)
        };
        match read {
            Ok(0) => Err(anyhow!("the server closed the connection")),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error).context("reading from the server"),
        }
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

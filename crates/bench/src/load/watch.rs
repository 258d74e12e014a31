//! Many watchers of one key, and puts to it: what counts is every event that
//! every watcher is told.
//!
//! ```text
//!   putter ──put──▶ server ──events──▶ streams, each with its watchers
//!      ▲                                  │
//!      └── told: everyone knows one more ◀┘
//! ```
//!
//! A put is under way until the last watcher has been told of it. One wrong
//! event ends the load: what is told after it cannot be counted on.

mod story;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use anyhow::{Context, Result, anyhow, bail, ensure};
use proto::etcdserverpb::{PutRequest, RangeRequest, RangeResponse, WatchResponse};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::wire::{PATIENCE, Wire};
use super::{Load, Outcome, STREAM_TAG, call, on_this_thread};
use crate::grpc;
use crate::histogram::Histogram;
use crate::keyspace::Keyspace;
use crate::request::Kind;
use story::Story;

/// Watchers that share a stream, as those of one client do.
pub const WATCHERS_PER_STREAM: usize = 100;

/// The number of the key that is watched.
const KEY: usize = 0;

/// What the putter and the streams share.
struct Scene {
    keyspace: Rc<Keyspace>,
    story: RefCell<Story>,
    /// Everybody has been told of another put.
    told: Notify,
    begin: Instant,
    end: Option<Instant>,
    latencies: RefCell<Histogram>,
    events: Cell<u64>,
    last: Cell<Instant>,
}

/// One stream, and how many events each of its watchers has been told.
struct Listener {
    wire: Wire,
    watchers: BTreeMap<i64, usize>,
}

/// The connection that writes.
struct Putter {
    wire: Wire,
    /// Puts that may still be sent, and how many may be under way.
    left: u64,
    in_flight: usize,
    body: Vec<u8>,
}

/// Runs the load: streams over the endpoints in turn, puts to the first.
///
/// # Errors
/// As of any load, and when anybody is told something wrong.
pub fn run(endpoints: &[String], keyspace: &Rc<Keyspace>, load: &Load) -> Result<Outcome> {
    // Everybody who is asked has then applied what came before the first put.
    let mut before = None;
    for endpoint in endpoints {
        let ask = RangeRequest { key: keyspace.key(KEY), ..Default::default() };
        before = Some(call::<RangeResponse>(endpoint, Kind::Range.path(), &ask)?);
    }
    let before = before.context("a load of nothing")?;
    let version = before.kvs.first().map_or(0, |found| found.version);
    let revision = before.header.context("a reply without a header")?.revision;
    on_this_thread(async {
        let mut listeners = Vec::new();
        for endpoint in endpoints.iter().cycle().take(load.connections) {
            listeners.push(Listener::open(endpoint, keyspace).await?);
        }
        let wire = Wire::open(&endpoints[0], Kind::Put.path()).await?;
        let now = Instant::now();
        let (begin, end, left) = load.extent.from(now);
        let scene = Rc::new(Scene {
            keyspace: Rc::clone(keyspace),
            story: RefCell::new(Story::new(load.connections * WATCHERS_PER_STREAM, version, revision)),
            told: Notify::new(),
            begin,
            end,
            latencies: RefCell::new(Histogram::new()),
            events: Cell::new(0),
            last: Cell::new(now),
        });
        let mut streams = JoinSet::new();
        for listener in listeners {
            streams.spawn_local(listener.listen(Rc::clone(&scene)));
        }
        let putter = Putter { wire, left, in_flight: load.in_flight, body: Vec::new() };
        tokio::select! {
            written = putter.write(&scene) => written?,
            ended = streams.join_next() => ended.context("a load without streams")?.context("a stream's task was lost")??,
        }
        scene.story.borrow().check_end().map_err(|words| anyhow!(words))?;
        Ok(Outcome {
            seconds: (end.unwrap_or(scene.last.get()) - begin).as_secs_f64(),
            latencies: scene.latencies.replace(Histogram::new()),
            answered: scene.events.get(),
            failures: BTreeMap::new(),
        })
    })
}

impl Listener {
    /// Opens a stream and makes its watchers.
    async fn open(endpoint: &str, keyspace: &Keyspace) -> Result<Self> {
        let mut wire = Wire::open(endpoint, Kind::Watch.path()).await?;
        let stream = wire.connection.open(STREAM_TAG);
        let mut body = Vec::new();
        Kind::Watch.encode(keyspace, KEY, &mut body);
        let mut watchers = BTreeMap::new();
        for _ in 0..WATCHERS_PER_STREAM {
            ensure!(wire.connection.has_room_on(stream, body.len())?, "the server has no room for so many watchers");
            wire.connection.send(stream, &body);
        }
        let mut wrong = None;
        while watchers.len() < WATCHERS_PER_STREAM {
            wire.flush()?;
            timeout(PATIENCE, wire.read()).await.context("not every watcher was made")??;
            wire.receive(|_, reply| {
                let made = reply.and_then(|body| {
                    Kind::Watch.check(keyspace, KEY, 0, body)?;
                    match watchers.insert(grpc::message::<WatchResponse>(body)?.watch_id, 0) {
                        None => Ok(()),
                        Some(_) => Err("two watchers of one stream have the same number".to_owned()),
                    }
                });
                wrong = wrong.take().or(made.err());
            })?;
            if let Some(words) = wrong {
                bail!(words);
            }
        }
        Ok(Self { wire, watchers })
    }

    /// Takes events for ever. Comes back only with an error.
    async fn listen(mut self, scene: Rc<Scene>) -> Result<()> {
        loop {
            self.wire.read().await?;
            self.wire.flush()?;
            let now = Instant::now();
            let counts = now >= scene.begin && scene.end.is_none_or(|end| now < end);
            let (mut wrong, watchers) = (None, &mut self.watchers);
            let (mut story, mut latencies) = (scene.story.borrow_mut(), scene.latencies.borrow_mut());
            let (whole, mut events) = (story.whole(), 0);
            self.wire.receive(|_, reply| {
                let taken = reply.and_then(|body| {
                    story.take(&scene.keyspace, watchers, &grpc::message(body)?, |sent| {
                        events += 1;
                        if counts {
                            latencies.record(now - sent);
                        }
                    })
                });
                wrong = wrong.take().or(taken.err());
            })?;
            if let Some(words) = wrong {
                bail!("a watch: {words}");
            }
            scene.events.set(scene.events.get() + events);
            scene.last.set(now);
            if story.whole() > whole {
                scene.told.notify_one();
            }
        }
    }
}

impl Putter {
    /// Puts until the load is over and everybody has been told of everything.
    async fn write(mut self, scene: &Scene) -> Result<()> {
        loop {
            self.send(scene)?;
            self.wire.flush()?;
            let (sent, whole) = (scene.story.borrow().sent(), scene.story.borrow().whole());
            if whole == sent && self.wire.connection.in_flight() == 0 {
                return Ok(());
            }
            let woken = async {
                tokio::select! {
                    read = self.wire.read() => read,
                    () = scene.told.notified() => Ok(()),
                }
            };
            let woken = timeout(PATIENCE, woken).await;
            woken.with_context(|| format!("of {sent} puts {whole} were told to everybody, then nothing came"))??;
            self.take_replies(scene)?;
        }
    }

    /// Fills the outbox up to the number of puts under way.
    fn send(&mut self, scene: &Scene) -> Result<()> {
        let now = Instant::now();
        let mut story = scene.story.borrow_mut();
        let is_over = scene.end.is_some_and(|end| now >= end);
        while !is_over && self.left > 0 && story.sent() - story.whole() < self.in_flight {
            let number = story.sent();
            let (key, value) = (scene.keyspace.key(KEY), scene.keyspace.value(number));
            grpc::frame(&PutRequest { key, value, ..Default::default() }, &mut self.body);
            if !self.wire.connection.has_room(self.body.len())? {
                break;
            }
            story.send(now);
            self.wire.connection.request(number as u32, &self.body);
            self.left -= 1;
        }
        Ok(())
    }

    fn take_replies(&mut self, scene: &Scene) -> Result<()> {
        let mut story = scene.story.borrow_mut();
        let mut wrong = None;
        self.wire.receive(|tag, reply| {
            let number = tag as usize;
            let answered = reply.and_then(|body| {
                let revision = Kind::Put.check(&scene.keyspace, KEY, story.floor(number), body)?;
                story.answer(number, revision);
                Ok(())
            });
            wrong = wrong.take().or(answered.err());
        })?;
        wrong.map_or(Ok(()), |words| Err(anyhow!("a put to the watched key: {words}")))
    }
}

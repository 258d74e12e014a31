//! Watch streams of one side, and what its watchers are owed.
//!
//! How events are spread over responses depends on when a member looks, so
//! what is compared is the list of events of each watcher, and each answer to
//! a create or cancel. To know when a watcher has everything, a watcher of the
//! whole store is kept beside them: what it saw and another one's range covers
//! is owed. Batches have rules too; they are held by [`Watched::take`].

use crate::side::answered;
use futures_util::stream;
use proto::etcdserverpb::watch_request::RequestUnion;
use proto::etcdserverpb::{WatchCreateRequest, WatchRequest, WatchResponse};
use proto::mvccpb::Event;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic_prost::ProstCodec;

/// Streams of watches in a lane.
pub const STREAMS: usize = 3;
/// How long an event may be on its way.
const PATIENCE: Duration = Duration::from_secs(30);
/// Messages that may lie between us and a stream.
const QUEUE: usize = 1 << 14;

/// One watcher as we know it.
#[derive(Debug, Default)]
pub struct Watched {
    asked: WatchCreateRequest,
    /// The first revision it is owed.
    from: i64,
    /// What was received and not compared yet.
    events: Vec<Event>,
    /// How many were received, and owed, in all.
    received: usize,
    /// The last revision that was received.
    last: i64,
    unfinished: bool,
    /// It will be cancelled, because its start is compacted.
    doomed: bool,
    /// It may still be reading history.
    behind: bool,
    end: Option<WatchResponse>,
}

impl Watched {
    fn owes(&self, event: &Event) -> bool {
        let Some(kv) = &event.kv else { return false };
        if kv.mod_revision < self.from || self.asked.filters.contains(&event.r#type) {
            return false;
        }
        let first: &[u8] = if self.asked.key.is_empty() { b"\0" } else { &self.asked.key };
        match &self.asked.range_end[..] {
            b"" => kv.key[..] == *first,
            b"\0" => kv.key[..] >= *first,
            end => kv.key[..] >= *first && kv.key[..] < *end,
        }
    }

    fn take(&mut self, response: WatchResponse) -> Result<(), String> {
        if response.canceled {
            self.end = Some(response);
            return Ok(());
        }
        let header = response.header.as_ref().map_or(0, |header| header.revision);
        let revision = |event: &Event| event.kv.as_ref().map_or(0, |kv| kv.mod_revision);
        let first = response.events.first().map_or(header, revision);
        let last = response.events.last().map_or(header, revision);
        if header < last || first < self.last || (first == self.last && !response.events.is_empty() && !self.unfinished)
        {
            return Err(format!("a response that must not follow revision {}: {response:?}", self.last));
        }
        if response.fragment && !self.asked.fragment {
            return Err(format!("a fragment that nobody asked for: {response:?}"));
        }
        if !response.events.is_empty() {
            self.last = last;
            self.unfinished = response.fragment;
        }
        self.received += response.events.len();
        self.events.extend(response.events);
        Ok(())
    }
}

struct Stream {
    channel: Channel,
    out: mpsc::Sender<WatchRequest>,
    answers: mpsc::Receiver<Result<WatchResponse, tonic::Status>>,
    member: usize,
    watchers: BTreeMap<i64, Watched>,
    /// Answers to progress requests.
    progress: Vec<WatchResponse>,
    created: Vec<WatchResponse>,
    /// Ended by a compaction and not cancelled: cancelling has an answer once more.
    ended: BTreeSet<i64>,
    again: Vec<WatchResponse>,
}

impl Stream {
    async fn open(channel: &Channel, member: usize) -> Result<Stream, tonic::Status> {
        let (out, requests) = mpsc::channel(QUEUE);
        let mut grpc = Grpc::new(channel.clone()).max_decoding_message_size(usize::MAX);
        let ready = async { grpc.ready().await.map_err(|error| tonic::Status::unavailable(error.to_string())) };
        answered("Watch", ready).await?;
        let asked = stream::unfold(requests, |mut requests: mpsc::Receiver<WatchRequest>| async {
            requests.recv().await.map(|request| (request, requests))
        });
        let path = PathAndQuery::from_static("/etcdserverpb.Watch/Watch");
        // The headers may come only with the first answer, so they are awaited beside.
        let (forward, answers) = mpsc::channel(QUEUE);
        tokio::spawn(async move {
            let started = grpc.streaming(tonic::Request::new(asked), path, ProstCodec::default()).await;
            let mut responses = match started {
                Ok(responses) => responses.into_inner(),
                Err(status) => return forward.send(Err(status)).await.unwrap_or(()),
            };
            loop {
                let answer = match responses.message().await {
                    Ok(Some(answer)) => Ok(answer),
                    Ok(None) => return,
                    Err(status) => Err(status),
                };
                if forward.send(answer).await.is_err() {
                    return;
                }
            }
        });
        let (watchers, progress, created) = (BTreeMap::new(), Vec::new(), Vec::new());
        let (ended, again) = (BTreeSet::new(), Vec::new());
        Ok(Stream { channel: channel.clone(), out, answers, member, watchers, progress, created, ended, again })
    }

    async fn next(&mut self, deadline: Instant) -> Result<(), String> {
        let answer = tokio::time::timeout_at(deadline.into(), self.answers.recv()).await;
        let answer = answer.map_err(|_| "nothing came in time".to_owned())?;
        let answer = answer.ok_or("the watch stream ended")?.map_err(|status| format!("the stream ended: {status}"))?;
        if answer.created {
            self.created.push(answer);
        } else if answer.watch_id == -1 && answer.events.is_empty() && !answer.canceled {
            self.progress.push(answer);
        } else if answer.canceled && self.ended.remove(&answer.watch_id) {
            self.again.push(answer);
        } else if let Some(watcher) = self.watchers.get_mut(&answer.watch_id) {
            if answer.compact_revision != 0 {
                self.ended.insert(answer.watch_id);
            }
            watcher.take(answer)?;
        } else {
            return Err(format!("a response for a watcher that is not there: {answer:?}"));
        }
        Ok(())
    }

    /// Until each watcher has what it is owed.
    async fn settle(&mut self, log: &[Event]) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        let ids: Vec<i64> = self.watchers.keys().copied().collect();
        for id in ids {
            let owed = log.iter().filter(|event| self.watchers[&id].owes(event)).count();
            loop {
                let watcher = &self.watchers[&id];
                if watcher.end.is_some() || (!watcher.doomed && watcher.received >= owed) {
                    break;
                }
                let received = watcher.received;
                let asked = watcher.asked.clone();
                self.next(deadline)
                    .await
                    .map_err(|why| format!("watcher {id} has {received} of {owed} events ({why}): {asked:?}"))?;
            }
        }
        Ok(())
    }
}

/// The watch streams of one side.
#[derive(Default)]
pub struct Streams {
    streams: [Option<Stream>; STREAMS],
    all: Option<Stream>,
    /// Everything that ever happened, from the watcher of everything.
    log: Vec<Event>,
    /// So much of it has been handed out.
    read: usize,
}

impl Streams {
    /// Sends one message; its answer, if it has one that is comparable.
    pub async fn send(
        &mut self,
        number: usize,
        channel: (&Channel, usize),
        request: &WatchRequest,
        (current, compacted): (i64, i64),
    ) -> Result<Vec<WatchResponse>, String> {
        self.read_all(channel, current).await?;
        if self.streams[number].is_none() {
            let opened = Stream::open(channel.0, channel.1).await.map_err(|status| status.to_string())?;
            self.streams[number] = Some(opened);
        }
        let stream = self.streams[number].as_mut().expect("just opened");
        let deadline = Instant::now() + PATIENCE;
        match &request.request_union {
            Some(RequestUnion::CreateRequest(create)) => {
                stream.post(request).await?;
                while stream.created.is_empty() {
                    stream.next(deadline).await?;
                }
                let created = stream.created.remove(0);
                if !created.canceled {
                    let present = created.header.as_ref().map_or(0, |header| header.revision);
                    let from = if create.start_revision == 0 { present + 1 } else { create.start_revision };
                    let (doomed, behind) = (from < compacted, from <= present);
                    let watcher = Watched { asked: create.clone(), from, doomed, behind, ..Watched::default() };
                    stream.watchers.insert(created.watch_id, watcher);
                }
                Ok(vec![created])
            }
            Some(RequestUnion::CancelRequest(cancel)) => {
                stream.settle(&self.log).await?;
                let known = stream.watchers.get(&cancel.watch_id).is_some_and(|watcher| watcher.end.is_none());
                stream.post(request).await?;
                while stream.ended.contains(&cancel.watch_id) {
                    stream.next(deadline).await?;
                }
                while known && stream.watchers[&cancel.watch_id].end.is_none() {
                    stream.next(deadline).await?;
                }
                Ok(std::mem::take(&mut stream.again))
            }
            Some(RequestUnion::ProgressRequest(_)) => {
                stream.settle(&self.log).await?;
                stream.caught_up(&self.log).await?;
                // Excluded: progress-unsynced.
                let alive: Vec<&Watched> = stream.watchers.values().filter(|watcher| watcher.end.is_none()).collect();
                let present = last_revision(&self.log);
                if !stream.ended.is_empty()
                    || alive.is_empty()
                    || alive.iter().any(|watcher| watcher.from > present + 1)
                {
                    return Ok(Vec::new());
                }
                stream.post(request).await?;
                while stream.progress.is_empty() {
                    stream.next(deadline).await?;
                }
                Ok(std::mem::take(&mut stream.progress))
            }
            None => {
                stream.post(request).await?;
                Ok(Vec::new())
            }
        }
    }

    /// All that watchers were owed and not asked for yet: what the watcher of
    /// everything was told, then one response for each with its events, and one
    /// for its end.
    pub async fn read(&mut self, channel: (&Channel, usize), current: i64) -> Result<Vec<WatchResponse>, String> {
        self.read_all(channel, current).await?;
        let everything = self.log[self.read..].to_vec();
        self.read = self.log.len();
        let mut found = vec![WatchResponse { events: everything, ..WatchResponse::default() }];
        for stream in self.streams.iter_mut().flatten() {
            stream.settle(&self.log).await?;
            stream.caught_up(&self.log).await?;
            for (&watch_id, watcher) in &mut stream.watchers {
                let events = std::mem::take(&mut watcher.events);
                if !events.is_empty() {
                    found.push(WatchResponse { watch_id, events, ..WatchResponse::default() });
                }
                found.extend(watcher.end.clone());
            }
            stream.watchers.retain(|_, watcher| watcher.end.is_none());
        }
        Ok(found)
    }

    /// Which streams go through this member.
    pub fn through(&self, member: usize) -> Vec<usize> {
        let through = |number: &usize| self.streams[*number].as_ref().is_some_and(|stream| stream.member == member);
        (0..STREAMS).filter(through).collect()
    }

    /// The member that a stream goes through, if it is open.
    pub fn member(&self, number: usize) -> Option<usize> {
        self.streams[number].as_ref().map(|stream| stream.member)
    }

    /// Closes a stream; the next message opens another.
    pub fn close(&mut self, number: usize) {
        self.streams[number] = None;
    }

    /// Closes the watcher of everything if it goes through this member.
    pub fn leave(&mut self, member: usize) {
        if self.all.as_ref().is_some_and(|stream| stream.member == member) {
            self.all = None;
        }
    }

    async fn read_all(&mut self, (channel, member): (&Channel, usize), current: i64) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        if self.all.is_none() {
            let mut stream = Stream::open(channel, member).await.map_err(|status| status.to_string())?;
            let from = last_revision(&self.log) + 1;
            let create =
                WatchCreateRequest { range_end: "\0".into(), start_revision: from, ..WatchCreateRequest::default() };
            stream.post(&WatchRequest { request_union: Some(RequestUnion::CreateRequest(create.clone())) }).await?;
            stream.watchers.insert(0, Watched { asked: create, from, ..Watched::default() });
            self.all = Some(stream);
        }
        let stream = self.all.as_mut().expect("just opened");
        while last_revision(&self.log) < current {
            stream.next(deadline).await.map_err(|why| format!("watching everything up to {current}: {why}"))?;
            let watcher = stream.watchers.get_mut(&0).expect("it is never removed");
            if let Some(end) = &watcher.end {
                return Err(format!("the watcher of everything was cancelled: {end:?}"));
            }
            self.log.append(&mut watcher.events);
        }
        Ok(())
    }
}

impl Stream {
    async fn post(&self, request: &WatchRequest) -> Result<(), String> {
        self.out.send(request.clone()).await.map_err(|_| "the watch stream ended".to_owned())
    }

    /// Until no watcher reads history any more. A member reads it for all who
    /// are behind in one go, so one more that is behind, and is told
    /// something, says when the others are done.
    async fn caught_up(&mut self, log: &[Event]) -> Result<(), String> {
        let present = last_revision(log);
        let behind = |watcher: &Watched| watcher.behind && !watcher.doomed && watcher.end.is_none();
        if log.is_empty() || !self.watchers.values().any(behind) {
            return Ok(());
        }
        let asked = WatchCreateRequest { range_end: "\0".into(), start_revision: present, ..Default::default() };
        replay(&self.channel, &asked, present).await.map_err(|status| format!("one more watcher: {status}"))?;
        self.watchers.values_mut().for_each(|watcher| watcher.behind = false);
        Ok(())
    }
}

fn last_revision(log: &[Event]) -> i64 {
    log.last().and_then(|event| event.kv.as_ref()).map_or(1, |kv| kv.mod_revision)
}

/// All responses to a watch of all keys, on a stream of its own, until the
/// present has come or the watch is over.
pub async fn replay(
    channel: &Channel,
    create: &WatchCreateRequest,
    present: i64,
) -> Result<Vec<WatchResponse>, tonic::Status> {
    let deadline = Instant::now() + PATIENCE;
    let late = || tonic::Status::deadline_exceeded("nothing came in time");
    let mut stream = Stream::open(channel, 0).await?;
    let request = WatchRequest { request_union: Some(RequestUnion::CreateRequest(create.clone())) };
    stream.post(&request).await.map_err(tonic::Status::aborted)?;
    let mut found: Vec<WatchResponse> = Vec::new();
    loop {
        let answer = tokio::time::timeout_at(deadline.into(), stream.answers.recv()).await.map_err(|_| late())?;
        let answer = answer.ok_or_else(|| tonic::Status::aborted("the watch stream ended"))??;
        let told = answer.events.last().and_then(|event| event.kv.as_ref()).map_or(1, |kv| kv.mod_revision);
        let nothing = answer.created && create.start_revision > present;
        let over = answer.canceled || nothing || (told >= present && !answer.fragment);
        found.push(answer);
        if over {
            return Ok(found);
        }
    }
}

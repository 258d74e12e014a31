//! `elect`: stands for election with a proposal, or tells who is elected.

use clap::ArgMatches;
use proto::etcdserverpb::{RangeResponse, WatchCreateRequest};
use proto::mvccpb::KeyValue;
use proto::mvccpb::event::EventType;

use super::turn::{Place, Signals, first, prefix_of};
use crate::fail::{Exit, Failure, Result};
use crate::flag::Flag;
use crate::global::Session;
use crate::print::Answer;
use crate::verb::{Verb, arguments};

const LISTEN: Flag = Flag::switch("listen", "observation mode").short('l');
/// How long a candidate may be out of reach, in seconds.
const TTL: i64 = 60;

/// The command.
pub const VERB: Verb =
    Verb::new("elect <election-name> [proposal]", "Observes and participates in leader election").flags(&[LISTEN]);

/// Runs it until it is told to stop.
pub async fn run(matches: &ArgMatches) -> Result<()> {
    let arguments = arguments(matches);
    let listen = LISTEN.is_on(matches);
    match arguments.as_slice() {
        [name] if listen => observe(&Session::open(matches).await?, name).await,
        [_] => Err(Failure::arguments("no proposal argument but -l not set")),
        [_, _] if listen => Err(Failure::arguments("proposal given but -l is set")),
        [name, proposal] => campaign(&Session::open(matches).await?, name, proposal).await,
        _ => Err(Failure::arguments("elect takes one election name argument and an optional proposal argument")),
    }
}

async fn campaign(session: &Session, name: &[u8], proposal: &[u8]) -> Result<()> {
    let mut signals = Signals::listen()?;
    let mut place = signals.or(Place::take(&session.client, name, TTL, proposal)).await?;
    let led = lead(session, &mut signals, &mut place).await;
    let left = place.leave().await;
    led.and(left)
}

async fn lead(session: &Session, signals: &mut Signals, place: &mut Place) -> Result<()> {
    let expired = || Failure::new(Exit::Error, "elect: session expired");
    signals.or(place.turn()).await?;
    let own = place.look().await?;
    if own.kvs.is_empty() {
        return Err(expired());
    }
    session.style.show(&Answer::Get(own))?;
    tokio::select! {
        () = signals.next() => Ok(()),
        () = place.lost() => Err(expired()),
    }
}

async fn observe(session: &Session, name: &[u8]) -> Result<()> {
    let mut signals = Signals::listen()?;
    tokio::select! {
        followed = follow(session, name) => followed,
        () = signals.next() => Ok(()),
    }
}

/// Shows each leader and what it proclaims, for ever.
async fn follow(session: &Session, name: &[u8]) -> Result<()> {
    loop {
        let found = first(&session.client, name).await?;
        let header = found.header.unwrap_or_default();
        let leader = match found.kvs.into_iter().next() {
            Some(kv) => RangeResponse { header: Some(header), kvs: vec![kv], ..RangeResponse::default() },
            None => match first_after(session, name, header.revision).await? {
                Some(leader) => leader,
                None => continue,
            },
        };
        reign(session, leader).await?;
    }
}

/// The first candidate there will be; none if a compaction has come in between.
async fn first_after(session: &Session, name: &[u8], revision: i64) -> Result<Option<RangeResponse>> {
    let prefix = prefix_of(name);
    let mut watcher = session.client.watch(WatchCreateRequest {
        range_end: client::range::prefix_end(&prefix),
        key: prefix.into(),
        start_revision: revision,
        ..WatchCreateRequest::default()
    });
    loop {
        let response = watcher.next().await?.ok_or_else(observer_lost)?;
        if response.canceled {
            return Ok(None);
        }
        let put = response.events.into_iter().find(|event| event.r#type() == EventType::Put);
        if let Some(kv) = put.and_then(|event| event.kv) {
            let header = response.header.map(|header| at(header, kv.mod_revision));
            return Ok(Some(RangeResponse { header, kvs: vec![kv], ..RangeResponse::default() }));
        }
    }
}

/// Shows what a leader proclaims until its key is gone.
async fn reign(session: &Session, leader: RangeResponse) -> Result<()> {
    let (key, revision) = {
        let kv: &KeyValue = &leader.kvs[0];
        (kv.key.clone(), leader.header.as_ref().map_or(0, |header| header.revision))
    };
    session.style.show(&Answer::Get(leader))?;
    let create = WatchCreateRequest { key, start_revision: revision + 1, ..WatchCreateRequest::default() };
    let mut watcher = session.client.watch(create);
    loop {
        let response = watcher.next().await?.ok_or_else(observer_lost)?;
        if response.canceled {
            return Ok(());
        }
        for event in response.events {
            if event.r#type() == EventType::Delete {
                return Ok(());
            }
            let kvs = event.kv.into_iter().collect();
            session.style.show(&Answer::Get(RangeResponse {
                header: response.header,
                kvs,
                ..RangeResponse::default()
            }))?;
        }
    }
}

fn at(header: proto::etcdserverpb::ResponseHeader, revision: i64) -> proto::etcdserverpb::ResponseHeader {
    proto::etcdserverpb::ResponseHeader { revision, ..header }
}

fn observer_lost() -> Failure {
    Failure::new(Exit::Error, "elect: observer lost")
}

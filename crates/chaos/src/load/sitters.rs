//! Clients that renew leases through one member only. When that one is taken away while it leads, each lease is renewed
//! there once more, one after the other, and never again: whoever confirms that and leads no longer has promised a time
//! that the next leader, who has not heard of it, does not give. What is read there meanwhile must not be old either.

use super::leases;
use crate::away::Away;
use crate::history::Ask;
use crate::notebook::Notebook;
use client::Client;
use fastrand::Rng;
use proto::etcdserverpb::RangeRequest;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// Leases of one sitter, and their seconds.
const LEASES: usize = 24;
const SECONDS: Range<i64> = 3..6;
/// From one renewal to the next: each lease has its turn well before it ends.
const TURN: Duration = Duration::from_millis(50);
/// The same while the member is away: the last come when others have elected somebody.
const TURN_AWAY: Duration = Duration::from_millis(150);
/// How long whoever is away has to answer: it may be stopped for most of that.
pub const PATIENCE: Duration = Duration::from_secs(7);

/// Who sits where.
pub struct Seat {
    /// The client's number.
    pub number: usize,
    /// The member it sits at.
    pub member: usize,
    /// Asks that one.
    pub here: Client,
    /// Asks any.
    pub all: Client,
}

/// Renews until the load ends.
pub async fn sit(seat: Seat, away: Away, notebook: Arc<Notebook>, seed: u64) {
    let mut chance = Rng::with_seed(seed ^ (seat.number as u64) << 44);
    let (mut count, mut held) = (0, Vec::new());
    while !notebook.stopped() {
        if away.is(seat.member) {
            leave(&seat, std::mem::take(&mut held), &away, &notebook).await;
            continue;
        }
        let turn = tokio::time::Instant::now() + TURN;
        if held.len() < LEASES {
            count += 1;
            let id = ((seat.number as i64 + 1) << 32) | count;
            held.extend(leases::grant(id, 1, chance.i64(SECONDS), seat.number, &seat.all, &notebook).await.map(|_| id));
        }
        if !held.is_empty() {
            let id = held.remove(0);
            tokio::select! {
                renewed = leases::renew(id, seat.number, &seat.here, &notebook) => held.extend(renewed.then_some(id)),
                // It is asked once more all the same.
                () = away.until(seat.member) => {}
            }
        }
        tokio::select! {
            () = notebook.pause(turn.saturating_duration_since(tokio::time::Instant::now())) => {}
            () = away.until(seat.member) => {}
        }
    }
}

/// Renews each lease for the last time, and reads.
async fn leave(seat: &Seat, held: Vec<i64>, away: &Away, notebook: &Arc<Notebook>) {
    let mut asked = JoinSet::new();
    for id in held {
        if notebook.stopped() || !away.is(seat.member) {
            break;
        }
        notebook.asks_away();
        let read = RangeRequest { key: "r/".into(), range_end: "r0".into(), ..RangeRequest::default() };
        for ask in [Ask::Renew(id), Ask::Range(read)] {
            let (number, here, notebook) = (seat.number, seat.here.clone(), notebook.clone());
            asked.spawn(async move { leases::ask(number, &here, &notebook, ask, PATIENCE).await });
        }
        notebook.pause(TURN_AWAY).await;
    }
    asked.join_all().await;
    // Nothing is left to ask for.
    while away.is(seat.member) && !notebook.stopped() {
        notebook.pause(TURN_AWAY).await;
    }
}

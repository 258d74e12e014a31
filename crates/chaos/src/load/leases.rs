//! Clients with leases: granted, held for a while, and then left to end, or
//! revoked.

use super::writers::send;
use crate::history::{Answer, Ask, Outcome};
use crate::notebook::Notebook;
use client::Client;
use fastrand::Rng;
use proto::etcdserverpb::{LeaseGrantRequest, PutRequest};
use std::sync::Arc;
use std::time::Duration;

/// Renewals of one lease, at most.
const RENEWALS_MAX: u32 = 8;
/// Until another lease is asked for.
const AFTER_REFUSAL: Duration = Duration::from_millis(100);
/// How long a renewal may take: the library repeats it until it is answered.
const RENEWAL: Duration = Duration::from_secs(3);

/// Holds lease after lease until the load ends.
pub async fn hold(number: usize, client: Client, notebook: Arc<Notebook>, seed: u64) {
    let mut chance = Rng::with_seed(seed ^ (number as u64) << 48);
    let mut count = 0;
    while !notebook.stopped() {
        count += 1;
        let id = ((number as i64 + 1) << 32) | count;
        hold_one(id, number, &client, &notebook, &mut chance).await;
    }
}

async fn hold_one(id: i64, number: usize, client: &Client, notebook: &Notebook, chance: &mut Rng) {
    let (keys, seconds) = (chance.u32(1..4), chance.i64(1..5));
    let Some(granted) = grant(id, keys, seconds, number, client, notebook).await else { return };
    let third = granted.unsigned_abs() * 1_000 / 3;
    for _ in 0..chance.u32(0..RENEWALS_MAX) {
        // Mostly in time, now and then at the last moment.
        let late = if chance.u8(0..6) == 0 { 3 * third } else { third };
        notebook.pause(Duration::from_millis(chance.u64(third / 2..late + 1))).await;
        if notebook.stopped() {
            return;
        }
        if !renew(id, number, client, notebook).await {
            break;
        }
    }
    if chance.u8(0..5) == 0 {
        ask(number, client, notebook, Ask::Revoke(id), RENEWAL).await;
    }
}

/// A lease with so many keys. The seconds granted; none if it was not, after a pause.
pub async fn grant(
    id: i64,
    keys: u32,
    seconds: i64,
    number: usize,
    client: &Client,
    notebook: &Notebook,
) -> Option<i64> {
    let grant = Ask::Grant(LeaseGrantRequest { ttl: seconds, id });
    let Outcome::Answered(Answer::Grant(granted)) = ask(number, client, notebook, grant, RENEWAL).await else {
        notebook.pause(AFTER_REFUSAL).await;
        return None;
    };
    for key in 0..keys {
        let put = PutRequest {
            key: format!("l/{id:x}/{key}").into(),
            value: format!("{id}.{key}").into(),
            lease: id,
            ..PutRequest::default()
        };
        ask(number, client, notebook, Ask::Put(put), RENEWAL).await;
    }
    Some(granted.ttl)
}

/// Whether it was answered.
pub async fn renew(id: i64, number: usize, client: &Client, notebook: &Notebook) -> bool {
    matches!(ask(number, client, notebook, Ask::Renew(id), RENEWAL).await, Outcome::Answered(_))
}

/// Asks, and writes down what came of it within so long.
pub async fn ask(number: usize, client: &Client, notebook: &Notebook, ask: Ask, patience: Duration) -> Outcome {
    let begin = notebook.now();
    let outcome = match tokio::time::timeout(patience, send(client, &ask)).await {
        Ok(outcome) => outcome,
        Err(_) => Outcome::Unknown("given up".to_owned()),
    };
    notebook.ended(number, begin, ask, outcome.clone());
    outcome
}

//! Asking every member now and then how far away it is, and what time it has.

use std::sync::{Arc, Weak};
use std::time::Duration;

use http::{Method, StatusCode};
use tokio::time::{Instant, MissedTickBehavior};

use super::client::{self, Lane, RequestError};
use super::remote::Remote;
use super::{Inner, hex};
use std::sync::atomic::Ordering;

/// The answer to a probe, `{"OK":true,"Now":"<time>"}`.
#[derive(serde::Deserialize)]
struct Health {
    #[serde(rename = "OK")]
    ok: bool,
}

pub(super) fn start(inner: &Arc<Inner>, remote: &Arc<Remote>) {
    inner.spawn(remote, run(Arc::downgrade(inner), remote.clone(), inner.timeouts.probe));
}

async fn run(inner: Weak<Inner>, remote: Arc<Remote>, every: Duration) {
    let mut due = tokio::time::interval(every);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut lane: Option<Lane> = None;
    loop {
        due.tick().await;
        let Some(inner) = inner.upgrade() else { return };
        let Some(url) = remote.url() else { continue };
        let begin = Instant::now();
        let probe = probe(&inner, &mut lane, &url);
        match tokio::time::timeout(inner.timeouts.dial + inner.timeouts.read, probe).await {
            Ok(Ok(())) => {
                let micros = u64::try_from(begin.elapsed().as_micros()).unwrap_or(u64::MAX);
                remote.counters.round_trip_micros.store(micros, Ordering::Relaxed);
            }
            failed => {
                lane = None;
                let reason = match failed {
                    Ok(Err(error)) => error.to_string(),
                    _ => "no answer in time".to_owned(),
                };
                tracing::debug!("remote-peer-id" = %hex(remote.id), error = %reason, "prober detected unhealthy status");
            }
        }
    }
}

async fn probe(inner: &Inner, lane: &mut Option<Lane>, url: &str) -> Result<(), RequestError> {
    let lane = match lane {
        Some(open) if open.is_open() && open.url() == url => open,
        _ => lane.insert(Lane::open(url, inner.timeouts.dial, inner.timeouts.write).await?),
    };
    let answer = lane.request(client::request(Method::GET, url, "/raft/probing", client::no_body())).await?;
    let (status, _, body) = client::read_answer(url, answer).await?;
    match serde_json::from_slice::<Health>(&body) {
        Ok(health) if health.ok && status == StatusCode::OK => Ok(()),
        _ => Err(RequestError::failed(url, format!("status {status}"))),
    }
}

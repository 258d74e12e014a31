//! Asking the other members for their hash chains: our own path on the peer port.
//!
//! An etcd does not know it and answers 404, as it does to any path; then it is left in peace for a while.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Method, StatusCode};
use store::chain::Report;
use tokio::task::JoinSet;

use super::client::{self, Lane, RequestError};
use super::remote::{Remote, lock};
use super::{Inner, hex};

/// Answered with [`Report::encode`].
pub(super) const PATH: &str = "/quorate/chain";

/// A member that does not know the path is asked again after so long: it may be another program by then.
const STRANGE_FOR: Duration = Duration::from_secs(30);

/// Asks all at once.
pub(super) async fn ask_all(inner: &Arc<Inner>, patience: Duration) -> BTreeMap<u64, Report> {
    let mut asked = JoinSet::new();
    for remote in inner.remotes.load().members.values() {
        let (inner, remote) = (inner.clone(), remote.clone());
        asked.spawn(async move { (remote.id, tokio::time::timeout(patience, ask(&inner, &remote)).await) });
    }
    let mut reports = BTreeMap::new();
    while let Some(answered) = asked.join_next().await {
        match answered {
            Ok((id, Ok(Ok(Some(report))))) => {
                reports.insert(id, report);
            }
            Ok((id, Ok(Err(error)))) => {
                tracing::debug!("remote-peer-id" = %hex(id), error = %error, "a member did not tell its hash chain");
            }
            // It has none, or no time.
            Ok((_, Ok(Ok(None)) | Err(_))) | Err(_) => {}
        }
    }
    reports
}

/// None: it speaks of no chain, or not of one that can be compared.
async fn ask(inner: &Inner, remote: &Remote) -> Result<Option<Report>, RequestError> {
    if lock(&remote.no_chain_until).is_some_and(|moment| Instant::now() < moment) {
        return Ok(None);
    }
    let Some(url) = remote.url() else { return Ok(None) };
    let mut lane = match remote.idle_lane(&url) {
        Some(idle) => idle,
        None => Lane::open(&url, inner.timeouts.dial, inner.timeouts.write).await?,
    };
    let mut request = client::request(Method::GET, &url, PATH, client::no_body());
    inner.introduce(request.headers_mut(), Some(remote.id));
    let answer = lane.request(request).await?;
    let (status, _, body) = client::read_answer(&url, answer).await?;
    remote.keep_lane(lane);
    if status != StatusCode::OK {
        *lock(&remote.no_chain_until) = Some(Instant::now() + STRANGE_FOR);
        return Ok(None);
    }
    Ok(Report::decode(&body))
}

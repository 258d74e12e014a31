//! Leases live at the leader; a follower asks there on its clients' behalf.

use bytes::Bytes;
use http::{Method, StatusCode};
use prost::Message as _;
use proto::etcdserverpb::{LeaseKeepAliveRequest, LeaseKeepAliveResponse, LeaseTimeToLiveRequest};
use proto::leasepb::{LeaseInternalRequest, LeaseInternalResponse};

use super::client::{self, Lane};
use super::local::RemainingLease;
use super::remote::Remote;
use super::{Inner, RequestError};

/// Why the leader's word on a lease is not known.
#[derive(Debug, thiserror::Error)]
pub enum ForwardError {
    /// The leader has not applied everything yet.
    #[error("waiting for node to catch up its applied index has timed out")]
    ApplyTimeout,
    /// That member is not known, or is not the leader any more.
    #[error("not a primary lessor")]
    NotPrimary,
    /// It could not be asked.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// It answered something else.
    #[error("lease: unknown error({0})")]
    Answer(String),
    /// It took too long.
    #[error("lease request to the leader timed out")]
    Timeout,
}

/// Seconds the lease now has; 0: there is no such lease.
pub(super) async fn keep_alive(inner: &Inner, leader: u64, id: i64) -> Result<i64, ForwardError> {
    let request = LeaseKeepAliveRequest { id };
    let Some(body) = ask(inner, leader, "/leases", request.encode_to_vec().into()).await? else { return Ok(0) };
    let answer = LeaseKeepAliveResponse::decode(body).map_err(|error| ForwardError::Answer(error.to_string()))?;
    if answer.id != id {
        return Err(ForwardError::Answer(format!("renewed lease {:x} instead of {id:x}", answer.id)));
    }
    Ok(answer.ttl)
}

/// What the lease has left; -1: there is no such lease.
pub(super) async fn time_to_live(
    inner: &Inner,
    leader: u64,
    id: i64,
    keys: bool,
) -> Result<RemainingLease, ForwardError> {
    let asked = LeaseTimeToLiveRequest { id, keys };
    let request = LeaseInternalRequest { lease_time_to_live_request: Some(asked) };
    let Some(body) = ask(inner, leader, "/leases/internal", request.encode_to_vec().into()).await? else {
        return Ok(RemainingLease { ttl: -1, ..RemainingLease::default() });
    };
    let answer = LeaseInternalResponse::decode(body).map_err(|error| ForwardError::Answer(error.to_string()))?;
    match answer.lease_time_to_live_response {
        Some(answer) if answer.id == id => {
            Ok(RemainingLease { ttl: answer.ttl, granted_ttl: answer.granted_ttl, keys: answer.keys })
        }
        _ => Err(ForwardError::Answer("answer is about another lease".to_owned())),
    }
}

/// One POST, over an idle connection if there is one. None: there is no such lease.
async fn ask(inner: &Inner, leader: u64, path: &str, body: Bytes) -> Result<Option<Bytes>, ForwardError> {
    let remote = inner.member(leader).ok_or(ForwardError::NotPrimary)?;
    let patience = inner.timeouts.dial + inner.timeouts.read;
    let attempt = attempt(inner, &remote, path, body);
    let (status, text) = tokio::time::timeout(patience, attempt).await.map_err(|_| ForwardError::Timeout)??;
    match status {
        StatusCode::OK => Ok(Some(text)),
        StatusCode::REQUEST_TIMEOUT => Err(ForwardError::ApplyTimeout),
        StatusCode::NOT_FOUND => Ok(None),
        _ => {
            let text = String::from_utf8_lossy(&text).trim().to_owned();
            if text.contains("not a primary lessor") {
                Err(ForwardError::NotPrimary)
            } else {
                Err(ForwardError::Answer(text))
            }
        }
    }
}

async fn attempt(inner: &Inner, remote: &Remote, path: &str, body: Bytes) -> Result<(StatusCode, Bytes), ForwardError> {
    let url = remote.url().ok_or(ForwardError::NotPrimary)?;
    let build = || {
        let mut request = client::request(Method::POST, &url, path, client::full_body(body.clone()));
        client::set(request.headers_mut(), "content-type", "application/protobuf");
        client::set(request.headers_mut(), "x-etcd-cluster-id", &super::hex(inner.identity.cluster_id));
        request
    };
    // A renewal may be repeated: if the idle connection was closed meanwhile, a fresh one is tried.
    let reused = match remote.idle_lane(&url) {
        Some(mut lane) => lane.request(build()).await.ok().map(|answer| (lane, answer)),
        None => None,
    };
    let (lane, answer) = match reused {
        Some(both) => both,
        None => {
            let mut lane = Lane::open(&url, inner.timeouts.dial, inner.timeouts.write).await?;
            let answer = lane.request(build()).await?;
            (lane, answer)
        }
    };
    let (status, _, text) = client::read_answer(&url, answer).await?;
    remote.keep_lane(lane);
    Ok((status, text))
}

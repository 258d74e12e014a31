//! `etcdserverpb.Lease`.

use super::answer::{encoded, propose, status_of, wire_header};
use super::streams::Messages;
use crate::grpc::Status;
use crate::handle::Handle;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;
use proto::etcdserverpb::{
    InternalRaftRequest, LeaseGrantRequest, LeaseKeepAliveRequest, LeaseKeepAliveResponse, LeaseLeasesResponse,
    LeaseRevokeRequest, LeaseStatus, LeaseTimeToLiveRequest, LeaseTimeToLiveResponse,
};

/// So many renewals of one stream are under way at once.
const RENEWALS_MAX: usize = 64;

pub(super) async fn grant(handle: &Handle, mut request: LeaseGrantRequest) -> Result<Bytes, Status> {
    if request.id == 0 {
        request.id = handle.next_lease_id();
    }
    propose(handle, InternalRaftRequest { lease_grant: Some(request), ..Default::default() }).await
}

pub(super) async fn revoke(handle: &Handle, request: LeaseRevokeRequest) -> Result<Bytes, Status> {
    propose(handle, InternalRaftRequest { lease_revoke: Some(request), ..Default::default() }).await
}

/// One answer for each request, in their order; a lease that does not exist has TTL 0 and ends nothing. What a stream has
/// brought by then shares a read round.
pub(super) async fn keep_alive(handle: &Handle, messages: &mut Messages<'_>) -> Result<(), Status> {
    let Messages { inbound, outbound } = messages;
    let mut renewals = FuturesOrdered::new();
    // What comes after the last request that can be read, once it is known.
    let mut end = None;
    loop {
        // A follower asks the leader for each over a connection that nobody else has meanwhile.
        let at_once = if handle.leads() { RENEWALS_MAX } else { 1 };
        tokio::select! {
            biased;
            request = inbound.next::<LeaseKeepAliveRequest>(), if end.is_none() && renewals.len() < at_once => match request {
                Ok(Some(request)) => renewals.push_back(renew(handle, request.id)),
                Ok(None) => end = Some(Ok(())),
                Err(status) => end = Some(Err(status)),
            },
            Some(answer) = renewals.next() => {
                let answer = answer?;
                outbound.ready().await?;
                outbound.send(encoded(&answer))?;
            }
            else => return end.unwrap_or(Ok(())),
        }
    }
}

async fn renew(handle: &Handle, id: i64) -> Result<LeaseKeepAliveResponse, Status> {
    // The header is of the moment before the lease was renewed, as in etcd.
    let header = handle.header(handle.view().revision());
    let ttl = handle.keep_alive(id).await.map_err(|error| status_of(&error))?;
    Ok(LeaseKeepAliveResponse { header: Some(wire_header(&header)), id, ttl })
}

pub(super) async fn time_to_live(handle: &Handle, request: LeaseTimeToLiveRequest) -> Result<Bytes, Status> {
    let found = handle.time_to_live(request.id, request.keys).await.map_err(|error| status_of(&error))?;
    let header = handle.header(handle.view().revision());
    Ok(encoded(&LeaseTimeToLiveResponse {
        header: Some(wire_header(&header)),
        id: request.id,
        ttl: found.ttl,
        granted_ttl: found.granted_ttl,
        keys: found.keys,
    }))
}

pub(super) async fn leases(handle: &Handle) -> Result<Bytes, Status> {
    let leases = handle.leases().await.map_err(|error| status_of(&error))?;
    let header = handle.header(handle.view().revision());
    Ok(encoded(&LeaseLeasesResponse {
        header: Some(wire_header(&header)),
        leases: leases.into_iter().map(|id| LeaseStatus { id }).collect(),
    }))
}

//! `etcdserverpb.Lease`.

use super::answer::{encoded, propose, status_of, wire_header};
use super::streams::Messages;
use crate::grpc::Status;
use crate::handle::Handle;
use bytes::Bytes;
use proto::etcdserverpb::{
    InternalRaftRequest, LeaseGrantRequest, LeaseKeepAliveRequest, LeaseKeepAliveResponse, LeaseLeasesResponse,
    LeaseRevokeRequest, LeaseStatus, LeaseTimeToLiveRequest, LeaseTimeToLiveResponse,
};

pub(super) async fn grant(handle: &Handle, mut request: LeaseGrantRequest) -> Result<Bytes, Status> {
    if request.id == 0 {
        request.id = handle.next_lease_id();
    }
    propose(handle, InternalRaftRequest { lease_grant: Some(request), ..Default::default() }).await
}

pub(super) async fn revoke(handle: &Handle, request: LeaseRevokeRequest) -> Result<Bytes, Status> {
    propose(handle, InternalRaftRequest { lease_revoke: Some(request), ..Default::default() }).await
}

/// One answer for each request, in their order; a lease that does not exist has TTL 0 and ends nothing.
pub(super) async fn keep_alive(handle: &Handle, messages: &mut Messages<'_>) -> Result<(), Status> {
    while let Some(request) = messages.inbound.next::<LeaseKeepAliveRequest>().await? {
        // The header is of the moment before the lease was renewed, as in etcd.
        let header = handle.header(handle.view().revision());
        let ttl = handle.keep_alive(request.id).await.map_err(|error| status_of(&error))?;
        let response = LeaseKeepAliveResponse { header: Some(wire_header(&header)), id: request.id, ttl };
        messages.outbound.ready().await?;
        messages.outbound.send(encoded(&response))?;
    }
    Ok(())
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

//! `v3lockpb.Lock`: who holds a name. The work is [`queue`]'s.

use super::answer::{commanded, encoded, uncoded, wire_header};
use super::queue::{self, Candidate, Prize};
use crate::grpc::Status;
use crate::handle::Handle;
use bytes::Bytes;
use proto::etcdserverpb::{DeleteRangeRequest, InternalRaftRequest};
use proto::v3lockpb::{LockRequest, LockResponse, UnlockRequest, UnlockResponse};
use store::{Reply, check};

pub(super) async fn lock(handle: &Handle, request: LockRequest) -> Result<Bytes, Status> {
    let candidate = Candidate { name: request.name, lease: request.lease, prize: Prize::Lock };
    let won = queue::win(handle, candidate).await?;
    Ok(encoded(&LockResponse { header: Some(wire_header(&handle.header(won.revision))), key: won.key }))
}

/// Deletes the key, whoever asks and whatever it is, as etcd does.
pub(super) async fn unlock(handle: &Handle, request: UnlockRequest) -> Result<Bytes, Status> {
    let delete = DeleteRangeRequest { key: request.key, ..Default::default() };
    check::delete_range(&delete).map_err(|refusal| uncoded(&refusal.into()))?;
    let command = InternalRaftRequest { delete_range: Some(delete), ..Default::default() };
    let Reply::DeleteRange(deleted) = commanded(handle, command).await.map_err(|error| uncoded(&error))? else {
        unreachable!("a deletion is answered as one");
    };
    Ok(encoded(&UnlockResponse { header: Some(wire_header(&handle.header(deleted.revision))) }))
}

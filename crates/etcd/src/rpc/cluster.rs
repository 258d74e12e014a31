//! `etcdserverpb.Cluster`: who belongs to it.

use super::answer::linearizable;
use crate::grpc::Status;
use crate::handle::Handle;
use bytes::Bytes;
use proto::etcdserverpb::MemberListRequest;
use store::MembersReply;

pub(super) async fn member_list(handle: &Handle, request: MemberListRequest) -> Result<Bytes, Status> {
    if request.linearizable {
        linearizable(handle).await?;
    }
    let reply = MembersReply { members: handle.view().roster().to_wire() };
    Ok(reply.encode(&handle.header(0)).into())
}

//! `etcdserverpb.Auth`, as far as a cluster needs it that has no authentication: it is off, and says so.
//!
//! A client with a name and a password asks for a token before anything else, and goes on without one when it hears this.

use super::answer::{encoded, linearizable, refused, wire_header};
use crate::grpc::Status;
use crate::handle::Handle;
use bytes::Bytes;
use proto::etcdserverpb::{AuthStatusResponse, AuthenticateRequest};
use store::Refusal;

/// The revision of an auth store in which nothing was ever changed, as our snapshots tell it too.
const UNCHANGED: u64 = 1;

pub(super) async fn status(handle: &Handle) -> Result<Bytes, Status> {
    linearizable(handle).await?;
    let header = Some(wire_header(&handle.header(handle.view().revision())));
    Ok(encoded(&AuthStatusResponse { header, enabled: false, auth_revision: UNCHANGED }))
}

/// Whoever it is, and whatever the password.
pub(super) async fn authenticate(handle: &Handle, _: AuthenticateRequest) -> Result<Bytes, Status> {
    linearizable(handle).await?;
    Err(refused(Refusal::AuthNotEnabled))
}

//! `grpc.health.v1.Health`: only the server as a whole, under the empty name.

use super::answer::encoded;
use super::streams::Messages;
use crate::grpc::{Code, Status};
use bytes::Bytes;
use proto::health::health_check_response::ServingStatus;
use proto::health::{HealthCheckRequest, HealthCheckResponse, HealthListResponse};
use std::collections::BTreeMap;
use std::future::pending;

fn answer(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}

pub(super) fn check(request: &HealthCheckRequest) -> Result<Bytes, Status> {
    match request.service.as_str() {
        "" => Ok(encoded(&answer(ServingStatus::Serving))),
        _ => Err(Status::new(Code::NotFound, "unknown service")),
    }
}

pub(super) fn list() -> HealthListResponse {
    HealthListResponse { statuses: BTreeMap::from([(String::new(), answer(ServingStatus::Serving))]) }
}

/// Nothing changes after the first answer, until the client leaves.
pub(super) async fn watch(messages: &mut Messages<'_>) -> Result<(), Status> {
    let request = messages.inbound.next::<HealthCheckRequest>().await?;
    let Some(request) = request else { return Err(Status::new(Code::Unknown, "EOF")) };
    let status = match request.service.as_str() {
        "" => ServingStatus::Serving,
        _ => ServingStatus::ServiceUnknown,
    };
    messages.outbound.ready().await?;
    messages.outbound.send(encoded(&answer(status)))?;
    pending().await
}

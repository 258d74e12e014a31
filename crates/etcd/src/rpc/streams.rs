//! Both sides of a streaming call, counted and decoded.

use crate::grpc::{Code, Inbound, Outbound, Status};
use crate::metrics::calls::Counted;
use bytes::Bytes;
use prost::Message;

pub(super) struct Messages<'a> {
    pub(super) inbound: Requests<'a>,
    pub(super) outbound: Responses<'a>,
}

/// What the client says.
pub(super) struct Requests<'a> {
    inbound: &'a mut Inbound,
    counted: &'a Counted,
}

/// What the client is told.
pub(super) struct Responses<'a> {
    outbound: Outbound,
    counted: &'a Counted,
}

impl<'a> Messages<'a> {
    pub(super) fn new(inbound: &'a mut Inbound, outbound: Outbound, counted: &'a Counted) -> Messages<'a> {
        Messages { inbound: Requests { inbound, counted }, outbound: Responses { outbound, counted } }
    }
}

impl Requests<'_> {
    /// The next request; `None` after the last. May be dropped and asked again.
    pub(super) async fn next<M: Message + Default>(&mut self) -> Result<Option<M>, Status> {
        let Some(message) = self.inbound.next().await? else { return Ok(None) };
        self.counted.received(message.len());
        // Other words than for a single request: they are grpc-go's.
        let unreadable = |error| format!("grpc: failed to unmarshal the received message: {error}");
        M::decode(message).map(Some).map_err(|error| Status::new(Code::Internal, unreadable(error)))
    }
}

impl Responses<'_> {
    /// Waits until the client has room.
    pub(super) async fn ready(&self) -> Result<(), Status> {
        self.outbound.ready().await
    }

    /// Sends one response.
    pub(super) fn send(&self, message: Bytes) -> Result<(), Status> {
        self.counted.sent(message.len());
        self.outbound.send(message)
    }
}

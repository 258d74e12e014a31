//! One call as it is on the wire: sent once, answered with the status that the
//! member gave. The client library repeats and corrects; here that would hide
//! what is looked at.

use crate::harness::{Member, PATIENCE};
use prost::Message;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status, Streaming};
use tonic_prost::ProstCodec;

/// A connection to this member, made with the first call.
pub fn channel(member: &Member) -> Channel {
    Endpoint::from_shared(member.client_url()).expect("a URL").connect_lazy()
}

/// One request, one response.
pub async fn unary<M, R>(channel: &Channel, path: &'static str, message: M) -> Result<R, Status>
where
    M: Message + 'static,
    R: Message + Default + 'static,
{
    request(channel, path, Request::new(message)).await
}

/// As [`unary`], with metadata of its own.
pub async fn request<M, R>(channel: &Channel, path: &'static str, request: Request<M>) -> Result<R, Status>
where
    M: Message + 'static,
    R: Message + Default + 'static,
{
    answered(path, async {
        let mut grpc = Grpc::new(channel.clone());
        grpc.ready().await.map_err(|error| Status::unavailable(format!("no connection: {error}")))?;
        let codec = ProstCodec::<M, R>::default();
        let response = grpc.unary(request, PathAndQuery::from_static(path), codec).await?;
        Ok(response.into_inner())
    })
    .await
}

/// Nothing here waits longer than a request and the one that it waits for.
async fn answered<T>(path: &str, call: impl Future<Output = T>) -> T {
    let answer = tokio::time::timeout(2 * PATIENCE, call).await;
    answer.unwrap_or_else(|_| panic!("{path} is not answered"))
}

/// As [`unary`], of a client that insists on a leader. A stream is begun, and its first response is the one.
pub async fn insisting<M, R>(channel: &Channel, path: &'static str, message: M) -> Result<R, Status>
where
    M: Message + 'static,
    R: Message + Default + 'static,
{
    let mut insisting = Request::new(message);
    insisting.metadata_mut().insert("hasleader", MetadataValue::from_static("true"));
    request(channel, path, insisting).await
}

/// One request, any number of responses.
pub async fn stream<M, R>(channel: &Channel, path: &'static str, message: M) -> Result<Streaming<R>, Status>
where
    M: Message + 'static,
    R: Message + Default + 'static,
{
    answered(path, async {
        let mut grpc = Grpc::new(channel.clone());
        grpc.ready().await.map_err(|error| Status::unavailable(format!("no connection: {error}")))?;
        let codec = ProstCodec::<M, R>::default();
        let response = grpc.server_streaming(Request::new(message), PathAndQuery::from_static(path), codec).await?;
        Ok(response.into_inner())
    })
    .await
}

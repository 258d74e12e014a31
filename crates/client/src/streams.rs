//! Opening streams.
//!
//! A stream goes to the first endpoint that takes it. What to do when it breaks
//! is for its owner to decide, who knows how far it has come.

use prost::Message;
use tokio::sync::mpsc;
use tokio::time::sleep;
use tonic::Streaming;
use tonic::codegen::tokio_stream::wrappers::ReceiverStream;
use tonic_prost::ProstCodec;

use crate::Client;
use crate::call::{Asked, TRIES_MAX, http_path, pause};
use crate::endpoints::{Held, Who};
use crate::error::{Error, Result, was_never_sent};

/// Requests that may wait on a stream for the transport to take them.
const REQUESTS_WAITING_MAX: usize = 16;

/// Both directions of a stream.
#[derive(Debug)]
pub(crate) struct Bidi<M, R> {
    who: Held,
    requests: mpsc::Sender<M>,
    responses: Streaming<R>,
}

impl<M, R> Bidi<M, R> {
    /// Sends one request. A broken stream is seen by the next receive.
    pub(crate) async fn send(&self, message: M) {
        drop(self.requests.send(message).await);
    }

    /// An answer took too long: another stream will not be opened on this connection.
    pub(crate) fn silent(&self) {
        self.who.silent();
    }

    /// The next response; None when the server has ended the stream.
    pub(crate) async fn receive(&mut self) -> Result<Option<R>> {
        let received = self.responses.message().await;
        received.map_err(|status| Error::from_transport(&status, None))
    }
}

impl Client {
    /// Opens a stream with its first request already on the way: the servers'
    /// headers come with their first response, not before. `asked` names who
    /// has to send them.
    pub(crate) async fn bidi<'a, M, R>(
        &'a self,
        path: &'static str,
        first: M,
        asked: &mut Asked<'a>,
    ) -> Result<Bidi<M, R>>
    where
        M: Message + Clone + 'static,
        R: Message + Default + 'static,
    {
        let mut lost = 0;
        loop {
            let token = self.token(asked).await?;
            let (who, channel) = self.shared_endpoints().turn(TRIES_MAX, &[]).await?;
            let (requests, waiting) = mpsc::channel(REQUESTS_WAITING_MAX);
            let queued = requests.try_send(first.clone());
            assert!(queued.is_ok(), "a new queue has room");
            let request = self.request(ReceiverStream::new(waiting), token.as_ref());
            let codec = ProstCodec::<M, R>::default();
            let mut grpc = self.grpc(channel);
            *asked = Some(who);
            let opened = match grpc.ready().await {
                Err(error) => Err(tonic::Status::from_error(error.into())),
                Ok(()) => grpc.streaming(request, http_path(path), codec).await,
            };
            *asked = None;
            match opened {
                Err(status) => again(who, &status, &mut lost).await?,
                Ok(response) => {
                    who.answered();
                    return Ok(Bidi { who: who.held(), requests, responses: response.into_inner() });
                }
            }
        }
    }

    /// One request, many responses. While they come, `asked` goes on naming who
    /// has to send them.
    pub(crate) async fn server_stream<'a, M, R>(
        &'a self,
        path: &'static str,
        message: M,
        asked: &mut Asked<'a>,
    ) -> Result<Streaming<R>>
    where
        M: Message + Clone + 'static,
        R: Message + Default + 'static,
    {
        let mut lost = 0;
        loop {
            let token = self.token(asked).await?;
            let (who, channel) = self.shared_endpoints().turn(self.dials_max(&[]), &[]).await?;
            let request = self.request(message.clone(), token.as_ref());
            let codec = ProstCodec::<M, R>::default();
            let mut grpc = self.grpc(channel);
            *asked = Some(who);
            let opened = match grpc.ready().await {
                Err(error) => Err(tonic::Status::from_error(error.into())),
                Ok(()) => grpc.server_streaming(request, http_path(path), codec).await,
            };
            match opened {
                Err(status) => {
                    *asked = None;
                    again(who, &status, &mut lost).await?;
                }
                Ok(response) => {
                    who.answered();
                    return Ok(response.into_inner());
                }
            }
        }
    }
}

/// Whether to open a stream again: when it has met nobody, for the connection
/// was lost before. Whatever somebody says is the result.
async fn again(who: Who<'_>, status: &tonic::Status, lost: &mut usize) -> Result<()> {
    let error = who.failed(status, None);
    if !was_never_sent(status) || *lost >= TRIES_MAX {
        return Err(error);
    }
    *lost += 1;
    sleep(pause(*lost)).await;
    Ok(())
}

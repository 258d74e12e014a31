//! Opening streams.
//!
//! A stream goes to the first endpoint that takes it. What to do when it breaks
//! is for its owner to decide, who knows how far it has come.

use prost::Message;
use tokio::sync::mpsc;
use tonic::Streaming;
use tonic::codegen::tokio_stream::once;
use tonic::codegen::tokio_stream::wrappers::ReceiverStream;

use crate::Client;
use crate::attempt::{Failed, open};
use crate::call::{Asked, TRIES_MAX, rest_lost};
use crate::endpoints::{Held, Who};
use crate::error::{Error, Result};

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
            *asked = Some(who);
            let opened = open(self.grpc(channel), path, request).await;
            *asked = None;
            match opened {
                Err(failed) => self.again(who, &failed, &mut lost).await?,
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
            let request = self.request(once(message.clone()), token.as_ref());
            *asked = Some(who);
            match open(self.grpc(channel), path, request).await {
                Err(failed) => {
                    *asked = None;
                    self.again(who, &failed, &mut lost).await?;
                }
                Ok(response) => {
                    who.answered();
                    return Ok(response.into_inner());
                }
            }
        }
    }

    /// Whether to open a stream again: when nobody has heard of it. Whatever
    /// somebody says is the result.
    async fn again(&self, who: Who<'_>, failed: &Failed, lost: &mut usize) -> Result<()> {
        let error = who.failed(&failed.status, None);
        if !failed.is_unheard || *lost >= TRIES_MAX {
            return Err(error);
        }
        *lost += 1;
        rest_lost(*lost, self.shared_endpoints().len()).await;
        Ok(())
    }
}

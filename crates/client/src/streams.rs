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
use crate::call::{TRIES_MAX, http_path, pause, reason_unreachable};
use crate::error::{Error, Result};

/// Requests that may wait on a stream for the transport to take them.
const REQUESTS_WAITING_MAX: usize = 16;

/// Both directions of a stream.
#[derive(Debug)]
pub(crate) struct Bidi<M, R> {
    pub(crate) requests: mpsc::Sender<M>,
    pub(crate) responses: Streaming<R>,
}

impl<M, R> Bidi<M, R> {
    /// Sends one request. A broken stream is seen by the next receive.
    pub(crate) async fn send(&self, message: M) {
        drop(self.requests.send(message).await);
    }

    /// The next response; None when the server has ended the stream.
    pub(crate) async fn receive(&mut self) -> Result<Option<R>> {
        let received = self.responses.message().await;
        received.map_err(|status| Error::from_transport(&status, None))
    }
}

impl Client {
    /// Opens a stream with its first request already on the way: the servers'
    /// headers come with their first response, not before.
    pub(crate) async fn bidi<M, R>(&self, path: &'static str, first: M) -> Result<Bidi<M, R>>
    where
        M: Message + Clone + 'static,
        R: Message + Default + 'static,
    {
        let mut rounds = 0;
        loop {
            let mut last = None;
            for _ in 0..self.shared_endpoints().len() {
                let target = self.shared_endpoints().turn();
                let token = self.token().await?;
                let (requests, waiting) = mpsc::channel(REQUESTS_WAITING_MAX);
                let queued = requests.try_send(first.clone());
                assert!(queued.is_ok(), "a new queue has room");
                let request = self.request(ReceiverStream::new(waiting), token.as_ref());
                let mut grpc = self.grpc(target.channel());
                let opened = match grpc.ready().await {
                    Err(error) => Err(tonic::Status::from_error(error.into())),
                    Ok(()) => {
                        let codec = ProstCodec::<M, R>::default();
                        grpc.streaming(request, http_path(path), codec).await
                    }
                };
                match opened {
                    Ok(response) => {
                        let responses = response.into_inner();
                        return Ok(Bidi {
                            requests,
                            responses,
                        });
                    }
                    Err(status) if reason_unreachable(&status).is_some() => {
                        self.shared_endpoints().pass_over(target);
                        last = Some(Error::from_transport(&status, None));
                    }
                    Err(status) => return Err(Error::from_transport(&status, None)),
                }
            }
            rounds += 1;
            if let (Some(error), true) = (last, rounds >= TRIES_MAX) {
                return Err(error);
            }
            sleep(pause(rounds)).await;
        }
    }

    /// One request, many responses.
    pub(crate) async fn server_stream<M, R>(
        &self,
        path: &'static str,
        message: M,
    ) -> Result<Streaming<R>>
    where
        M: Message + 'static,
        R: Message + Default + 'static,
    {
        let target = self.shared_endpoints().turn();
        let token = self.token().await?;
        let request = self.request(message, token.as_ref());
        let mut grpc = self.grpc(target.channel());
        let opened = match grpc.ready().await {
            Err(error) => Err(tonic::Status::from_error(error.into())),
            Ok(()) => {
                let codec = ProstCodec::<M, R>::default();
                grpc.server_streaming(request, http_path(path), codec).await
            }
        };
        match opened {
            Ok(response) => Ok(response.into_inner()),
            Err(status) => Err(Error::from_transport(&status, None)),
        }
    }
}

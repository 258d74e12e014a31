//! One attempt: a call given to one connection, up to the head of its answer.
//!
//! When that does not come, all depends on whether a server may have heard the
//! call. Surely none has in two cases, and they are known here:
//!
//! - no message of the call was taken for the connection. Until the first one
//!   is, it can be taken back; after that never.
//! - the server says so in HTTP/2's words: GOAWAY with a last stream below the
//!   call's own, or REFUSED_STREAM (RFC 9113, sections 6.8 and 8.7). One that
//!   stops in order leaves aside in this way what it has no time for.
//!
//! Go's gRPC repeats in the same two cases. Whether to is decided in `call`.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use prost::Message;
use tonic::client::Grpc;
use tonic::codegen::tokio_stream::{Stream, once};
use tonic::transport::Channel;
use tonic::{Request, Response, Streaming};
use tonic_prost::ProstCodec;

use crate::call::http_path;
use crate::error::{left_aside, reason_broken};

/// An attempt without an answer, or with a refusal for one.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) status: tonic::Status,
    /// No server has done, or will do, anything about it.
    pub(crate) is_unheard: bool,
}

/// One message, one answer. What breaks behind its head was heard.
pub(crate) async fn ask<M, R>(grpc: Grpc<Channel>, path: &'static str, request: Request<M>) -> Result<R, Failed>
where
    M: Message + 'static,
    R: Message + Default + 'static,
{
    let mut answer = open(grpc, path, request.map(once)).await?.into_inner();
    let heard = |status| Failed { status, is_unheard: false };
    let message = answer.message().await.map_err(heard)?;
    let message = message.ok_or_else(|| heard(tonic::Status::internal("Missing response message.")))?;
    // With them comes whether it went well.
    answer.trailers().await.map_err(heard)?;
    Ok(message)
}

/// Messages one way; the other way they come after this.
pub(crate) async fn open<S, M, R>(
    mut grpc: Grpc<Channel>,
    path: &'static str,
    request: Request<S>,
) -> Result<Response<Streaming<R>>, Failed>
where
    S: Stream<Item = M> + Unpin + Send + 'static,
    M: Message + 'static,
    R: Message + Default + 'static,
{
    let taken = Arc::new(AtomicBool::new(false));
    let request = request.map(|messages| Given { messages, taken: taken.clone(), is_out: false });
    let opened = match grpc.ready().await {
        Err(error) => Err(tonic::Status::from_error(error.into())),
        Ok(()) => grpc.streaming(request, http_path(path), ProstCodec::<M, R>::default()).await,
    };
    opened.map_err(|status| {
        let was_taken = taken.swap(true, Ordering::AcqRel);
        // What the server says of the call comes first, even if it says so before the message.
        let is_unheard = left_aside(&status).unwrap_or(!was_taken && reason_broken(&status).is_some());
        Failed { status, is_unheard }
    })
}

/// Messages that a connection takes when it has a stream for them, unless they
/// were taken back before: whoever sets `taken` first has them.
struct Given<S> {
    messages: S,
    taken: Arc<AtomicBool>,
    /// The connection has them.
    is_out: bool,
}

impl<S: Stream + Unpin> Stream for Given<S> {
    type Item = S::Item;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<S::Item>> {
        let message = ready!(Pin::new(&mut self.messages).poll_next(context));
        if !self.is_out && self.taken.swap(true, Ordering::AcqRel) {
            return Poll::Ready(None);
        }
        self.is_out = true;
        Poll::Ready(message)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    #[test]
    fn a_message_is_taken_or_taken_back() {
        let mut context = Context::from_waker(Waker::noop());
        let mut take = |given: &mut Given<_>| Pin::new(given).poll_next(&mut context);
        let given = || Given { messages: once(1), taken: Arc::default(), is_out: false };

        let mut first = given();
        assert_eq!(take(&mut first), Poll::Ready(Some(1)));
        assert!(first.taken.swap(true, Ordering::AcqRel), "it cannot be taken back");
        assert_eq!(take(&mut first), Poll::Ready(None), "there was one");

        let mut second = given();
        assert!(!second.taken.swap(true, Ordering::AcqRel), "it was not taken yet");
        assert_eq!(take(&mut second), Poll::Ready(None), "and is not any more");
    }
}

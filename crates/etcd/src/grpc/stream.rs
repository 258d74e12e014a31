//! The two ends of a call as a handler sees them: messages in, messages out.
//!
//! A handler need not watch for its client's leaving. The exchange drops it.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response};

use super::message::{Begun, BegunPart, Decoder, Framed, Held};
use super::status::{Code, Status, ok_trailers};

const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");

/// The client's messages.
pub struct Inbound {
    body: RecvStream,
    decoder: Decoder,
    begun: BegunPart,
    begun_bytes_max: usize,
}

impl Inbound {
    /// `begun` is what all streams of the connection may have begun, up to `begun_bytes_max`.
    pub(super) fn new(body: RecvStream, decoder: Decoder, begun: Begun, begun_bytes_max: usize) -> Inbound {
        Inbound { body, decoder, begun: BegunPart::new(begun), begun_bytes_max }
    }

    /// What is left of the request.
    pub(super) fn into_body(self) -> RecvStream {
        self.body
    }

    /// The next message; `None` when the client has said its last. Fails when
    /// a message is malformed, too large or cut off. May be dropped and called
    /// again without losing anything.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Status> {
        poll_fn(|context| self.poll_next(context)).await
    }

    /// As [`Inbound::next`].
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Status>> {
        loop {
            let message = self.decoder.take()?;
            if self.begun.set(self.decoder.begun_bytes()) > self.begun_bytes_max {
                let text =
                    format!("grpc: more than {} bytes of unfinished messages on one connection", self.begun_bytes_max);
                return Poll::Ready(Err(Status::new(Code::ResourceExhausted, text)));
            }
            if message.is_some() {
                return Poll::Ready(Ok(message));
            }
            match ready!(self.body.poll_data(context)) {
                Some(Ok(piece)) => {
                    // The window is for what we have not looked at; what we
                    // gather is bounded by the size of a message.
                    let released = self.body.flow_control().release_capacity(piece.len());
                    released.map_err(|_| Status::canceled())?;
                    self.decoder.push(piece);
                }
                Some(Err(_)) => return Poll::Ready(Err(Status::canceled())),
                None if self.decoder.is_between_messages() => return Poll::Ready(Ok(None)),
                None => {
                    let status = Status::new(Code::Internal, "unexpected EOF");
                    return Poll::Ready(Err(status));
                }
            }
        }
    }
}

/// The sending half of one HTTP/2 stream, before and after its head is sent.
pub(super) struct Wire {
    respond: SendResponse<Framed>,
    body: Option<SendStream<Framed>>,
    held: Held,
}

impl Wire {
    pub(super) fn new(respond: SendResponse<Framed>, held: Held) -> Wire {
        Wire { respond, body: None, held }
    }

    /// Sends the head, once. Fails when the stream is gone.
    fn body(&mut self) -> Result<&mut SendStream<Framed>, Status> {
        if self.body.is_none() {
            let mut response = Response::new(());
            response.headers_mut().insert(CONTENT_TYPE, GRPC);
            let body = self.respond.send_response(response, false);
            self.body = Some(body.map_err(|_| Status::canceled())?);
        }
        Ok(self.body.as_mut().expect("it was set just now"))
    }

    /// Queues one message. It waits for the client's window inside HTTP/2.
    pub(super) fn send(&mut self, message: Bytes) -> Result<(), Status> {
        let framed = Framed::new(message, &self.held);
        self.body()?.send_data(framed, false).map_err(|_| Status::canceled())
    }

    /// Queues the first piece of a message of `size_bytes`, or a later one.
    pub(super) fn send_piece(&mut self, begins: Option<usize>, piece: Bytes) -> Result<(), Status> {
        let framed = match begins {
            Some(size_bytes) => Framed::begin(size_bytes, piece, &self.held),
            None => Framed::bare(piece, &self.held),
        };
        self.body()?.send_data(framed, false).map_err(|_| Status::canceled())
    }

    /// Ends the stream at once; what is queued is dropped.
    pub(super) fn reset(&mut self) {
        match &mut self.body {
            Some(body) => body.send_reset(Reason::CANCEL),
            None => self.respond.send_reset(Reason::CANCEL),
        }
    }

    /// Ends the call. Nobody hears of it if the stream is gone, and nobody cares.
    pub(super) fn finish(&mut self, outcome: Result<(), Status>) {
        let gone = match (&mut self.body, outcome) {
            (Some(body), Ok(())) => body.send_trailers(ok_trailers()),
            (Some(body), Err(status)) => body.send_trailers(status.trailers()),
            (None, outcome) => {
                let mut response = Response::new(());
                let headers = response.headers_mut();
                headers.insert(CONTENT_TYPE, GRPC);
                match outcome {
                    Ok(()) => headers.extend(ok_trailers()),
                    Err(status) => status.write(headers),
                }
                self.respond.send_response(response, true).map(|_| ())
            }
        };
        drop(gone);
    }

    /// Answers something that is no gRPC call.
    pub(super) fn plain(&mut self, response: Response<Bytes>) {
        let (head, body) = response.into_parts();
        let head = Response::from_parts(head, ());
        if let Ok(mut stream) = self.respond.send_response(head, body.is_empty())
            && !body.is_empty()
        {
            // As above: a stream that is gone needs no answer.
            let _gone = stream.send_data(Framed::bare(body, &self.held), true);
        }
    }

    /// Ready when the client has reset the stream or the connection has ended.
    pub(super) fn poll_gone(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match &mut self.body {
            Some(body) => body.poll_reset(context).map(drop),
            None => self.respond.poll_reset(context).map(drop),
        }
    }

    /// Ready when everything queued before fits into the client's window.
    pub(super) fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Status>> {
        let body = self.body()?;
        body.reserve_capacity(1);
        while body.capacity() == 0 {
            match ready!(body.poll_capacity(context)) {
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Poll::Ready(Err(Status::canceled())),
            }
        }
        // An idle stream keeps nothing of the connection's window to itself.
        body.reserve_capacity(0);
        Poll::Ready(Ok(()))
    }
}

/// The server's messages.
#[derive(Clone)]
pub struct Outbound(Arc<Mutex<Wire>>);

impl Outbound {
    pub(super) fn new(wire: Wire) -> Outbound {
        Outbound(Arc::new(Mutex::new(wire)))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Wire> {
        self.0.lock().expect("no holder of a stream panics")
    }

    /// Waits until the client has taken, or has room for, all that was sent.
    /// A handler that waits here before each message holds at most one message
    /// for a client that does not read.
    pub async fn ready(&self) -> Result<(), Status> {
        poll_fn(|context| self.poll_ready(context)).await
    }

    /// As [`Outbound::ready`].
    pub fn poll_ready(&self, context: &mut Context<'_>) -> Poll<Result<(), Status>> {
        self.lock().poll_ready(context)
    }

    /// Sends one message; see [`Outbound::ready`]. Fails when the client is gone.
    pub fn send(&self, message: Bytes) -> Result<(), Status> {
        self.lock().send(message)
    }
}

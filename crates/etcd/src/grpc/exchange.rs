//! One call, from its head to its trailers.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method as HttpMethod, Request, Response, StatusCode};
use tokio::time::{Instant, timeout, timeout_at};

use super::answer::{Answer, LongMessage};
use super::message::{Begun, Compression, Decoder, Framed, Held};
use super::metadata::{self, Metadata};
use super::status::{Code, Status};
use super::stream::{Inbound, Outbound, Wire};
use super::{Limits, Method, Service};

/// Longest message that is sent, as etcd limits it.
const MESSAGE_SENT_BYTES_MAX: usize = i32::MAX as usize;
/// Bytes that a client may send behind its answer before it is told to stop.
const LINGER_BYTES_MAX: usize = 64 * 1024;

/// Answers one request. Returns when the answer is queued or has become
/// pointless.
pub(super) async fn exchange<S: Service>(
    service: Arc<S>,
    limits: Limits,
    (held, begun): (Held, Begun),
    request: Request<RecvStream>,
    respond: SendResponse<Framed>,
) {
    let (head, body) = request.into_parts();
    let mut wire = Wire::new(respond, held);
    if head.method == HttpMethod::GET || head.method == HttpMethod::HEAD {
        return Box::pin(plain(&*service, head, wire)).await;
    }
    let body = if let Some(response) = not_a_call(&head) {
        wire.plain(response);
        body
    } else {
        let opened = open(&*service, &head, limits.message_bytes_max);
        // The head is done with; a call may live long.
        drop(head);
        match opened {
            Ok((method, metadata, decoder)) => {
                let mut inbound = Inbound::new(body, decoder, begun, limits.begun_bytes_max);
                if method.streaming {
                    Box::pin(stream(&*service, method, metadata, &mut inbound, wire)).await;
                } else {
                    unary(&*service, method, metadata, &mut inbound, wire, limits.stall_timeout).await;
                }
                inbound.into_body()
            }
            Err(status) => {
                wire.finish(Err(status));
                body
            }
        }
    };
    if !body.is_end_stream() {
        Box::pin(linger(body, limits.linger_timeout)).await;
    }
}

/// Awaits the end of a request that has been answered: most clients send it on its own, behind the message. A stream that
/// is dropped before is reset, and what then still comes for it would count as an offence of the client. Who says more, or
/// nothing for so long, is told to stop by just that.
async fn linger(mut body: RecvStream, patience: Duration) {
    let mut left = LINGER_BYTES_MAX;
    let ended = poll_fn(|context| {
        loop {
            let Some(Ok(piece)) = ready!(body.poll_data(context)) else { return Poll::Ready(()) };
            let released = body.flow_control().release_capacity(piece.len());
            match left.checked_sub(piece.len()) {
                Some(rest) if released.is_ok() => left = rest,
                _ => return Poll::Ready(()),
            }
        }
    });
    // Either way it is dropped now.
    let _ended = timeout(patience, ended).await;
}

async fn plain<S: Service>(service: &S, head: http::request::Parts, mut wire: Wire) {
    let answer = pin!(service.plain(head));
    if let Some(response) = unless_gone(|context| wire.poll_gone(context), answer).await {
        wire.plain(response);
    }
}

async fn unary<S: Service>(
    service: &S,
    method: Method,
    metadata: Metadata,
    inbound: &mut Inbound,
    mut wire: Wire,
    patience: Duration,
) {
    let deadline = metadata.deadline;
    let answer = pin!(async {
        let Some(message) = inbound.next().await? else {
            return Err(Status::new(Code::Unknown, "EOF"));
        };
        service.unary(method, metadata, message).await
    });
    let answer = pin!(before(deadline, answer));
    let Some(answer) = unless_gone(|context| wire.poll_gone(context), answer).await else { return };
    let sent = match answer {
        Ok(answer) if answer.size_bytes() > MESSAGE_SENT_BYTES_MAX => Err(too_large(answer.size_bytes())),
        Ok(Answer::Whole(message)) => wire.send(message),
        Ok(Answer::Long(message)) => return Box::pin(long(message, wire, deadline, patience)).await,
        Err(status) => Err(status),
    };
    wire.finish(sent);
}

/// Sends a message piece by piece, as the client takes it. Being dropped is how it ends when the client is gone.
async fn long(mut message: Box<dyn LongMessage>, wire: Wire, deadline: Option<Instant>, patience: Duration) {
    let outbound = Outbound::new(wire);
    let sent = pin!(async {
        let mut begins = Some(message.size_bytes());
        loop {
            // Also behind the last piece: what the message holds is held until the client has room for it.
            match timeout(patience, outbound.ready()).await {
                Ok(ready) => ready?,
                Err(_) => return Ok::<bool, Status>(false),
            }
            let Some(piece) = message.next().await? else { return Ok(true) };
            outbound.lock().send_piece(begins.take(), piece)?;
        }
    });
    let sent = pin!(before(deadline, sent));
    match unless_gone(|context| outbound.lock().poll_gone(context), sent).await {
        Some(Ok(true)) => outbound.lock().finish(Ok(())),
        Some(Err(status)) => outbound.lock().finish(Err(status)),
        Some(Ok(false)) => outbound.lock().reset(),
        None => {}
    }
}

/// gRPC's own words.
fn too_large(length: usize) -> Status {
    let text = format!("grpc: trying to send message larger than max ({length} vs. {MESSAGE_SENT_BYTES_MAX})");
    Status::new(Code::ResourceExhausted, text)
}

async fn stream<S: Service>(service: &S, method: Method, metadata: Metadata, inbound: &mut Inbound, wire: Wire) {
    let outbound = Outbound::new(wire);
    let deadline = metadata.deadline;
    let served = pin!(service.stream(method, metadata, inbound, outbound.clone()));
    let served = pin!(before(deadline, served));
    if let Some(outcome) = unless_gone(|context| outbound.lock().poll_gone(context), served).await {
        outbound.lock().finish(outcome);
    }
}

/// What the head says, checked in the order grpc-go checks it.
fn open<S: Service>(
    service: &S,
    head: &http::request::Parts,
    message_bytes_max: usize,
) -> Result<(Method, Metadata, Decoder), Status> {
    let metadata = Metadata::read(&head.headers, Instant::now())?;
    let method = service.find(head.uri.path())?;
    let compression = Compression::from_encoding(metadata::encoding(&head.headers).as_deref())?;
    Ok((method, metadata, Decoder::new(compression, message_bytes_max)))
}

/// The answer to what cannot be a gRPC call: 405 and 415.
fn not_a_call(head: &http::request::Parts) -> Option<Response<Bytes>> {
    let answer = |code, text: String| {
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = code;
        Status::new(Code::InvalidArgument, text).write(response.headers_mut());
        response
    };
    if head.method != HttpMethod::POST {
        let text = format!("received a {} frame method that is not POST", head.method);
        let mut response = answer(StatusCode::METHOD_NOT_ALLOWED, text);
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
        return Some(response);
    }
    if !metadata::is_grpc(&head.headers) {
        let found = head.headers.get(CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
        let found = String::from_utf8_lossy(found);
        let text = format!("invalid gRPC request content-type {found:?}");
        return Some(answer(StatusCode::UNSUPPORTED_MEDIA_TYPE, text));
    }
    None
}

/// The outcome, or `None` as soon as the client is gone, which is looked at only when the work has to wait.
///
/// This and [`before`] borrow the work: taken by value, it would lie twice in the future of each.
async fn unless_gone<T>(
    mut poll_gone: impl FnMut(&mut Context<'_>) -> Poll<()>,
    mut work: Pin<&mut impl Future<Output = T>>,
) -> Option<T> {
    poll_fn(|context| {
        if let Poll::Ready(outcome) = work.as_mut().poll(context) {
            return Poll::Ready(Some(outcome));
        }
        poll_gone(context).map(|()| None)
    })
    .await
}

/// The outcome, or the failure of a call whose deadline has passed.
async fn before<T>(
    deadline: Option<Instant>,
    work: Pin<&mut impl Future<Output = Result<T, Status>>>,
) -> Result<T, Status> {
    match deadline {
        None => work.await,
        Some(deadline) => match Box::pin(timeout_at(deadline, work)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Status::deadline_exceeded()),
        },
    }
}

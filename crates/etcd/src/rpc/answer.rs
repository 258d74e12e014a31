//! What all services do alike: decode, ask the log, put failures into words, keep long work off the edge's threads.

use crate::grpc::{Code, Status};
use crate::handle::{Error, Handle, Unavailable};
use crate::metrics;
use bytes::Bytes;
use prost::{DecodeError, Message};
use proto::etcdserverpb::{InternalRaftRequest, ResponseHeader, TxnRequest};
use std::borrow::Cow;
use std::future::Future;
use store::{Fault, Header, ReadError, Refusal, Reply, nested};

/// The request in a message.
pub(super) fn decode<M: Message + Default>(message: Bytes) -> Result<M, Status> {
    M::decode(message).map_err(unreadable)
}

/// A txn, with others in it.
pub(super) fn decode_txn(message: Bytes) -> Result<TxnRequest, Status> {
    nested::decode(message).map_err(unreadable)
}

fn unreadable(error: DecodeError) -> Status {
    Status::new(Code::Internal, format!("grpc: error unmarshalling request: {error}"))
}

/// The bytes of a response that is no Reply of the store.
pub(super) fn encoded(message: &impl Message) -> Bytes {
    message.encode_to_vec().into()
}

/// The header as a message of its own.
pub(super) fn wire_header(header: &Header) -> ResponseHeader {
    ResponseHeader {
        cluster_id: header.cluster_id,
        member_id: header.member_id,
        revision: header.revision,
        raft_term: header.raft_term,
    }
}

/// Puts a client's command into the log; the bytes of the response. The wait is boxed: a command has room for every kind of
/// request, and each future around it would be as large.
pub(super) fn propose(
    handle: &Handle,
    request: InternalRaftRequest,
) -> impl Future<Output = Result<Bytes, Status>> + Send + '_ {
    let would_wait = handle.would_wait(&request);
    let proposed = commanded(handle, request);
    async move {
        if would_wait {
            handle.wait_for_room().await.map_err(|error| status_of(&error))?;
        }
        let reply = proposed.await.map_err(|error| status_of(&error))?;
        // The reply has the revision that belongs to it; what has none gets the present one.
        let header = handle.header(match &reply {
            Reply::Members(_) | Reply::MemberAdd(_) => 0,
            _ => handle.view().revision(),
        });
        Ok(reply.encode(&header).into())
    }
}

/// Puts a command into the log; what came of it.
pub(super) fn commanded(
    handle: &Handle,
    request: InternalRaftRequest,
) -> impl Future<Output = Result<Reply, Error>> + Send + '_ {
    let proposed = Box::pin(handle.propose(request));
    async move {
        let _pending = metrics::Pending::begin();
        let outcome = proposed.await;
        if let Err(Error::Unavailable(_) | Error::Other(_)) = outcome {
            metrics::proposal_failed();
        }
        outcome
    }
}

/// Waits until the View is as new as this moment.
pub(super) async fn linearizable(handle: &Handle) -> Result<(), Status> {
    Box::pin(handle.linearizable()).await.map_err(|error| {
        metrics::read_index_failed();
        status_of(&error)
    })
}

/// An error in gRPC's terms.
pub(super) fn status_of(error: &Error) -> Status {
    let message = match error.message() {
        Cow::Borrowed(text) => text.to_owned(),
        Cow::Owned(text) => text,
    };
    Status::new(Code::from_number(error.code()), message)
}

/// An error as the services say it that etcd's server builds on its own client: the words are kept, the code is lost.
/// Only of a member that stops the code tells the client to go elsewhere.
pub(super) fn uncoded(error: &Error) -> Status {
    match error {
        Error::Unavailable(Unavailable::Stopped) => status_of(error),
        _ => Status::new(Code::Unknown, error.message().into_owned()),
    }
}

/// A refusal in gRPC's terms.
pub(super) fn refused(refusal: Refusal) -> Status {
    Status::new(Code::from_number(refusal.code()), refusal.message())
}

/// A read that failed, in gRPC's terms. A fault does not come back.
pub(super) fn unread(error: ReadError) -> Status {
    match error {
        ReadError::Refusal(refusal) => refused(refusal),
        ReadError::Fault(fault) => end(&fault),
    }
}

/// What is on disk cannot be trusted: say so and end the process. A restart, with the log, is the recovery.
pub(super) fn end(fault: &Fault) -> ! {
    tracing::error!(error = %fault, "a read found the data damaged; the member stops");
    panic!("a read found the data damaged: {fault}");
}

/// Runs work here or, if it takes long, as [`blocking`] does.
pub(super) async fn aside_if<T: Send + 'static>(is_long: bool, work: impl FnOnce() -> T + Send + 'static) -> T {
    if is_long { blocking(work).await } else { work() }
}

/// Runs work that takes long on a thread made for it.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is going; whoever asked goes with it.
            Err(_) => std::future::pending().await,
        },
    }
}

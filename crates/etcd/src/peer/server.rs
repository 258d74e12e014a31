//! What other members ask of us: the peer listener.
//!
//! One function per path. Every answer of the raft paths carries our cluster id. Who may ask is decided in `door`.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Either, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use prost::Message as _;
use proto::etcdserverpb::{
    LeaseKeepAliveRequest, LeaseKeepAliveResponse, LeaseTimeToLiveResponse, Member, ResponseHeader,
};
use proto::leasepb::{LeaseInternalRequest, LeaseInternalResponse};
use raft::MessageKind;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::chain;
use super::client::set;
use super::frame::{Decoder, FRAME_BYTES_MAX, Received};
use super::io::Timed;
use super::local::LeaseError;
use super::outbox::StreamBody;
use super::snapshot::{Receiving, Stored, Storing};
use super::{Inner, Peers, Rejected, door, hex, wire};
use crate::line::Line;
use crate::version;

/// Connections open at a time; further ones wait to be accepted.
const CONNECTIONS_MAX: usize = 1024;
/// The body of a lease request.
const LEASE_BYTES_MAX: usize = 64 * 1024;
/// Time for a request's head, also between requests.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// Pause after the system refused a connection (no descriptors, for example).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

pub(super) type Answer = Response<Either<Full<Bytes>, StreamBody>>;

/// Accepts for ever. Dropping the future closes every connection.
pub(super) async fn serve(peers: Peers, listener: TcpListener) {
    let mut connections = JoinSet::new();
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        while connections.try_join_next().is_some() {}
        let Ok(permit) = room.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, address)) => {
                let peers = peers.clone();
                connections.spawn(async move {
                    let _permit = permit;
                    match Timed::new(stream, peers.inner.timeouts.write) {
                        Ok(stream) => serve_connection(peers, stream, address).await,
                        Err(error) => told(address, &error),
                    }
                });
            }
            Err(error) => {
                tracing::warn!(error = %error, "failed to accept a connection of a peer");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Answers what comes on one connection until it ends.
pub(super) async fn serve_connection<S>(peers: Peers, stream: Timed<S>, address: SocketAddr)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let line = Line::new(peers.inner.runtimes.links.clone());
    let service = service_fn(move |mut request: Request<Incoming>| {
        let peers = peers.clone();
        request.extensions_mut().insert(door::From(address));
        async move { Ok::<_, Infallible>(answer(&peers, request).await) }
    });
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    let connection = http.serve_connection(TokioIo::new(stream), service);
    if let Err(error) = line.run(async { Ok(connection.await?) }).await {
        told(address, &*error);
    }
}

fn told(address: SocketAddr, error: &dyn std::error::Error) {
    tracing::debug!("remote-addr" = %address, error = %error, "connection of peer ended");
}

async fn answer(peers: &Peers, request: Request<Incoming>) -> Answer {
    let inner = &peers.inner;
    let path = request.uri().path().to_owned();
    let (want, answer) = match path.as_str() {
        "/raft" => (Method::POST, Path::Pipeline),
        "/raft/snapshot" => (Method::POST, Path::Snapshot),
        "/raft/probing" => (Method::GET, Path::Probing),
        "/members" => (Method::GET, Path::Members),
        "/members/hashkv" => (Method::GET, Path::HashKv),
        "/leases" => (Method::POST, Path::Leases),
        "/leases/internal" => (Method::POST, Path::LeasesInternal),
        "/version" => (Method::GET, Path::Version),
        "/downgrade/enabled" => (Method::GET, Path::Downgrade),
        chain::PATH => (Method::GET, Path::Chain),
        other if other.starts_with("/raft/stream/") => (Method::GET, Path::Stream),
        _ => return text(StatusCode::NOT_FOUND, "404 page not found"),
    };
    let mut answer = if *request.method() != want {
        let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed");
        set(answer.headers_mut(), "allow", want.as_str());
        return answer;
    } else {
        match answer {
            Path::Pipeline => pipeline(peers, request).await,
            Path::Snapshot => snapshot(peers, request).await,
            Path::Stream => door::stream(peers, &path, &request),
            Path::Probing => probing(),
            Path::Members => members(inner),
            Path::HashKv => hash_kv(inner, request).await,
            Path::Leases => leases(inner, request).await,
            Path::LeasesInternal => leases_internal(inner, request).await,
            Path::Version => json(version::json(inner.local.cluster_version().as_deref())),
            Path::Downgrade => plain(inner.local.downgrade_enabled().to_string()),
            Path::Chain => own_chain(inner, &request),
        }
    };
    set(answer.headers_mut(), "x-etcd-cluster-id", &hex(inner.identity.cluster_id));
    answer
}

enum Path {
    Pipeline,
    Snapshot,
    Stream,
    Probing,
    Members,
    HashKv,
    Leases,
    LeasesInternal,
    Version,
    Downgrade,
    Chain,
}

// ── raft ────────────────────────────────────────────────────────────────────────────────────────────────────────────────

/// One message in one request.
async fn pipeline(peers: &Peers, request: Request<Incoming>) -> Answer {
    let inner = &peers.inner;
    if let Some(refusal) = door::greet(peers, &request) {
        return refusal;
    }
    let body = match read_body(inner, request.into_body(), FRAME_BYTES_MAX as usize).await {
        Ok(body) => body,
        Err(error) => {
            tracing::warn!(error = %error, "failed to read Raft message");
            return text(StatusCode::BAD_REQUEST, "error reading raft message");
        }
    };
    match wire::decode(body) {
        Ok(message) => delivered(inner, message.from, inner.deliver(message)),
        Err(error) => {
            tracing::warn!(error = %error, "failed to unmarshal Raft message");
            text(StatusCode::BAD_REQUEST, "error unmarshalling raft message")
        }
    }
}

fn delivered(inner: &Inner, from: u64, outcome: Result<(), Rejected>) -> Answer {
    match outcome {
        Ok(()) => empty(StatusCode::NO_CONTENT),
        Err(rejected) => {
            door::say_rejected(inner, from, &rejected);
            match rejected {
                Rejected::Proposal(_) => text(StatusCode::BAD_REQUEST, &rejected.to_string()),
                Rejected::Local | Rejected::Bare => text(StatusCode::INTERNAL_SERVER_ERROR, &rejected.to_string()),
                Rejected::Removed | Rejected::Mismatch(_) => {
                    let message = serde_json::json!({ "message": rejected.to_string() });
                    with_type(StatusCode::FORBIDDEN, "application/json", message.to_string())
                }
            }
        }
    }
}

/// A message and a state.
async fn snapshot(peers: &Peers, request: Request<Incoming>) -> Answer {
    let inner = &peers.inner;
    if let Some(refusal) = door::greet(peers, &request) {
        return refusal;
    }
    let mut body = request.into_body();
    let mut decoder = Decoder::before_snapshot();
    let message = loop {
        match decoder.next() {
            Ok(Some(Received::Message(message))) if message.kind == MessageKind::Snap => break message,
            Ok(Some(_)) => {
                tracing::warn!("unexpected Raft message type");
                return text(StatusCode::BAD_REQUEST, "wrong raft message type");
            }
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(error = %error, "failed to decode Raft message");
                return text(StatusCode::BAD_REQUEST, &format!("failed to decode raft message ({error})"));
            }
        }
        match read_chunk(inner.timeouts.read, &mut body).await {
            Ok(Some(chunk)) => decoder.push(chunk),
            Ok(None) => return text(StatusCode::BAD_REQUEST, "failed to decode raft message (unexpected EOF)"),
            Err(error) => return text(StatusCode::BAD_REQUEST, &format!("failed to decode raft message ({error})")),
        }
    };
    let Some(meta) = message.snapshot.as_ref().map(|snapshot| &snapshot.meta) else {
        return text(StatusCode::BAD_REQUEST, "failed to decode raft message (no snapshot)");
    };
    let (from, index) = (hex(message.from), meta.index);
    // Before its body is stored for nothing.
    if let Err(rejected) = inner.check(&message) {
        return delivered(inner, message.from, Err(rejected));
    }
    if !inner.wary.hears(message.from) {
        return text(StatusCode::SERVICE_UNAVAILABLE, "this member has just started");
    }
    let Some(receiving) = Receiving::begin(inner, message.from) else {
        tracing::warn!("remote-snapshot-sender-id" = %from, "incoming-snapshot-index" = index, "refused a database snapshot; one is being received already");
        return text(StatusCode::SERVICE_UNAVAILABLE, "a snapshot is being received already");
    };
    tracing::info!("remote-snapshot-sender-id" = %from, "incoming-snapshot-index" = index, "receiving database snapshot");
    let sender = message.from;
    let beside = message.snapshot.as_ref().map(|snapshot| snapshot.data.clone()).unwrap_or_default();
    let storing = Storing::start(receiving, index, beside);
    match store(storing, decoder.rest(), body, inner.timeouts.snapshot).await {
        Ok(stored) => {
            let size = stored.bytes;
            tracing::info!("remote-snapshot-sender-id" = %from, "incoming-snapshot-index" = index, "incoming-snapshot-size-bytes" = size, "received and saved database snapshot");
            delivered(inner, sender, stored.hand_on(message))
        }
        Err(error) => {
            tracing::warn!("remote-snapshot-sender-id" = %from, "incoming-snapshot-index" = index, error = %error, "failed to save incoming database snapshot");
            text(StatusCode::INTERNAL_SERVER_ERROR, &format!("failed to save KV snapshot ({error})"))
        }
    }
}

/// Stores the body, whose beginning has been read already.
async fn store(storing: Storing, head: Vec<Bytes>, mut body: Incoming, patience: Duration) -> std::io::Result<Stored> {
    let mut head = head.into_iter();
    loop {
        let chunk = match head.next() {
            Some(chunk) => chunk,
            None => match read_chunk(patience, &mut body).await? {
                Some(chunk) => chunk,
                None => return storing.finish().await,
            },
        };
        if !storing.push(chunk).await {
            return storing.finish().await;
        }
    }
}

fn probing() -> Answer {
    let now = crate::logging::timestamp::rfc3339(SystemTime::now(), 9);
    plain(format!("{{\"OK\":true,\"Now\":\"{now}\"}}\n"))
}

// ── the rest ────────────────────────────────────────────────────────────────────────────────────────────────────────────

/// A member in the answer of `/members`; etcd leaves out what is empty.
#[derive(serde::Serialize)]
struct JsonMember {
    id: u64,
    #[serde(rename = "peerURLs")]
    peer_urls: Vec<String>,
    #[serde(rename = "isLearner", skip_serializing_if = "std::ops::Not::not")]
    is_learner: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    name: String,
    #[serde(rename = "clientURLs", skip_serializing_if = "Vec::is_empty")]
    client_urls: Vec<String>,
}

impl From<Member> for JsonMember {
    fn from(member: Member) -> Self {
        JsonMember {
            id: member.id,
            peer_urls: member.peer_urls,
            is_learner: member.is_learner,
            name: member.name,
            client_urls: member.client_urls,
        }
    }
}

fn members(inner: &Inner) -> Answer {
    let members: Vec<JsonMember> = inner.local.members().into_iter().map(JsonMember::from).collect();
    match serde_json::to_string(&members) {
        Ok(body) => json(body + "\n"),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

async fn hash_kv(inner: &Inner, request: Request<Incoming>) -> Answer {
    #[derive(serde::Deserialize)]
    struct Asked {
        #[serde(default)]
        revision: i64,
    }
    let id = header(request.headers(), "x-etcd-cluster-id").map(str::to_owned);
    if id.is_some_and(|id| !id.is_empty() && id != hex(inner.identity.cluster_id)) {
        return text(StatusCode::PRECONDITION_FAILED, "cluster ID mismatch");
    }
    let Ok(body) = read_body(inner, request.into_body(), LEASE_BYTES_MAX).await else {
        return text(StatusCode::BAD_REQUEST, "error reading body");
    };
    let Ok(asked) = serde_json::from_slice::<Asked>(&body) else {
        return text(StatusCode::BAD_REQUEST, "error unmarshalling request");
    };
    let local = inner.local.clone();
    let hashed = tokio::task::spawn_blocking(move || local.hash_kv(asked.revision)).await;
    match hashed.unwrap_or_else(|error| Err(error.to_string())) {
        Err(reason) => text(StatusCode::BAD_REQUEST, &reason),
        Ok(hash) => {
            let mut body = serde_json::json!({ "header": { "revision": hash.revision } });
            let fields = [
                ("hash", i64::from(hash.hash)),
                ("compact_revision", hash.compact_revision),
                ("hash_revision", hash.hash_revision),
            ];
            // etcd's encoder leaves zeros out.
            for (name, number) in fields.into_iter().filter(|(_, number)| *number != 0) {
                body[name] = number.into();
            }
            json(body.to_string())
        }
    }
}

/// The hash chain, for members of this cluster.
fn own_chain(inner: &Inner, request: &Request<Incoming>) -> Answer {
    if let Some(refusal) = door::of_this_cluster(inner, request) {
        return refusal;
    }
    match inner.local.chain() {
        Some(chain) => with_type(StatusCode::OK, "application/octet-stream", chain),
        None => text(StatusCode::NOT_FOUND, "404 page not found"),
    }
}

async fn leases(inner: &Inner, request: Request<Incoming>) -> Answer {
    let asked: LeaseKeepAliveRequest = match read_message(inner, request).await {
        Ok(asked) => asked,
        Err(refusal) => return *refusal,
    };
    match inner.local.keep_alive(asked.id).await {
        Ok(ttl) => protobuf(LeaseKeepAliveResponse { header: None, id: asked.id, ttl }.encode_to_vec()),
        Err(error) => lease_refusal(error),
    }
}

async fn leases_internal(inner: &Inner, request: Request<Incoming>) -> Answer {
    let asked: LeaseInternalRequest = match read_message(inner, request).await {
        Ok(asked) => asked,
        Err(refusal) => return *refusal,
    };
    let Some(asked) = asked.lease_time_to_live_request else {
        return text(StatusCode::BAD_REQUEST, "error unmarshalling request");
    };
    match inner.local.time_to_live(asked.id, asked.keys).await {
        Ok(found) => {
            let answer = LeaseTimeToLiveResponse {
                header: Some(ResponseHeader::default()),
                id: asked.id,
                ttl: found.ttl,
                granted_ttl: found.granted_ttl,
                keys: found.keys,
            };
            protobuf(LeaseInternalResponse { lease_time_to_live_response: Some(answer) }.encode_to_vec())
        }
        Err(error) => lease_refusal(error),
    }
}

fn lease_refusal(error: LeaseError) -> Answer {
    match error {
        LeaseError::NotFound => text(StatusCode::NOT_FOUND, "lease not found"),
        LeaseError::ApplyTimeout => {
            text(StatusCode::REQUEST_TIMEOUT, "waiting for node to catch up its applied index has timed out")
        }
        LeaseError::NotPrimary => text(StatusCode::INTERNAL_SERVER_ERROR, "not a primary lessor"),
        LeaseError::Other(reason) => text(StatusCode::BAD_REQUEST, &reason),
    }
}

async fn read_message<M: prost::Message + Default>(
    inner: &Inner,
    request: Request<Incoming>,
) -> Result<M, Box<Answer>> {
    let refuse = |status, words: &str| Err(Box::new(text(status, words)));
    match read_body(inner, request.into_body(), LEASE_BYTES_MAX).await {
        Err(BodyError::TooLarge) => refuse(StatusCode::PAYLOAD_TOO_LARGE, "request body too large"),
        Err(BodyError::Io(_)) => refuse(StatusCode::BAD_REQUEST, "error reading body"),
        Ok(body) => match M::decode(body) {
            Ok(message) => Ok(message),
            Err(_) => refuse(StatusCode::BAD_REQUEST, "error unmarshalling request"),
        },
    }
}

// ── bodies ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

#[derive(Debug, thiserror::Error)]
enum BodyError {
    #[error("body is too large")]
    TooLarge,
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// The next bytes. None: the body ended in good order.
async fn read_chunk(patience: Duration, body: &mut Incoming) -> std::io::Result<Option<Bytes>> {
    loop {
        match tokio::time::timeout(patience, body.frame()).await {
            Err(_) => return Err(std::io::Error::new(std::io::ErrorKind::TimedOut, "peer does not write")),
            Ok(None) => return Ok(None),
            Ok(Some(Err(error))) => return Err(std::io::Error::other(error)),
            Ok(Some(Ok(frame))) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
        }
    }
}

/// The whole body. A body in one chunk is not copied.
async fn read_body(inner: &Inner, mut body: Incoming, limit: usize) -> Result<Bytes, BodyError> {
    let mut chunks = super::chunks::Chunks::default();
    while let Some(chunk) = read_chunk(inner.timeouts.read, &mut body).await? {
        chunks.push(chunk);
        if chunks.len() > limit {
            return Err(BodyError::TooLarge);
        }
    }
    Ok(chunks.take(chunks.len()).unwrap_or_default())
}

pub(super) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn empty(status: StatusCode) -> Answer {
    let mut answer = Response::new(Either::Left(Full::default()));
    *answer.status_mut() = status;
    answer
}

fn with_type(status: StatusCode, kind: &str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Either::Left(Full::new(body.into())));
    *answer.status_mut() = status;
    set(answer.headers_mut(), "content-type", kind);
    answer
}

/// A refusal as Go's `http.Error` writes it.
pub(super) fn text(status: StatusCode, words: &str) -> Answer {
    let mut answer = with_type(status, "text/plain; charset=utf-8", format!("{words}\n"));
    set(answer.headers_mut(), "x-content-type-options", "nosniff");
    answer
}

fn plain(body: String) -> Answer {
    with_type(StatusCode::OK, "text/plain; charset=utf-8", body)
}

fn json(body: String) -> Answer {
    with_type(StatusCode::OK, "application/json", body)
}

fn protobuf(body: Vec<u8>) -> Answer {
    with_type(StatusCode::OK, "application/protobuf", body)
}

//! Who may speak with this member: looked at before a stream is opened or a message is read.
//!
//! Refusals have etcd's status and words, by which etcd's members decide whether to retry, to give up, or to stop. Whoever is
//! refused asks again ten times a second, so the operator is told now and then: who asked, from where, and what is wrong.

use super::client::set;
use super::frame::StreamKind;
use super::outbox::StreamBody;
use super::remote;
use super::server::{Answer, header, text};
use super::{Inner, Peers, Rejected, hex};
use crate::version::{self, Version};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::Either;
use hyper::body::Incoming;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Between two lines about the same asker and the same reason.
pub(super) const PAUSE: Duration = Duration::from_secs(60);

/// Where a request has come from, among its extensions.
#[derive(Clone, Copy)]
pub(super) struct From(pub SocketAddr);

/// Why somebody is turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    Version,
    Cluster,
    Path,
    Sender,
    Removed,
    Unknown,
    Receiver,
}

impl Refusal {
    /// What etcd says.
    fn said(self) -> (StatusCode, &'static str) {
        match self {
            Refusal::Version => (StatusCode::PRECONDITION_FAILED, "incompatible version"),
            Refusal::Cluster => (StatusCode::PRECONDITION_FAILED, "cluster ID mismatch"),
            Refusal::Path => (StatusCode::NOT_FOUND, "invalid path"),
            Refusal::Sender => (StatusCode::NOT_FOUND, "invalid from"),
            Refusal::Removed => (StatusCode::GONE, "removed member"),
            Refusal::Unknown => (StatusCode::NOT_FOUND, "error sender not found"),
            Refusal::Receiver => (StatusCode::PRECONDITION_FAILED, "to field mismatch"),
        }
    }

    /// For the operator of this member.
    fn reason(self, inner: &Inner, headers: &HeaderMap) -> String {
        let theirs = |name| header(headers, name).filter(|value| !value.is_empty()).unwrap_or("not named");
        let (me, cluster) = (hex(inner.identity.member_id), hex(inner.identity.cluster_id));
        match self {
            Refusal::Version => format!(
                "the versions do not go together: its version is {}, its least {}, this member's {} and {}",
                theirs("x-server-version"),
                theirs("x-min-cluster-version"),
                version::SERVER,
                version::MIN_CLUSTER
            ),
            Refusal::Cluster => format!(
                "it is of cluster {}, this member of {cluster}: one of them was started with another --initial-cluster or \
                 --initial-cluster-token, or on the --data-dir of another cluster",
                theirs("x-etcd-cluster-id")
            ),
            Refusal::Path | Refusal::Sender => "it asks for something that members do not ask for".to_owned(),
            Refusal::Removed => "it has been removed from the cluster; it is told so".to_owned(),
            Refusal::Unknown => {
                "this member does not know it: it was added and this one has not heard of that yet, or it is no \
                                 member (etcdctl member list)"
                    .to_owned()
            }
            Refusal::Receiver => wrong_member(theirs("x-raft-to"), &me),
        }
    }
}

/// A member dials the stream on which we shall write to it.
pub(super) fn stream(peers: &Peers, path: &str, request: &Request<Incoming>) -> Answer {
    let mut answer = match open_stream(peers, path, request.headers()) {
        Ok(body) => Response::new(Either::Right(body)),
        Err(refusal) => refused(&peers.inner, request, refusal),
    };
    set(answer.headers_mut(), "x-server-version", version::SERVER);
    answer
}

fn open_stream(peers: &Peers, path: &str, headers: &HeaderMap) -> Result<StreamBody, Refusal> {
    let inner = &peers.inner;
    compatible(inner, headers)?;
    let (folder, from) = path.rsplit_once('/').unwrap_or((path, ""));
    let kind = StreamKind::ALL.into_iter().find(|kind| kind.path() == folder).ok_or(Refusal::Path)?;
    let from = u64::from_str_radix(from, 16).map_err(|_| Refusal::Sender)?;
    if inner.local.is_removed(from) {
        return Err(Refusal::Removed);
    }
    let Some(remote) = inner.member(from) else {
        peers.meet(from, peer_urls(headers));
        return Err(Refusal::Unknown);
    };
    if header(headers, "x-raft-to") != Some(&hex(inner.identity.member_id)) {
        return Err(Refusal::Receiver);
    }
    let (outbox, inbox) = remote.attach(kind);
    remote.activate();
    tracing::info!("stream-writer-type" = kind.title(), "remote-peer-id" = %hex(from), "established TCP streaming connection with remote peer");
    let on_end = remote::on_stream_end(remote.clone(), inner.local.clone(), kind, outbox);
    let sent_bytes = remote.counters.sent_bytes.clone();
    Ok(StreamBody::new(kind, inbox, inner.shared.clone(), inner.timeouts.heartbeat(), sent_bytes, on_end))
}

/// Refuses members of other clusters and of other ages; remembers where strangers can be answered.
pub(super) fn greet(peers: &Peers, request: &Request<Incoming>) -> Option<Answer> {
    let refusal = of_this_cluster(&peers.inner, request);
    if refusal.is_none()
        && let Some(from) =
            header(request.headers(), "x-server-from").and_then(|from| u64::from_str_radix(from, 16).ok())
    {
        peers.meet(from, peer_urls(request.headers()));
    }
    refusal
}

/// Refuses members of other clusters and of other ages.
pub(super) fn of_this_cluster(inner: &Inner, request: &Request<Incoming>) -> Option<Answer> {
    compatible(inner, request.headers()).err().map(|refusal| refused(inner, request, refusal))
}

fn compatible(inner: &Inner, headers: &HeaderMap) -> Result<(), Refusal> {
    // Members before 2.1 sent no versions.
    let read = |name| Version::parse(header(headers, name).unwrap_or("2.0.0"));
    match (read("x-server-version"), read("x-min-cluster-version")) {
        (Some(server), Some(min_cluster)) if version::peers_compatible(server, min_cluster) => {}
        _ => return Err(Refusal::Version),
    }
    match header(headers, "x-etcd-cluster-id") == Some(&hex(inner.identity.cluster_id)) {
        true => Ok(()),
        false => Err(Refusal::Cluster),
    }
}

fn refused(inner: &Inner, request: &Request<Incoming>, refusal: Refusal) -> Answer {
    let headers = request.headers();
    let (status, words) = refusal.said();
    let from = header(headers, "x-server-from").unwrap_or("unknown");
    let kind = format!("{from} {words}");
    if let Some(untold) = remote::lock(&inner.refusals).due(&kind, Instant::now()) {
        let address = request.extensions().get::<From>().map(|from| from.0.to_string()).unwrap_or_default();
        tracing::warn!(
            "local-member-id" = %hex(inner.identity.member_id),
            "remote-peer-id" = from,
            "remote-addr" = address,
            "remote-peer-urls" = ?peer_urls(headers),
            path = request.uri().path(),
            status = status.as_u16(),
            error = words,
            reason = refusal.reason(inner, headers),
            "suppressed-lines" = untold,
            "refused a member at the peer port"
        );
    }
    text(status, words)
}

/// A message that came and does not reach raft. Its sender goes on sending.
pub(super) fn say_rejected(inner: &Inner, from: u64, rejected: &Rejected) {
    let from = hex(from);
    let kind = format!("{from} {rejected}");
    let Some(untold) = remote::lock(&inner.refusals).due(&kind, Instant::now()) else { return };
    let reason = match rejected {
        Rejected::Mismatch(to) => wrong_member(&hex(*to), &hex(inner.identity.member_id)),
        Rejected::Removed => "it has been removed from the cluster; it is told so".to_owned(),
        Rejected::Bare | Rejected::Local | Rejected::Proposal(_) => "no member of this version sends such".to_owned(),
    };
    tracing::warn!("remote-peer-id" = from, error = %rejected, reason, "suppressed-lines" = untold, "failed to process Raft message");
}

fn wrong_member(wanted: &str, me: &str) -> String {
    format!(
        "it wants member {wanted}, this is {me}: a peer URL leads to the wrong member (were data directories or addresses \
         exchanged?), or this one has replaced that one"
    )
}

/// What another member says when it refuses this one, with what it means.
pub(super) fn explained(said: &str) -> String {
    let meaning = match said {
        "cluster ID mismatch" => {
            "it is of another cluster, by its --initial-cluster, --initial-cluster-token or --data-dir, or by this one's"
        }
        "to field mismatch" => "its peer URL leads to another member: were data directories or addresses exchanged?",
        "incompatible version" => "the two versions do not go together",
        _ => return said.to_owned(),
    };
    format!("{said} ({meaning})")
}

fn peer_urls(headers: &HeaderMap) -> Vec<String> {
    let list = header(headers, "x-peerurls").unwrap_or("");
    list.split(',').filter(|url| !url.is_empty()).map(str::to_owned).collect()
}

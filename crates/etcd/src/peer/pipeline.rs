//! Messages without a stream: one POST each, by a few workers with a connection of their own.

use std::sync::{Arc, Weak};

use http::{Method, StatusCode};
use raft::{Message, MessageKind};
use tokio::sync::Mutex;

use super::client::{self, Lane, RequestError};
use super::outbox::Inbox;
use super::remote::{Remote, count};
use super::{Inner, door, wire};

/// Requests under way to one member (etcd's number).
const WORKERS: usize = 4;
/// In the body of the 403 that a removed member gets.
const REMOVED: &[u8] = b"removed member";

/// How a POST to another member failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum PostError {
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error("the member has been permanently removed from the cluster")]
    Removed,
    #[error("unexpected http status {status} while posting: {body}")]
    Status { status: StatusCode, body: String },
    #[error("no answer in time")]
    Silent,
    #[error("no URL is known")]
    NoUrl,
}

pub(super) fn start(inner: &Arc<Inner>, remote: &Arc<Remote>, inbox: Inbox) {
    let inbox = Arc::new(Mutex::new(inbox));
    for _ in 0..WORKERS {
        inner.spawn(remote, work(Arc::downgrade(inner), remote.clone(), inbox.clone()));
    }
}

async fn work(inner: Weak<Inner>, remote: Arc<Remote>, inbox: Arc<Mutex<Inbox>>) {
    let mut lane = None;
    loop {
        let Some(message) = inbox.lock().await.next().await else { return };
        let Some(inner) = inner.upgrade() else { return };
        match post(&inner, &remote, &mut lane, &message).await {
            Ok(()) => remote.activate(),
            Err(error) => {
                remote.deactivate("post", &error.to_string());
                count(&remote.counters.sent_failures, 1);
                if matches!(error, PostError::Removed) {
                    inner.told_removed(remote.id);
                }
                inner.local.unreachable(remote.id);
            }
        }
    }
}

async fn post(inner: &Inner, remote: &Remote, lane: &mut Option<Lane>, message: &Message) -> Result<(), PostError> {
    assert_ne!(message.kind, MessageKind::Snap, "snapshots have their own way");
    let bytes = wire::encode(message);
    let len = bytes.len();
    let build = |url: &str| {
        let mut request = client::request(Method::POST, url, "/raft", client::full_body(bytes.clone()));
        client::set(request.headers_mut(), "content-type", "application/protobuf");
        inner.introduce(request.headers_mut(), None);
        request
    };
    let answer = tokio::time::timeout(inner.timeouts.write + inner.timeouts.read, async {
        // A connection that was idle may have been closed meanwhile; then a fresh one is tried. Raft takes a message twice,
        // but what is proposed twice is done twice: that goes by a fresh one at once, and if its answer is lost, so be it.
        let may_repeat = message.kind != MessageKind::Prop;
        if let Some(idle) = lane.as_mut().filter(|idle| may_repeat && idle.is_open()) {
            let url = idle.url().to_owned();
            if let Ok(answer) = idle.request(build(&url)).await {
                return client::read_answer(&url, answer).await.map_err(PostError::from);
            }
        }
        let url = remote.url().ok_or(PostError::NoUrl)?;
        let attempt = async {
            let fresh = lane.insert(Lane::open(&url, inner.timeouts.dial, inner.timeouts.write).await?);
            let answer = fresh.request(build(&url)).await?;
            client::read_answer(&url, answer).await
        };
        attempt.await.map_err(|error| {
            remote.avoid(&url);
            PostError::from(error)
        })
    });
    let (status, _, body) = match answer.await {
        Ok(answer) => answer?,
        Err(_) => {
            *lane = None;
            return Err(PostError::Silent);
        }
    };
    check(status, &body)?;
    count(&remote.counters.sent_bytes, len);
    Ok(())
}

/// What the answer to a POST means.
pub(super) fn check(status: StatusCode, body: &[u8]) -> Result<(), PostError> {
    match status {
        StatusCode::NO_CONTENT => Ok(()),
        // A member may also say 403 because it is not the one we meant (3.6); that is no reason to stop.
        StatusCode::FORBIDDEN if body.windows(REMOVED.len()).any(|words| words == REMOVED) => Err(PostError::Removed),
        _ => Err(PostError::Status { status, body: door::explained(String::from_utf8_lossy(body).trim()) }),
    }
}

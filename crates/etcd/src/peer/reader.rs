//! The streams we dial: one task per member and kind, for as long as the member is in the roster.
//!
//! Dial, read until it breaks, wait until the next attempt is due, dial again. Only the first failure is worth a warning.

use std::sync::Arc;

use http::{Method, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::Instant;

use super::client::{self, Lane, RequestError};
use super::frame::{Decoder, FrameError, Received, StreamKind};
use super::remote::{Remote, count};
use super::{Inner, door, hex};

/// Why a stream was not opened, or ended.
#[derive(Debug, thiserror::Error)]
enum StreamError {
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error("the member has been permanently removed from the cluster")]
    Removed,
    #[error("peer {0} failed to find local member {1}")]
    NotFound(String, String),
    #[error("{0}")]
    Precondition(String),
    #[error("unhandled http status {0}")]
    Status(StatusCode),
    #[error("no word for {0:?}")]
    Silent(std::time::Duration),
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("the peer ended the stream")]
    End,
    #[error("no URL is known")]
    NoUrl,
}

pub(super) fn start(inner: &Arc<Inner>, remote: &Arc<Remote>) {
    for kind in StreamKind::ALL {
        let task = run(Arc::downgrade(inner), remote.clone(), kind);
        match kind {
            StreamKind::MsgApp => inner.spawn_appends(remote, task),
            StreamKind::Message => inner.spawn(remote, task),
        }
    }
}

async fn run(inner: std::sync::Weak<Inner>, remote: Arc<Remote>, kind: StreamKind) {
    loop {
        let Some(inner) = inner.upgrade() else { return };
        let attempt = Instant::now();
        let failure = match open(&inner, &remote, kind).await {
            Ok(body) => {
                remote.activate();
                let (title, id) = (kind.title(), hex(remote.id));
                tracing::info!("stream-reader-type" = title, "remote-peer-id" = %id, "established TCP streaming connection with remote peer");
                let failure = read(&inner, &remote, kind, body).await;
                tracing::warn!("stream-reader-type" = title, "remote-peer-id" = %id, error = %failure, "lost TCP streaming connection with remote peer");
                if matches!(failure, StreamError::Frame(_)) {
                    count(&remote.counters.received_failures, 1);
                }
                failure
            }
            Err(failure) => failure,
        };
        match failure {
            // A remote that closes in good order is only restarting; the next dial will tell.
            StreamError::End => {}
            StreamError::Removed => {
                inner.told_removed(remote.id);
                remote.deactivate("dial", &failure.to_string());
            }
            _ => remote.deactivate(kind.title(), &failure.to_string()),
        }
        let due = attempt + inner.timeouts.redial;
        drop(inner);
        tokio::time::sleep_until(due).await;
    }
}

/// Asks for the stream.
async fn open(inner: &Inner, remote: &Remote, kind: StreamKind) -> Result<Incoming, StreamError> {
    let url = remote.url().ok_or(StreamError::NoUrl)?;
    let opened = dial(inner, remote, kind, &url).await;
    if opened.is_err() {
        remote.avoid(&url);
    }
    opened
}

async fn dial(inner: &Inner, remote: &Remote, kind: StreamKind, url: &str) -> Result<Incoming, StreamError> {
    let mut lane = Lane::open(url, inner.timeouts.dial, inner.timeouts.write).await?;
    let path = format!("{}/{}", kind.path(), hex(inner.identity.member_id));
    let mut request = client::request(Method::GET, url, &path, client::no_body());
    inner.introduce(request.headers_mut(), Some(remote.id));
    let answer = match tokio::time::timeout(inner.timeouts.read, lane.request(request)).await {
        Ok(answer) => answer?,
        Err(_) => return Err(StreamError::Silent(inner.timeouts.read)),
    };
    match answer.status() {
        StatusCode::OK => Ok(answer.into_body()),
        StatusCode::GONE => Err(StreamError::Removed),
        StatusCode::NOT_FOUND => Err(StreamError::NotFound(hex(remote.id), hex(inner.identity.member_id))),
        StatusCode::PRECONDITION_FAILED => {
            let (_, _, body) = client::read_answer(url, answer).await?;
            let reason = String::from_utf8_lossy(&body).trim().to_owned();
            remote.ignored(&reason);
            Err(StreamError::Precondition(format!("{url} refuses this member: {}", door::explained(&reason))))
        }
        other => Err(StreamError::Status(other)),
    }
}

/// Reads until something ends it.
async fn read(inner: &Inner, remote: &Remote, kind: StreamKind, mut body: Incoming) -> StreamError {
    let mut decoder = Decoder::new(kind, inner.identity.member_id, remote.id);
    loop {
        let chunk = match tokio::time::timeout(inner.timeouts.read, body.frame()).await {
            Err(_) => return StreamError::Silent(inner.timeouts.read),
            Ok(None) => return StreamError::End,
            Ok(Some(Err(error))) => return RequestError::failed(&hex(remote.id), error).into(),
            Ok(Some(Ok(frame))) => frame.into_data().unwrap_or_default(),
        };
        count(&remote.counters.received_bytes, chunk.len());
        decoder.push(chunk);
        let mut read = Ok(());
        let mut deliver = || read = deliver_all(inner, remote, &mut decoder);
        match kind {
            StreamKind::MsgApp => inner.local.gather_appends(&mut deliver),
            StreamKind::Message => inner.local.gather(&mut deliver),
        }
        if let Err(error) = read {
            return error.into();
        }
    }
}

/// Delivers the messages that are whole by now.
fn deliver_all(inner: &Inner, remote: &Remote, decoder: &mut Decoder) -> Result<(), FrameError> {
    while let Some(received) = decoder.next()? {
        let Received::Message(message) = received else { continue };
        if let Err(rejected) = inner.deliver(message) {
            door::say_rejected(inner, remote.id, &rejected);
        }
    }
    Ok(())
}

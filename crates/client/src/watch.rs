//! Watching keys.
//!
//! [`WatchStream`] is the wire: any number of watchers on one stream, and what
//! the server says. [`Watcher`] is one watch that lasts: it knows the next
//! revision it owes its caller, and when the stream breaks it opens another and
//! goes on from there, so no event is lost and none comes twice.
//!
//! ```text
//!              next()             created               events, progress
//!   (no stream) ────▶ opening ────────────▶ watching ◀──────────────┐
//!        ▲                                     │ └──────────────────┘
//!        │        Unavailable, Internal        │ canceled, other error
//!        └─────────────────────────────────────┤
//!                                              ▼
//!                                            ended
//! ```

use std::time::Duration;

use proto::etcdserverpb::watch_request::RequestUnion;
use proto::etcdserverpb::{WatchCancelRequest, WatchCreateRequest, WatchProgressRequest, WatchRequest, WatchResponse};
use proto::methods::path;
use tokio::time::Instant;
use tonic::Code;

use crate::Client;
use crate::call::rest;
use crate::error::{COMPACTED, Error, FUTURE_REVISION, Result, Status};
use crate::streams::Bidi;

/// A stream that has lasted so long was no failure when it breaks. Longer than any pause.
const STEADY: Duration = Duration::from_secs(2);

impl Client {
    /// Opens a stream with one watcher on it. For programs that manage many
    /// watchers themselves; see [`Client::watch`] for one that lasts.
    pub async fn watch_stream(&self, first: WatchCreateRequest) -> Result<WatchStream> {
        let first = request(RequestUnion::CreateRequest(first));
        let bidi = self.bidi(path::WATCH, first, &mut None).await?;
        Ok(WatchStream { bidi })
    }

    /// A watch that goes on over broken connections. Nothing is sent before
    /// [`Watcher::next`] is called.
    pub fn watch(&self, create: WatchCreateRequest) -> Watcher {
        Watcher {
            client: self.clone(),
            create,
            stream: None,
            partial: None,
            progress_wanted: false,
            failures: 0,
            broken_at: None,
            ended: false,
        }
    }
}

/// A watch stream as it is on the wire. Dropping it ends the stream.
#[derive(Debug)]
pub struct WatchStream {
    bidi: Bidi<WatchRequest, WatchResponse>,
}

impl WatchStream {
    /// Asks for another watcher. The answer is a response with `created`.
    pub async fn create(&self, create: WatchCreateRequest) {
        self.bidi.send(request(RequestUnion::CreateRequest(create))).await;
    }

    /// Ends a watcher. The answer is a response with `canceled`.
    pub async fn cancel(&self, watch_id: i64) {
        let cancel = WatchCancelRequest { watch_id };
        self.bidi.send(request(RequestUnion::CancelRequest(cancel))).await;
    }

    /// Asks how far the stream has come. The answer is an empty response.
    pub async fn request_progress(&self) {
        let progress = WatchProgressRequest {};
        self.bidi.send(request(RequestUnion::ProgressRequest(progress))).await;
    }

    /// What the server says next; None when it has ended the stream. May be
    /// dropped before it is done without losing anything.
    pub async fn next(&mut self) -> Result<Option<WatchResponse>> {
        self.bidi.receive().await
    }
}

/// One watch that outlives connections.
#[derive(Debug)]
pub struct Watcher {
    client: Client,
    /// As asked, except that `start_revision` is the next one owed.
    create: WatchCreateRequest,
    stream: Option<WatchStream>,
    /// Fragments of a response whose last one has not come yet.
    partial: Option<WatchResponse>,
    /// Progress was asked for while there was no stream to ask on.
    progress_wanted: bool,
    /// Streams broken in a row, having told nothing but that they began.
    failures: usize,
    /// When the last of them did.
    broken_at: Option<Instant>,
    ended: bool,
}

impl Watcher {
    /// The next response: events, a progress notice (no events), or `canceled`,
    /// after which there is None. Fragments are put together; `created` is kept
    /// back. May be dropped before it is done without losing anything.
    ///
    /// Fails when the stream does, for a reason that repeating will not cure.
    pub async fn next(&mut self) -> Result<Option<WatchResponse>> {
        loop {
            if self.ended {
                return Ok(None);
            }
            match self.receive().await {
                Ok(Some(response)) => {
                    if let Some(response) = self.take(response) {
                        self.failures = 0;
                        return Ok(Some(response));
                    }
                }
                Ok(None) => self.broken().await,
                Err(error) if is_passing(&error) => self.broken().await,
                Err(error) => {
                    self.ended = true;
                    return Err(error);
                }
            }
        }
    }

    /// Asks the server to say how far it is; between two streams, as soon as
    /// there is one again.
    pub async fn request_progress(&mut self) {
        match &self.stream {
            Some(stream) => stream.request_progress().await,
            None => self.progress_wanted = true,
        }
    }

    async fn receive(&mut self) -> Result<Option<WatchResponse>> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => none.insert(self.client.watch_stream(self.create.clone()).await?),
        };
        if std::mem::take(&mut self.progress_wanted) {
            stream.request_progress().await;
        }
        stream.next().await
    }

    /// Forgets the stream. The next one is opened at once, and if that breaks
    /// too, those after it later and later.
    async fn broken(&mut self) {
        self.stream = None;
        self.partial = None;
        if self.broken_at.is_some_and(|at| at.elapsed() > STEADY) {
            self.failures = 0;
        }
        self.broken_at = Some(Instant::now());
        self.failures += 1;
        rest(self.failures - 1).await;
    }

    /// Moves the revision owed past the response, and says what of it the
    /// caller is to see.
    fn take(&mut self, response: WatchResponse) -> Option<WatchResponse> {
        let response = match self.partial.take() {
            Some(mut whole) => {
                whole.events.extend(response.events);
                whole.fragment = response.fragment;
                whole
            }
            None => response,
        };
        if response.canceled {
            self.ended = true;
            return Some(response);
        }
        if response.fragment {
            self.partial = Some(response);
            return None;
        }
        let revision = response.header.as_ref().map_or(0, |header| header.revision);
        let owed = &mut self.create.start_revision;
        if response.created {
            // From now on is from the revision after this one, also when the
            // stream breaks before the first event.
            if *owed == 0 {
                *owed = revision + 1;
            }
            return None;
        }
        match response.events.last() {
            Some(event) => {
                let last = event.kv.as_ref().map_or(revision, |kv| kv.mod_revision);
                *owed = last + 1;
            }
            // A progress notice: everything up to here was delivered.
            None => *owed = (*owed).max(revision + 1),
        }
        Some(response)
    }
}

impl Watcher {
    /// Why a response says the watch is over; None when it does not.
    pub fn cancellation(response: &WatchResponse) -> Option<Error> {
        let (code, reason) = match response.cancel_reason.as_str() {
            _ if response.compact_revision != 0 => (Code::OutOfRange, COMPACTED),
            _ if !response.canceled => return None,
            "" => (Code::OutOfRange, FUTURE_REVISION),
            reason => (Code::FailedPrecondition, reason),
        };
        Some(Error::Status(Status::new(code, reason)))
    }
}

fn request(union: RequestUnion) -> WatchRequest {
    WatchRequest { request_union: Some(union) }
}

/// Whether another stream may do better.
pub(crate) fn is_passing(error: &Error) -> bool {
    matches!(error.code(), Some(Code::Unavailable | Code::Internal))
}

#[cfg(test)]
mod tests {
    use proto::etcdserverpb::ResponseHeader;
    use proto::mvccpb::{Event, KeyValue};

    use super::*;

    fn watcher() -> Watcher {
        let client = Client::new(crate::Config::to(["127.0.0.1:1"])).unwrap();
        client.watch(WatchCreateRequest::default())
    }

    fn response(revision: i64, events: &[i64]) -> WatchResponse {
        let event = |revision: &i64| Event {
            kv: Some(KeyValue { mod_revision: *revision, ..KeyValue::default() }),
            ..Event::default()
        };
        WatchResponse {
            header: Some(ResponseHeader { revision, ..ResponseHeader::default() }),
            events: events.iter().map(event).collect(),
            ..WatchResponse::default()
        }
    }

    #[tokio::test]
    async fn the_revision_owed_follows_what_was_delivered() {
        let mut watcher = watcher();
        let created = WatchResponse { created: true, ..response(7, &[]) };
        assert_eq!(watcher.take(created), None);
        assert_eq!(watcher.create.start_revision, 8);
        assert!(watcher.take(response(12, &[8, 9])).is_some());
        assert_eq!(watcher.create.start_revision, 10);
        assert!(watcher.take(response(15, &[])).is_some());
        assert_eq!(watcher.create.start_revision, 16);
    }

    #[tokio::test]
    async fn fragments_come_as_one() {
        let mut watcher = watcher();
        let first = WatchResponse { fragment: true, ..response(9, &[8, 9]) };
        assert_eq!(watcher.take(first), None);
        // Nothing is owed less until the whole batch is there.
        assert_eq!(watcher.create.start_revision, 0);
        let whole = watcher.take(response(9, &[9])).unwrap();
        assert_eq!(whole.events.len(), 3);
        assert!(!whole.fragment);
        assert_eq!(watcher.create.start_revision, 10);
    }

    #[tokio::test]
    async fn a_cancelled_watch_ends() {
        let mut watcher = watcher();
        let canceled = WatchResponse { canceled: true, compact_revision: 5, ..response(9, &[]) };
        assert!(watcher.take(canceled.clone()).is_some());
        assert_eq!(watcher.next().await, Ok(None));
        let error = Watcher::cancellation(&canceled).unwrap();
        assert_eq!(error.to_string(), COMPACTED);
    }

    #[test]
    fn reasons_of_cancellation() {
        let canceled = |reason: &str| WatchResponse {
            canceled: true,
            cancel_reason: reason.to_owned(),
            ..WatchResponse::default()
        };
        let text = |response| Watcher::cancellation(&response).unwrap().to_string();
        assert_eq!(text(canceled("")), FUTURE_REVISION);
        assert_eq!(text(canceled("no such luck")), "rpc error: code = FailedPrecondition desc = no such luck");
        assert_eq!(Watcher::cancellation(&WatchResponse::default()), None);
    }
}

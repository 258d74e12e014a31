//! `etcdserverpb.Watch`: one stream, many watchers.
//!
//! The Hub decides what is said and in which order. Here it is only put into bytes, one response at a time and only
//! when the client has room: a response that is not taken from the Hub gives it no credit, so a slow client falls
//! behind there; and while answers wait for it, its next request is not read.

use super::answer::status_of;
use super::streams::Messages;
use super::watch_wire::encode;
use crate::grpc::Status;
use crate::handle::{Handle, Unavailable};
use member::hub::Response;
use proto::etcdserverpb::WatchRequest;
use proto::etcdserverpb::watch_request::RequestUnion;

/// Answers that may wait for a client before its next request is read.
const ANSWERS_WAITING_MAX: usize = 64;

enum Turn {
    Asked(Option<WatchRequest>),
    HasRoom,
    Told(Option<Response>),
}

pub(super) async fn watch(handle: &Handle, messages: &mut Messages<'_>) -> Result<(), Status> {
    let mut watching = handle.watch();
    let Messages { inbound, outbound } = messages;
    // A client that has said its last goes on listening.
    let mut is_asking = true;
    let mut has_room = false;
    loop {
        let turn = tokio::select! {
            // Who does not read the answers is not asked for more.
            request = inbound.next(), if is_asking && watching.waiting() < ANSWERS_WAITING_MAX => Turn::Asked(request?),
            ready = outbound.ready(), if !has_room => { ready?; Turn::HasRoom }
            response = watching.next(), if has_room => Turn::Told(response),
        };
        match turn {
            Turn::Asked(None) => is_asking = false,
            Turn::Asked(Some(request)) => match request.request_union {
                Some(RequestUnion::CreateRequest(create)) => watching.create(create),
                Some(RequestUnion::CancelRequest(cancel)) => watching.cancel(cancel.watch_id),
                Some(RequestUnion::ProgressRequest(_)) => watching.progress(),
                // etcd ignores what it does not know.
                None => {}
            },
            Turn::HasRoom => has_room = true,
            Turn::Told(Some(response)) => {
                has_room = false;
                outbound.send(encode(&handle.header(response.revision), &response))?;
            }
            Turn::Told(None) => return Err(status_of(&Unavailable::Stopped.into())),
        }
    }
}

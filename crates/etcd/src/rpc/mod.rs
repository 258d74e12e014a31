//! The services: what each RPC does, over decoded messages.
//!
//! One file per service, and every method there is three steps: check the shape, ask the [`Handle`], wrap the answer.
//! Whether a call may be made at all is decided once, in [`admission`]. Here [`Router`] finds the method of a path,
//! decodes, counts, and is what the gRPC edge calls.
//!
//! Nothing here may know HTTP/2, sockets or the edge that brought a message; and nothing here decides what is true of a
//! key: that is Store's.

mod admission;
mod answer;
mod auth;
mod budget;
mod cluster;
mod election;
mod health;
mod kv;
mod lease;
mod lock;
mod maintenance;
mod queue;
mod range_stream;
mod reflection;
mod streams;
mod watch;
mod watch_wire;

#[cfg(test)]
mod tests;

use crate::grpc::{Answer, Code, Inbound, Metadata, Method, Outbound, Service, Status};
use crate::handle::Handle;
use crate::metrics::calls::Counted;
use crate::{http, metrics};
use admission::Admission;
use answer::{decode, decode_txn, encoded};
use bytes::Bytes;
use proto::etcdserverpb::{AuthStatusRequest, HashRequest, LeaseLeasesRequest, StatusRequest};
use proto::health::HealthListRequest;
use proto::methods::{METHODS, path};
use std::future::{Future, ready};
use std::pin::Pin;
use streams::Messages;

pub use budget::Budget;
pub(crate) use maintenance::alarm_name;

/// All services of one member.
pub struct Router {
    handle: Handle,
    admission: Admission,
}

impl Router {
    /// The services of the member behind `handle`.
    pub fn new(handle: Handle) -> Router {
        Router { admission: Admission::new(handle.clone()), handle }
    }

    async fn answer(&self, path: &'static str, metadata: &Metadata, message: Bytes) -> Result<Answer, Status> {
        let handle = &self.handle;
        self.admission.check_api_version(metadata, false)?;
        self.admission.check_sound(path)?;
        // A range is the one call that a learner may or may not take, so it is decoded before the question.
        if path == path::RANGE {
            let request = decode(message)?;
            self.admission.check_range(metadata, &request)?;
            return match kv::range_now(handle, &request) {
                Some(answer) => answer.map(Answer::Whole),
                None => Box::pin(kv::range(handle, request)).await,
            };
        }
        self.admission.check(metadata, path == path::STATUS)?;
        self.others(path, message)?.await
    }

    /// Each call's future is boxed by itself: inside one future for all methods, every call would be moved about as
    /// the largest of them.
    fn others(&self, path: &'static str, message: Bytes) -> Result<Pending<'_, Answer>, Status> {
        let handle = &self.handle;
        Ok(match path {
            path::PUT => Box::pin(kv::put(handle, decode(message)?)),
            path::DELETE_RANGE => Box::pin(kv::delete_range(handle, decode(message)?)),
            path::TXN => Box::pin(kv::txn(handle, decode_txn(message)?)),
            _ => {
                let answer = self.short(path, message)?;
                Box::pin(async move { answer.await.map(Answer::Whole) })
            }
        })
    }

    /// Those whose answer is short.
    fn short(&self, path: &'static str, message: Bytes) -> Result<Pending<'_, Bytes>, Status> {
        let handle = &self.handle;
        Ok(match path {
            path::COMPACT => Box::pin(kv::compact(handle, decode(message)?)),
            path::LEASE_GRANT => Box::pin(lease::grant(handle, decode(message)?)),
            path::LEASE_REVOKE => Box::pin(lease::revoke(handle, decode(message)?)),
            path::LEASE_TIME_TO_LIVE => Box::pin(lease::time_to_live(handle, decode(message)?)),
            path::LEASE_LEASES => {
                let LeaseLeasesRequest {} = decode(message)?;
                Box::pin(lease::leases(handle))
            }
            path::MEMBER_LIST => Box::pin(cluster::member_list(handle, decode(message)?)),
            path::ALARM => Box::pin(maintenance::alarm(handle, decode(message)?)),
            path::STATUS => {
                let StatusRequest {} = decode(message)?;
                Box::pin(ready(Ok(maintenance::status(handle))))
            }
            path::HASH => {
                let HashRequest {} = decode(message)?;
                Box::pin(maintenance::hash(handle))
            }
            path::HASH_KV => Box::pin(maintenance::hash_kv(handle, decode(message)?)),
            path::MOVE_LEADER => Box::pin(maintenance::move_leader(handle, decode(message)?)),
            path::AUTHENTICATE => Box::pin(auth::authenticate(handle, decode(message)?)),
            path::AUTH_STATUS => {
                let AuthStatusRequest {} = decode(message)?;
                Box::pin(auth::status(handle))
            }
            path::LOCK => Box::pin(lock::lock(handle, decode(message)?)),
            path::UNLOCK => Box::pin(lock::unlock(handle, decode(message)?)),
            path::ELECTION_CAMPAIGN => Box::pin(election::campaign(handle, decode(message)?)),
            path::ELECTION_PROCLAIM => Box::pin(election::proclaim(handle, decode(message)?)),
            path::ELECTION_LEADER => Box::pin(election::leader(handle, decode(message)?)),
            path::ELECTION_RESIGN => Box::pin(election::resign(handle, decode(message)?)),
            path::HEALTH_CHECK => Box::pin(ready(health::check(&decode(message)?))),
            path::HEALTH_LIST => {
                let HealthListRequest {} = decode(message)?;
                Box::pin(ready(Ok(encoded(&health::list()))))
            }
            _ => return Err(not_yet(path)),
        })
    }

    async fn converse(
        &self,
        path: &'static str,
        metadata: &Metadata,
        messages: &mut Messages<'_>,
    ) -> Result<(), Status> {
        let handle = &self.handle;
        self.admission.check_api_version(metadata, true)?;
        self.admission.check(metadata, path == path::SNAPSHOT)?;
        self.admission.check_sound(path)?;
        let served = async {
            match path {
                path::WATCH => watch::watch(handle, messages).await,
                path::LEASE_KEEP_ALIVE => lease::keep_alive(handle, messages).await,
                path::RANGE_STREAM => Box::pin(range_stream::range_stream(handle, messages)).await,
                path::ELECTION_OBSERVE => Box::pin(election::observe(handle, messages)).await,
                path::REFLECTION | path::REFLECTION_V1ALPHA => reflection::reflect(messages).await,
                path::HEALTH_WATCH => health::watch(messages).await,
                _ => Err(not_yet(path)),
            }
        };
        tokio::select! {
            ended = served => ended,
            status = self.admission.becomes_unsound(path) => Err(status),
            () = handle.leader_lost(), if metadata.require_leader => Err(admission::no_leader()),
        }
    }
}

/// An answer that may have to be waited for.
type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T, Status>> + Send + 'a>>;

/// Known to etcd, not yet to us.
fn not_yet(path: &str) -> Status {
    let name = path.rsplit('/').next().unwrap_or(path);
    Status::new(Code::Unimplemented, format!("etcdserver: {name} is not implemented yet"))
}

/// What grpc-go says of a path that leads nowhere.
fn unknown(path: &str) -> Status {
    let Some((service, method)) = path.strip_prefix('/').and_then(|path| path.rsplit_once('/')) else {
        return Status::new(Code::Unimplemented, format!("malformed method name: {path:?}"));
    };
    let text = match METHODS.iter().any(|known| known.service == service) {
        true => format!("unknown method {method} for service {service}"),
        false => format!("unknown service {service}"),
    };
    Status::new(Code::Unimplemented, text)
}

impl Service for Router {
    fn find(&self, path: &str) -> Result<Method, Status> {
        match METHODS.iter().position(|method| method.path == path) {
            Some(index) => {
                let method = METHODS[index];
                Ok(Method { index, streaming: method.client_streaming || method.server_streaming })
            }
            None => Err(unknown(path)),
        }
    }

    async fn unary(&self, method: Method, metadata: Metadata, message: Bytes) -> Result<Answer, Status> {
        let counted = Counted::begin(method.index, metadata.deadline);
        counted.received(message.len());
        let answer = self.answer(METHODS[method.index].path, &metadata, message).await;
        if let Ok(answer) = &answer {
            counted.sent(answer.size_bytes());
        }
        counted.end(answer.as_ref().err());
        answer
    }

    async fn stream(
        &self,
        method: Method,
        metadata: Metadata,
        inbound: &mut Inbound,
        outbound: Outbound,
    ) -> Result<(), Status> {
        let counted = Counted::begin(method.index, metadata.deadline);
        let mut messages = Messages::new(inbound, outbound, &counted);
        let ended = self.converse(METHODS[method.index].path, &metadata, &mut messages).await;
        drop(messages);
        counted.end(ended.as_ref().err());
        ended
    }

    async fn plain(&self, head: ::http::request::Parts) -> ::http::Response<Bytes> {
        metrics::touch();
        http::answer(&self.handle, &head).await
    }
}

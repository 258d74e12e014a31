//! Whether a call may be made: etcd's interceptors, in their order.
//!
//! Stopping; not ready (no cluster version yet); learner; the client's API version, which is only counted; a client
//! that insists on a leader. None of it looks at what a call asks, save that a learner takes serializable ranges.

use super::answer::{refused, status_of};
use crate::grpc::{Code, Metadata, Status};
use crate::handle::{Handle, Unavailable};
use crate::metrics;
use member::core::Status as Numbers;
use proto::etcdserverpb::RangeRequest;
use std::sync::atomic::{AtomicBool, Ordering};
use store::Refusal;

pub(super) struct Admission {
    handle: Handle,
    /// The cluster version was seen; it never goes away again.
    ready: AtomicBool,
}

/// What a client that insists on a leader is told without one.
pub(super) fn no_leader() -> Status {
    status_of(&Unavailable::NoLeader.into())
}

/// Whether keys or leases are in what is answered there.
fn serves_state(path: &str) -> bool {
    let services =
        ["/etcdserverpb.KV/", "/etcdserverpb.Watch/", "/etcdserverpb.Lease/", "/v3lockpb.", "/v3electionpb."];
    services.iter().any(|service| path.starts_with(service))
}

impl Admission {
    pub(super) fn new(handle: Handle) -> Admission {
        Admission { handle, ready: AtomicBool::new(false) }
    }

    /// For every call but a range.
    pub(super) fn check(&self, metadata: &Metadata, learner_takes_it: bool) -> Result<(), Status> {
        self.decide(metadata, learner_takes_it)
    }

    /// A learner takes a range if it may be stale.
    pub(super) fn check_range(&self, metadata: &Metadata, request: &RangeRequest) -> Result<(), Status> {
        self.decide(metadata, request.serializable)
    }

    /// Who is named by a CORRUPT alarm, or when nobody in particular is, serves nothing that keys or leases are in. What an
    /// operator needs goes on. (Writes are refused by everybody while there is such an alarm: that is the log's doing.)
    pub(super) fn check_sound(&self, path: &str) -> Result<(), Status> {
        if self.handle.is_corrupt() && serves_state(path) {
            return Err(refused(Refusal::Corrupt));
        }
        Ok(())
    }

    /// A stream that was admitted ends in the same words when such an alarm comes.
    pub(super) async fn becomes_unsound(&self, path: &str) -> Status {
        if !serves_state(path) {
            return std::future::pending().await;
        }
        self.handle.found_corrupt().await;
        refused(Refusal::Corrupt)
    }

    /// Counts the version a client says it speaks.
    pub(super) fn check_api_version(&self, metadata: &Metadata, stream: bool) -> Result<(), Status> {
        let version = match &metadata.client_api_version {
            None => "unknown",
            Some(bytes) => std::str::from_utf8(bytes)
                .map_err(|_| Status::new(Code::InvalidArgument, "etcdserver: invalid client api version"))?,
        };
        metrics::client_request(stream, version);
        Ok(())
    }

    fn decide(&self, metadata: &Metadata, learner_takes_it: bool) -> Result<(), Status> {
        if self.handle.is_stopping() {
            return Err(status_of(&Unavailable::Stopped.into()));
        }
        if !self.is_ready() {
            return Err(Status::new(Code::FailedPrecondition, "etcdserver: not capable"));
        }
        judge(&self.handle.status(), metadata.require_leader, learner_takes_it)
    }

    fn is_ready(&self) -> bool {
        if self.ready.load(Ordering::Relaxed) {
            return true;
        }
        let ready = self.handle.view().roster().cluster_version().is_some();
        if ready {
            self.ready.store(true, Ordering::Relaxed);
        }
        ready
    }
}

/// The part that needs only numbers.
fn judge(numbers: &Numbers, require_leader: bool, learner_takes_it: bool) -> Result<(), Status> {
    if numbers.is_learner && !learner_takes_it {
        return Err(Status::new(Code::FailedPrecondition, "etcdserver: rpc not supported for learner"));
    }
    if require_leader && numbers.leader == 0 {
        return Err(no_leader());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(leader: u64, is_learner: bool) -> Numbers {
        Numbers {
            id: 1,
            leader,
            role: raft::Role::Follower,
            is_learner,
            term: 2,
            commit: 3,
            applied: 3,
            leader_changes: 0,
            leader_is_silent: false,
            held: 0,
            held_bytes: 0,
        }
    }

    #[test]
    fn learners_take_little() {
        assert_eq!(judge(&numbers(2, true), false, true), Ok(()));
        let status = judge(&numbers(2, true), false, false).unwrap_err();
        assert_eq!(status.code(), Code::FailedPrecondition);
        assert_eq!(status.message(), "etcdserver: rpc not supported for learner");
    }

    #[test]
    fn only_who_insists_is_refused_without_a_leader() {
        assert_eq!(judge(&numbers(0, false), false, false), Ok(()));
        assert_eq!(judge(&numbers(2, false), true, false), Ok(()));
        let status = judge(&numbers(0, false), true, false).unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::Unavailable, "etcdserver: no leader"));
    }
}

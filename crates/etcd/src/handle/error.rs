//! What the edge can be told instead of an answer.

use crate::run::fail;
use std::borrow::Cow;
use store::Refusal;
use thiserror::Error;

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum Error {
    /// A deterministic "no" that is part of the history.
    #[error("{}", .0.message())]
    Refused(#[from] Refusal),
    /// This member cannot, just now. The client may try again.
    #[error("{}", .0.words().1)]
    Unavailable(Unavailable),
    /// Anything without a code of its own; the wire says Unknown.
    #[error("{0}")]
    Other(String),
}

/// Why this member cannot answer just now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unavailable {
    /// Nobody leads.
    NoLeader,
    /// The leader changed while a read was under way.
    LeaderChanged,
    /// Only the leader can do this.
    NotLeader,
    /// The target of a transfer cannot lead.
    BadLeaderTransferee,
    /// The target did not take over in time.
    TransferTimeout,
    /// No answer in time.
    Timeout,
    /// No answer in time, and a leader was lost meanwhile.
    TimeoutLeaderFailed,
    /// No answer in time, and this member has no links to a quorum.
    TimeoutConnectionLost,
    /// This member did not apply in time what the answer needs.
    TimeoutWaitApplied,
    /// The disk is full, and what the answer needs cannot be written.
    DiskFull,
    /// Too much is waiting already.
    TooManyRequests,
    /// The member is stopping.
    Stopped,
}

const FAILED_PRECONDITION: u8 = 9;
const UNAVAILABLE: u8 = 14;
const UNKNOWN: u8 = 2;

impl Unavailable {
    /// The gRPC code and etcd's words, as they appear on the wire: too many
    /// requests has no code of its own there.
    pub fn words(self) -> (u8, &'static str) {
        use Unavailable as U;
        match self {
            U::NoLeader => (UNAVAILABLE, "etcdserver: no leader"),
            U::LeaderChanged => (UNAVAILABLE, "etcdserver: leader changed"),
            U::NotLeader => (FAILED_PRECONDITION, "etcdserver: not leader"),
            U::BadLeaderTransferee => (FAILED_PRECONDITION, "etcdserver: bad leader transferee"),
            U::TransferTimeout => (UNKNOWN, "etcdserver: request timed out, leader transfer took too long"),
            U::Timeout => (UNAVAILABLE, "etcdserver: request timed out"),
            U::TimeoutLeaderFailed => {
                (UNAVAILABLE, "etcdserver: request timed out, possibly due to previous leader failure")
            }
            U::TimeoutConnectionLost => (UNAVAILABLE, "etcdserver: request timed out, possibly due to connection lost"),
            U::TimeoutWaitApplied => {
                (UNAVAILABLE, "etcdserver: request timed out, waiting for the applied index took too long")
            }
            U::DiskFull => (UNAVAILABLE, fail::FULL),
            U::TooManyRequests => (UNKNOWN, "etcdserver: too many requests"),
            U::Stopped => (UNAVAILABLE, "etcdserver: server stopped"),
        }
    }
}

impl From<Unavailable> for Error {
    fn from(why: Unavailable) -> Error {
        Error::Unavailable(why)
    }
}

impl Error {
    /// The gRPC code on the wire.
    pub fn code(&self) -> u8 {
        match self {
            Error::Refused(refusal) => refusal.code(),
            Error::Unavailable(why) => why.words().0,
            Error::Other(_) => UNKNOWN,
        }
    }

    /// The words on the wire.
    pub fn message(&self) -> Cow<'_, str> {
        match self {
            Error::Refused(refusal) => refusal.message().into(),
            Error::Unavailable(why) => why.words().1.into(),
            Error::Other(text) => text.into(),
        }
    }
}

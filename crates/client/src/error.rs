//! How calls fail, in etcd's words.
//!
//! The text of an error is contract: scripts match on it. So [`Error`] prints
//! what etcd's own client prints, which is the bare message when it is one of
//! etcd's known ones, and `rpc error: code = … desc = …` otherwise.

use std::fmt;

use proto::status::CODE_NAMES;
use tokio::time::Instant;
pub use tonic::Code;

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a call, or making a client, failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The client cannot be made, or used, like this.
    #[error("{0}")]
    Config(String),
    /// The call's time was over.
    #[error("context deadline exceeded")]
    Deadline {
        /// The endpoints that were tried in vain.
        troubles: Vec<Trouble>,
    },
    /// A member, or the transport in its place, said no.
    #[error("{0}")]
    Status(Status),
}

/// An endpoint that did not do what it is there for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// The endpoint as given.
    pub endpoint: String,
    /// Whether a member answered: then the reason is what it said.
    pub answered: bool,
    /// What became of the last try.
    pub reason: String,
}

/// A gRPC code with a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The code. Where etcd sends a wrong one for a known message, the right one.
    pub code: Code,
    /// The message as it came.
    pub message: String,
}

impl Status {
    /// A status of this code and message.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// Whether the message is one that etcd's client has a typed error for.
    pub fn is_known(&self) -> bool {
        KNOWN.contains(&self.message.as_str())
    }
}

impl fmt::Display for Status {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_known() {
            return out.write_str(&self.message);
        }
        let code = code_name(self.code);
        write!(out, "rpc error: code = {code} desc = {}", self.message)
    }
}

impl Error {
    /// The code of the failure; None when no call was made.
    pub fn code(&self) -> Option<Code> {
        match self {
            Error::Config(_) => None,
            Error::Deadline { .. } => Some(Code::DeadlineExceeded),
            Error::Status(status) => Some(status.code),
        }
    }

    /// Whether a member answered with this very message.
    pub fn says(&self, message: &str) -> bool {
        matches!(self, Error::Status(status) if status.message == message)
    }

    /// The call's time was over, and nothing is known of why.
    pub(crate) fn deadline() -> Self {
        Error::Deadline { troubles: Vec::new() }
    }

    /// From the transport's status. A call that ended at its deadline is a
    /// [`Error::Deadline`] whoever noticed first, the member or this side.
    pub(crate) fn from_transport(status: &tonic::Status, deadline: Option<Instant>) -> Self {
        let over = deadline.is_some_and(|at| Instant::now() >= at);
        // A member that saw the end of a proposal's time says so with the code Unknown.
        let told = status.message() == "context deadline exceeded";
        if over && (told || matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled)) {
            return Error::deadline();
        }
        if let Some((size, max)) = too_large_to_read(status) {
            let message = format!("grpc: received message larger than max ({size} vs. {max})");
            return Error::Status(Status::new(Code::ResourceExhausted, message));
        }
        Error::Status(Status { code: right_code(status), message: status.message().to_owned() })
    }
}

/// Whether the server says in HTTP/2's words that it has not looked at the call
/// and never will: with a farewell that does not count its stream, or by refusing
/// that alone. None when it says nothing about the stream.
///
/// HTTP/2's library gives this error of a farewell to no other streams.
pub(crate) fn left_aside(status: &tonic::Status) -> Option<bool> {
    let told = http2_error(status).filter(|error| error.is_remote())?;
    Some(told.is_go_away() || told.reason() == Some(h2::Reason::REFUSED_STREAM))
}

/// Whether only the call's stream was refused, and its connection goes on.
pub(crate) fn was_refused_alone(status: &tonic::Status) -> bool {
    left_aside(status) == Some(true) && http2_error(status).is_some_and(h2::Error::is_reset)
}

fn http2_error(status: &tonic::Status) -> Option<&h2::Error> {
    let mut source = std::error::Error::source(status);
    while let Some(error) = source {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        source = error.source();
    }
    None
}

/// What is wrong with the connection, when the status was made on this side.
pub(crate) fn reason_broken(status: &tonic::Status) -> Option<String> {
    let source = std::error::Error::source(status)?;
    let leaves = http2_error(status)
        .is_some_and(|error| error.is_remote() && error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR));
    Some(if leaves { "it is shutting down".to_owned() } else { innermost(source) })
}

/// The innermost error is the one that names the reason.
pub(crate) fn innermost(error: &dyn std::error::Error) -> String {
    let mut inner = error;
    while let Some(next) = inner.source() {
        inner = next;
    }
    let words = inner.to_string();
    match words.as_str() {
        // The time limit of connecting calls itself so.
        "deadline has elapsed" => "no connection within the dial timeout".to_owned(),
        _ => words,
    }
}

/// How large an answer was and might have been, in the transport's words for one that is too large; Go's are others.
fn too_large_to_read(status: &tonic::Status) -> Option<(&str, &str)> {
    let sizes = status.message().strip_prefix("Error, decoded message length too large: found ")?;
    sizes.strip_suffix(" bytes")?.split_once(" bytes, the limit is: ")
}

/// The code a caller should see.
fn right_code(status: &tonic::Status) -> Code {
    // The server sends these two without a code of their own.
    match status.message() {
        "etcdserver: too many requests" => return Code::ResourceExhausted,
        "etcdserver: re-configuration failed due to not enough started members" => {
            return Code::FailedPrecondition;
        }
        _ => {}
    }
    // A status with a source was made on this side, about the connection.
    // Whatever the transport calls it, the member is not available.
    let local = std::error::Error::source(status).is_some();
    match status.code() {
        Code::Unknown | Code::Cancelled | Code::Internal if local => Code::Unavailable,
        code => code,
    }
}

/// The code as Go prints it.
fn code_name(code: Code) -> &'static str {
    CODE_NAMES[code as usize]
}

/// Sent for a lease that is not there.
pub(crate) const LEASE_NOT_FOUND: &str = "etcdserver: requested lease not found";
/// Sent for a start or read revision that history no longer holds.
pub(crate) const COMPACTED: &str = "etcdserver: mvcc: required revision has been compacted";

/// Sent for a revision that is yet to come.
pub(crate) const FUTURE_REVISION: &str = "etcdserver: mvcc: required revision is a future revision";

/// Messages that etcd's client turns into typed errors, and prints bare.
const KNOWN: &[&str] = &[
    "etcdserver: key is not provided",
    "etcdserver: key not found",
    "etcdserver: value is provided",
    "etcdserver: lease is provided",
    "etcdserver: too many operations in txn request",
    "etcdserver: duplicate key given in txn request",
    "etcdserver: invalid sort option",
    COMPACTED,
    FUTURE_REVISION,
    "etcdserver: mvcc: database space exceeded",
    LEASE_NOT_FOUND,
    "etcdserver: lease already exists",
    "etcdserver: too large lease TTL",
    "etcdserver: member ID already exist",
    "etcdserver: Peer URLs already exists",
    "etcdserver: re-configuration failed due to not enough started members",
    "etcdserver: given member URLs are invalid",
    "etcdserver: member not found",
    "etcdserver: can only promote a learner member",
    "etcdserver: can only promote a learner member which is in sync with leader",
    "etcdserver: too many learner members in cluster",
    "etcdserver: cluster ID mismatch",
    "etcdserver: request is too large",
    "etcdserver: too many requests",
    "etcdserver: root user does not exist",
    "etcdserver: root user does not have root role",
    "etcdserver: user name already exists",
    "etcdserver: user name is empty",
    "etcdserver: user name not found",
    "etcdserver: role name already exists",
    "etcdserver: role name not found",
    "etcdserver: role name is empty",
    "etcdserver: authentication failed, invalid user ID or password",
    "etcdserver: permission denied",
    "etcdserver: role is not granted to the user",
    "etcdserver: permission is not granted to the role",
    "etcdserver: authentication is not enabled",
    "etcdserver: invalid auth token",
    "etcdserver: invalid auth management",
    "etcdserver: revision of auth store is old",
    "etcdserver: no leader",
    "etcdserver: not leader",
    "etcdserver: leader changed",
    "etcdserver: not capable",
    "etcdserver: server stopped",
    "etcdserver: request timed out",
    "etcdserver: request timed out, possibly due to previous leader failure",
    "etcdserver: request timed out, possibly due to connection lost",
    "etcdserver: unhealthy cluster",
    "etcdserver: corrupt cluster",
    "etcdserver: rpc not supported for learner",
    "etcdserver: bad leader transferee",
    "etcdserver: wrong downgrade target version format",
    "etcdserver: invalid downgrade target version",
    "etcdserver: cluster version not found during downgrade",
    "etcdserver: cluster has a downgrade job in progress",
    "etcdserver: no inflight downgrade job",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_messages_print_bare_and_others_with_their_code() {
        let known = Status::new(Code::OutOfRange, COMPACTED);
        assert_eq!(known.to_string(), COMPACTED);
        let other = Status::new(Code::Unknown, "not a primary lessor");
        assert_eq!(other.to_string(), "rpc error: code = Unknown desc = not a primary lessor");
    }

    #[test]
    fn codeless_answers_get_the_code_they_should_have_had() {
        let error = Error::from_transport(&tonic::Status::unknown("etcdserver: too many requests"), None);
        assert_eq!(error.code(), Some(Code::ResourceExhausted));
    }

    #[test]
    fn the_deadline_has_one_face() {
        let over = Some(Instant::now());
        for status in [
            tonic::Status::deadline_exceeded("context deadline exceeded"),
            tonic::Status::unknown("context deadline exceeded"),
            tonic::Status::cancelled("Timeout expired"),
        ] {
            let error = Error::from_transport(&status, over);
            assert_eq!(error, Error::deadline());
        }
        let early = Error::from_transport(&tonic::Status::cancelled("context canceled"), None);
        assert_eq!(early.code(), Some(Code::Cancelled));
    }
}

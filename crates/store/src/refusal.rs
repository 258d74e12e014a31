//! Every deterministic "no" of the replicated state, with etcd's gRPC code and
//! etcd's exact words.
//!
//! A refusal is an answer: the entry was committed, every member says the same
//! no at the same place of the log, and nothing changed. Clients match on the
//! words, so both code and words are contract (etcd `api/v3rpc/rpctypes`).
//!
//! What depends on this member or this moment (no leader, timeouts, too busy,
//! stopping) is never a refusal, and neither is a damaged disk.

use std::fmt;

/// gRPC's numbers of the codes a refusal can have.
pub mod code {
    /// A status the server never gave a code.
    pub const UNKNOWN: u8 = 2;
    /// The request can never be right.
    pub const INVALID_ARGUMENT: u8 = 3;
    /// The thing asked for does not exist.
    pub const NOT_FOUND: u8 = 5;
    /// The identity lacks the right.
    pub const PERMISSION_DENIED: u8 = 7;
    /// Quota.
    pub const RESOURCE_EXHAUSTED: u8 = 8;
    /// The state does not allow it now.
    pub const FAILED_PRECONDITION: u8 = 9;
    /// A revision or duration outside what exists.
    pub const OUT_OF_RANGE: u8 = 11;
    /// Members disagree about their content.
    pub const DATA_LOSS: u8 = 15;
    /// The token is not known.
    pub const UNAUTHENTICATED: u8 = 16;
}

macro_rules! refusals {
    ($($(#[$doc:meta])* $name:ident = $code:ident, $message:literal;)*) => {
        /// One variant per deterministic "no".
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Refusal {
            $($(#[$doc])* $name,)*
        }

        impl Refusal {
            /// All of them, in the order of their declaration.
            pub const ALL: &'static [Refusal] = &[$(Refusal::$name,)*];

            /// The gRPC code that a client sees on the wire.
            pub fn code(self) -> u8 {
                match self {
                    $(Refusal::$name => code::$code,)*
                }
            }

            /// The message that a client sees on the wire.
            pub fn message(self) -> &'static str {
                match self {
                    $(Refusal::$name => $message,)*
                }
            }
        }
    };
}

refusals! {
    /// A range, put, delete or compare without a key.
    EmptyKey = INVALID_ARGUMENT, "etcdserver: key is not provided";
    /// A put that keeps value or lease of a key that does not exist, and also
    /// an operation of a txn that asks for nothing.
    KeyNotFound = INVALID_ARGUMENT, "etcdserver: key not found";
    /// `ignore_value` together with a value.
    ValueProvided = INVALID_ARGUMENT, "etcdserver: value is provided";
    /// `ignore_lease` together with a lease.
    LeaseProvided = INVALID_ARGUMENT, "etcdserver: lease is provided";
    /// More compares or operations than `--max-txn-ops` leaves.
    TooManyOps = INVALID_ARGUMENT, "etcdserver: too many operations in txn request";
    /// Two writes of a branch meet at one key.
    DuplicateKey = INVALID_ARGUMENT, "etcdserver: duplicate key given in txn request";
    /// A sort order or target with an unknown number.
    InvalidSortOption = INVALID_ARGUMENT, "etcdserver: invalid sort option";
    /// The revision is below what compaction has left, or is to be compacted again.
    Compacted = OUT_OF_RANGE, "etcdserver: mvcc: required revision has been compacted";
    /// The revision does not exist yet.
    FutureRev = OUT_OF_RANGE, "etcdserver: mvcc: required revision is a future revision";
    /// The quota is used up, or a member's NOSPACE alarm is on.
    NoSpace = RESOURCE_EXHAUSTED, "etcdserver: mvcc: database space exceeded";
    /// A put or revoke names a lease that does not exist.
    LeaseNotFound = NOT_FOUND, "etcdserver: requested lease not found";
    /// A grant names a lease that exists.
    LeaseExist = FAILED_PRECONDITION, "etcdserver: lease already exists";
    /// A grant asks for more than 9 000 000 000 seconds.
    LeaseTtlTooLarge = OUT_OF_RANGE, "etcdserver: too large lease TTL";
    /// An added member's id is in use.
    MemberExist = FAILED_PRECONDITION, "etcdserver: member ID already exist";
    /// A peer URL belongs to another member already.
    PeerUrlExist = FAILED_PRECONDITION, "etcdserver: Peer URLs already exists";
    /// Too few voters have started for the change. etcd's table says
    /// FAILED_PRECONDITION, but its server answers without a code ([`Refusal::is_quirk`]).
    MemberNotEnoughStarted = UNKNOWN,
        "etcdserver: re-configuration failed due to not enough started members";
    /// The peer URLs of a new or updated member cannot be read.
    MemberBadUrls = INVALID_ARGUMENT, "etcdserver: given member URLs are invalid";
    /// No member has the id, or the member was removed.
    MemberNotFound = NOT_FOUND, "etcdserver: member not found";
    /// Only a learner can be promoted.
    MemberNotLearner = FAILED_PRECONDITION, "etcdserver: can only promote a learner member";
    /// More learners than `--max-learners`.
    TooManyLearners = FAILED_PRECONDITION, "etcdserver: too many learner members in cluster";
    /// The encoded command is larger than `--max-request-bytes`.
    RequestTooLarge = INVALID_ARGUMENT, "etcdserver: request is too large";
    /// A CORRUPT alarm is on.
    Corrupt = DATA_LOSS, "etcdserver: corrupt cluster";
    /// Auth cannot be enabled without the user `root`.
    RootUserNotExist = FAILED_PRECONDITION, "etcdserver: root user does not exist";
    /// Auth cannot be enabled while `root` lacks the role `root`.
    RootRoleNotExist = FAILED_PRECONDITION, "etcdserver: root user does not have root role";
    /// A user is added twice.
    UserAlreadyExist = FAILED_PRECONDITION, "etcdserver: user name already exists";
    /// No user name, or auth is on and there is no token.
    UserEmpty = INVALID_ARGUMENT, "etcdserver: user name is empty";
    /// No user has the name.
    UserNotFound = FAILED_PRECONDITION, "etcdserver: user name not found";
    /// A role is added twice.
    RoleAlreadyExist = FAILED_PRECONDITION, "etcdserver: role name already exists";
    /// No role has the name.
    RoleNotFound = FAILED_PRECONDITION, "etcdserver: role name not found";
    /// A role is added without a name.
    RoleEmpty = INVALID_ARGUMENT, "etcdserver: role name is empty";
    /// Wrong user or password.
    AuthFailed = INVALID_ARGUMENT,
        "etcdserver: authentication failed, invalid user ID or password";
    /// A grant of a permission that says nothing.
    PermissionNotGiven = INVALID_ARGUMENT, "etcdserver: permission not given";
    /// The user's roles do not allow it.
    PermissionDenied = PERMISSION_DENIED, "etcdserver: permission denied";
    /// The user does not hold the role to revoke.
    RoleNotGranted = FAILED_PRECONDITION, "etcdserver: role is not granted to the user";
    /// The role does not hold the permission to revoke.
    PermissionNotGranted = FAILED_PRECONDITION,
        "etcdserver: permission is not granted to the role";
    /// A token is asked for while auth is off.
    AuthNotEnabled = FAILED_PRECONDITION, "etcdserver: authentication is not enabled";
    /// The token is not known.
    InvalidAuthToken = UNAUTHENTICATED, "etcdserver: invalid auth token";
    /// The change would lock `root` out, or the permission's range is empty.
    InvalidAuthMgmt = INVALID_ARGUMENT, "etcdserver: invalid auth management";
    /// Users or roles changed between the check and the log.
    AuthOldRevision = INVALID_ARGUMENT, "etcdserver: revision of auth store is old";
    /// The target of a downgrade is not a version.
    WrongDowngradeVersionFormat = INVALID_ARGUMENT,
        "etcdserver: wrong downgrade target version format";
    /// The target of a downgrade is not one minor version below.
    InvalidDowngradeTargetVersion = INVALID_ARGUMENT,
        "etcdserver: invalid downgrade target version";
    /// There is no cluster version to downgrade from.
    ClusterVersionUnavailable = FAILED_PRECONDITION,
        "etcdserver: cluster version not found during downgrade";
    /// A downgrade is running.
    DowngradeInProcess = FAILED_PRECONDITION,
        "etcdserver: cluster has a downgrade job in progress";
    /// No downgrade is running.
    NoInflightDowngrade = FAILED_PRECONDITION, "etcdserver: no inflight downgrade job";
}

impl Refusal {
    /// Whether the code on the wire differs from the one of etcd's own table.
    ///
    /// etcd's server hands these to gRPC as plain text, which gRPC sends as
    /// UNKNOWN; etcd's Go client finds the table's code again by the words.
    pub fn is_quirk(self) -> bool {
        self == Refusal::MemberNotEnoughStarted
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.message())
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn words_are_etcds_and_never_shared() {
        let words: BTreeSet<&str> = Refusal::ALL.iter().map(|r| r.message()).collect();
        assert_eq!(words.len(), Refusal::ALL.len());
        assert!(words.iter().all(|text| text.starts_with("etcdserver: ")));
    }

    #[test]
    fn codes_are_numbers_of_grpc() {
        assert_eq!(Refusal::EmptyKey.code(), 3);
        assert_eq!(Refusal::Compacted.code(), 11);
        assert_eq!(Refusal::LeaseNotFound.code(), 5);
        assert_eq!(Refusal::NoSpace.code(), 8);
        assert_eq!(Refusal::Corrupt.code(), 15);
        for &refusal in Refusal::ALL {
            assert_eq!(refusal.is_quirk(), refusal.code() == code::UNKNOWN, "{refusal:?}");
        }
    }
}

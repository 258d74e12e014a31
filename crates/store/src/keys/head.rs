//! What memory knows of a key. Values, leases and older revisions are on disk; this is how to get there.

use crate::revision::Revision;

/// Where the encoded `mvccpb.KeyValue` of one revision of one key lies in the revision log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// The number of the segment.
    pub segment: u32,
    /// The offset of the encoded record from the beginning of the segment, in bytes.
    pub offset: u64,
    /// The length of the encoded record, in bytes.
    pub size_bytes: u32,
}

/// What memory knows of a key: where its newest record lies and the numbers that filters need.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Head {
    /// The revision of the newest change (`mod_revision` and its position in the transaction).
    pub modified: Revision,
    /// The main revision that created the present life of the key (`create_revision`); 0 for a tombstone.
    pub created: i64,
    /// How many times the key was put in its present life (`version`); 0 for a tombstone.
    pub version: i64,
    /// Where the newest record lies.
    pub place: Place,
}

impl Head {
    /// Whether the newest change deleted the key.
    pub fn is_tombstone(&self) -> bool {
        self.version == 0
    }
}

//! HashKV: one number for the content of the key bucket, equal on every member.
//!
//! etcd hashes rows of its database: CRC32C (Castagnoli) over the bucket's name and
//! then, in the order of revisions, key and value of every row. The rows of our log
//! are the same rows: a revision as 17 bytes, 18 for a delete, and the encoded
//! `mvccpb.KeyValue`. So those bytes are part of the hash and must be what gogo-
//! protobuf writes (see [`crate::reply::key_value`]); a delete's value has the key only.
//!
//! Which rows count does not depend on how far a compaction has got with deleting
//! (etcd `server/storage/mvcc/hash.go`):
//!
//! ```text
//!            compacted             revision
//!   ─────────────┼────────────────────┼──────────▶
//!    newest row   every row            no row
//!    of its key as of `revision`,
//!    unless it is a delete
//! ```
//!
//! Two odd cases are kept. When no key lives at `revision`, etcd skips the filter on the
//! left and takes all rows that are still there. And a delete exactly at the
//! compacted revision never counts, because older versions drop its row.

use crate::revision::Revision;

/// Length of a row's key, without the mark of a delete.
pub const ROW_KEY_LENGTH: usize = 17;
/// The mark of a delete, behind the revision.
pub const TOMBSTONE_MARK: u8 = b't';

/// The key of a row in the key bucket: main and sub revision, big-endian, with `_`
/// between, and `t` behind for a delete. Rows sort as revisions do.
pub fn row_key(revision: Revision, tombstone: bool) -> ([u8; ROW_KEY_LENGTH + 1], usize) {
    let mut row = [0; ROW_KEY_LENGTH + 1];
    row[..8].copy_from_slice(&revision.main.to_be_bytes());
    row[8] = b'_';
    row[9..17].copy_from_slice(&i64::from(revision.sub).to_be_bytes());
    row[17] = TOMBSTONE_MARK;
    (row, ROW_KEY_LENGTH + usize::from(tombstone))
}

/// The hash as rows come in, in the order of their revisions.
#[derive(Clone, Debug)]
pub struct KvHash {
    revision: i64,
    compacted: i64,
    /// The hash if some key lives at `revision`.
    filtered: u32,
    /// The hash if none does; dropped when a living key is seen.
    unfiltered: Option<u32>,
}

impl KvHash {
    /// Begins a hash of the rows up to a main revision, as a store answers that has
    /// been compacted at another. `revision` must be neither compacted nor in the
    /// future; that is checked by the caller.
    pub fn new(revision: i64, compacted: i64) -> KvHash {
        let empty = crc32c::crc32c(b"key");
        KvHash { revision, compacted, filtered: empty, unfiltered: Some(empty) }
    }

    /// Adds a row: when, and its encoded KeyValue, which for a delete has only the key.
    ///
    /// `newest` says whether this is the newest row of its key among those up to the
    /// hashed revision; it is asked only where it matters.
    pub fn add<E>(
        &mut self,
        revision: Revision,
        tombstone: bool,
        kv: &[u8],
        newest: impl FnOnce() -> Result<bool, E>,
    ) -> Result<(), E> {
        if revision.main > self.revision {
            return Ok(());
        }
        let compacted = revision.main <= self.compacted;
        let lives = (compacted || self.unfiltered.is_some()) && !tombstone && newest()?;
        if lives {
            self.unfiltered = None;
        }
        if tombstone && revision.main == self.compacted {
            return Ok(());
        }
        let (row, length) = row_key(revision, tombstone);
        let append = |hash| append_pair(hash, &row[..length], kv);
        if !compacted || lives {
            self.filtered = append(self.filtered);
        }
        self.unfiltered = self.unfiltered.map(append);
        Ok(())
    }

    /// The hash of all rows added.
    pub fn finish(self) -> u32 {
        self.unfiltered.unwrap_or(self.filtered)
    }
}

/// Continues a hash with a row.
pub fn append_pair(hash: u32, key: &[u8], value: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c_append(hash, key), value)
}

#[cfg(test)]
mod tests;

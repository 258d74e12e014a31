//! What ends the process: a disk that fails, bytes that are not what was written, an entry this version cannot apply.
//!
//! A fault is never an answer to a client and never replicated. Whoever gets one from [`Store`](crate::Store) stops:
//! after it the store's memory may be ahead of its disk, and restart with the write-ahead log is the recovery.

use std::io;

use disk::SegmentError;

use crate::ids::Index;

/// Is told what found no room on the disk, waits a while, and says whether to try again.
pub type WaitForRoom = Box<dyn FnMut(&Fault) -> bool + Send>;

/// Why this member cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The disk refused.
    #[error("{}", disk::told(file, source))]
    Disk {
        /// The file or directory.
        file: String,
        /// The disk's words.
        source: io::Error,
    },
    /// Bytes are not what was written.
    #[error("{file} is corrupt at offset {offset}: {what}")]
    Corrupt {
        /// The file.
        file: String,
        /// Where the first thing that does not verify begins, in bytes.
        offset: u64,
        /// What does not verify.
        what: String,
    },
    /// A committed entry that this version does not know how to apply. Skipping it would make members differ.
    #[error("entry {index} carries {what}, which this version cannot apply; stopping rather than diverge")]
    Unknown {
        /// The entry.
        index: Index,
        /// What it carries.
        what: String,
    },
    /// A snapshot image that is not one.
    #[error("snapshot image: {0}")]
    Image(String),
}

impl Fault {
    /// The disk refused something about `file`.
    pub fn disk(file: &str, source: io::Error) -> Fault {
        Fault::Disk { file: file.to_owned(), source }
    }

    /// Which file or directory the disk refused, and in what words, if it did.
    pub fn told(&self) -> Option<disk::Told<'_>> {
        match self {
            Fault::Disk { file, source } => Some(disk::told(file, source)),
            _ => None,
        }
    }

    /// Whether the disk, or a quota on it, has no room. Nothing was written.
    pub fn is_full(&self) -> bool {
        matches!(self, Fault::Disk { source, .. } if disk::is_full(source))
    }

    /// `file` is damaged.
    pub fn corrupt(file: &str, offset: u64, what: impl Into<String>) -> Fault {
        Fault::Corrupt { file: file.to_owned(), offset, what: what.into() }
    }
}

impl From<SegmentError> for Fault {
    fn from(error: SegmentError) -> Fault {
        match error {
            SegmentError::Io { file, source } => Fault::Disk { file, source },
            SegmentError::Corrupt { file, offset, what } => Fault::Corrupt { file, offset, what },
        }
    }
}

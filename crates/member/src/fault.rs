//! Why a member must stop: its disk, its data or an invariant has failed.

use thiserror::Error;

/// Something this member cannot go on from. It says what and where; the
/// process ends, and a restart with the log is the recovery.
#[derive(Debug, Error)]
pub enum Fault {
    /// The revision log or the state it holds.
    #[error(transparent)]
    Store(#[from] store::Fault),
    /// The write-ahead log could not be read or written.
    #[error("write-ahead log {}", disk::told(path, source))]
    Log {
        /// File or directory, relative to the data directory.
        path: String,
        /// What the disk said.
        source: std::io::Error,
    },
    /// The write-ahead log is damaged in a place that a crash cannot explain.
    #[error("write-ahead log is corrupt: {0}")]
    Corrupt(String),
    /// A segment of the write-ahead log cannot be read.
    #[error("write-ahead log {0}")]
    Segment(#[from] disk::SegmentError),
    /// The two logs of this member do not belong together.
    #[error("{0}")]
    Mismatch(String),
}

impl Fault {
    /// Which file or directory the disk refused, and in what words, if it did.
    pub fn told(&self) -> Option<disk::Told<'_>> {
        match self {
            Fault::Store(fault) => fault.told(),
            Fault::Log { path, source } => Some(disk::told(path, source)),
            _ => None,
        }
    }

    /// Whether the disk, or a quota on it, has no room. Nothing was written, and the same write
    /// may be tried again.
    pub fn is_full(&self) -> bool {
        match self {
            Fault::Store(fault) => fault.is_full(),
            Fault::Log { source, .. } => disk::is_full(source),
            _ => false,
        }
    }
}

//! etcd's database file (bbolt) as a stream: buckets of keys and values in, bytes out, and back.
//!
//! etcd hands its state to others as such a file: in a snapshot to a peer, in `etcdctl snapshot save`, in a data
//! directory. This crate reads one ([`Image`]) and writes one in a single sweep from its first byte to its last
//! ([`Planner`], [`Writer`]). It is no database: nothing is ever changed in place.
//!
//! It must never open a file (bytes come from a [`ReadAt`], and go to a function), never know what a key or value means,
//! and never trust a byte it reads: every malformed image gives an [`Error`], not a panic and not a large allocation.
//!
//! ```text
//! page 0   page 1   page 2     3 …                                                    last
//! ┌──────┬────────┬──────────┬──────┬──────┬─────┬────────┬──────┬──────┬────────┬──────┐
//! │ meta │  meta  │ freelist │ leaf │ leaf │  …  │ branch │ leaf │  …   │ branch │ root │   as Writer lays it out
//! └──────┴────────┴──────────┴──────┴──────┴─────┴────────┴──────┴──────┴────────┴──────┘
//!    │ the valid one with the highest transaction id names the root: a leaf (or tree) of buckets,
//!    ▼ each the root of a tree of its own, or, when small, a leaf page inside the root's value
//! ```

mod image;
mod page;
mod shape;
mod writer;

pub use image::{Bucket, Entries, Image, ReadAt};
pub use writer::{Plan, Planner, Writer};

use std::io;

/// The page size that etcd uses on nearly every machine (it takes the operating system's).
pub const PAGE_BYTES: usize = 4096;

/// The longest key, in bytes (bbolt's `MaxKeySize`). No key is empty.
pub const KEY_BYTES_MAX: usize = 32768;

/// The longest value, in bytes (bbolt's `MaxValueSize`).
pub const VALUE_BYTES_MAX: usize = (1 << 31) - 2;

/// Why an image cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The source or the sink refused.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Neither meta page is valid: this is no bbolt file, or both were destroyed.
    #[error("not a bbolt database: {0}")]
    NotADatabase(String),
    /// A page does not make sense.
    #[error("malformed bbolt database: page {page}: {what}")]
    Malformed {
        /// Number of the page; its first byte is at this times the page size.
        page: u64,
        /// What is wrong with it.
        what: String,
    },
    /// A key, value, bucket or order that a bbolt file cannot have.
    #[error("cannot be written to a bbolt database: {0}")]
    Refused(String),
    /// The second pass was not fed what the first was told.
    #[error("the second pass differs from the plan: {0}")]
    Deviates(String),
}

//! Segments: the one file format of both logs, the write-ahead log and the revision log.
//!
//! A segment is a header and frames. It only grows. Whoever reads it after a crash must tell two things apart: a *torn tail*
//! (the crash came before the sync: nobody was promised anything, cut it) and *damage* (bytes that were durable have
//! changed: stop and say where). `docs/format.md` draws the bytes and gives the reasoning; in short:
//!
//! * Every frame can be verified alone (its check covers its place, its segment and its length) and in its chain (it
//!   repeats the check of the frame before it).
//! * Every frame says how much of the segment was durable when it was written. Damage below that mark is corruption.
//! * Damage above every mark is a torn tail only if lost 512-byte sectors can explain it: a sector that was never
//!   written reads as zeros, and each frame says how many sectors of zeros it has by itself.
//! * In a segment that is not the last of its log, every damage is corruption.
//!
//! Nothing here knows what a frame means.

mod layout;
mod reader;
mod writer;

pub use layout::{BODY_BYTES_MAX, FRAME_HEADER_BYTES, HEADER_BYTES, LogKind, SegmentHeader, body_bytes_of_frame};
pub use reader::{Ending, Frame, SegmentReader, Standing, Tail};
pub use writer::SegmentWriter;

use std::io;

/// Why a segment cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SegmentError {
    /// The disk refused.
    #[error("{}", crate::told(file, source))]
    Io {
        /// Path of the segment.
        file: String,
        /// The disk's words.
        source: io::Error,
    },
    /// Bytes that were durable are not what was written.
    #[error("{file} is corrupt at offset {offset}: {what}")]
    Corrupt {
        /// Path of the segment.
        file: String,
        /// Where the first thing that does not verify begins, in bytes from the start of the file.
        offset: u64,
        /// What does not verify.
        what: String,
    },
}

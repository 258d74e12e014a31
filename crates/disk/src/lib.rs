//! The only crate that touches files.
//!
//! A [`Disk`] is a small synchronous trait with two implementors: [`OsDisk`] (a directory of the operating system) and
//! [`SimDisk`] (memory that loses, tears and rots what was not synced, by a seed). On top of it stand the [`segment`]s, the
//! one file format of both logs. Every byte of it is drawn in `docs/format.md`.
//!
//! This crate must never start a thread, look at a clock, ask the operating system for chance, or know what a frame means.

mod os;
pub mod segment;
mod sim;
mod told;

pub use os::{DirectoryLock, OsDisk, OsFile};
pub use segment::{Ending, Frame, LogKind, SegmentError, SegmentHeader, SegmentReader, SegmentWriter, Standing, Tail};
pub use sim::{SimDisk, SimFaults, SimFile, SimStats};
pub use told::{Told, told};

use std::io;

/// Whether the disk, or the owner's quota on it, has no room: what was refused may be tried again when there is. The one
/// place that says which errors mean that.
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// How [`Disk::open`] opens a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenMode {
    /// An existing file, for reading only.
    Read,
    /// An existing file, for reading and writing.
    ReadWrite,
    /// A file that must not exist yet (`AlreadyExists` otherwise), for reading and writing, empty.
    Create,
}

/// A directory tree. Paths are relative to its root, `/`-separated, without `.`, `..` or empty parts ("wal/0000.seg");
/// the empty path names the root in [`Disk::list`] and [`Disk::sync_dir`].
///
/// What is durable when: the bytes of a file after [`DiskFile::sync`]; the *name* of a created, renamed or removed file after
/// [`Disk::sync_dir`] of the directory (of both directories, if a rename crosses); a directory when `create_dir` returns.
///
/// Whatever needs room may be refused for want of it ([`is_full`]), also the creation of a file. A sync that fails is never
/// told as that: nothing may be tried again after it.
pub trait Disk: Clone + Send + Sync + 'static {
    /// An open file of this disk.
    type File: DiskFile;

    /// Opens the file at `path`. A missing file is `NotFound` (a missing directory too).
    fn open(&self, path: &str, mode: OpenMode) -> io::Result<Self::File>;

    /// Gives a file (not a directory) another name, replacing the file that had that name before.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file. Those who have it open can go on using it.
    fn remove(&self, path: &str) -> io::Result<()>;

    /// The same for a file that may not be there.
    fn remove_if_there(&self, path: &str) -> io::Result<()> {
        match self.remove(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done,
        }
    }

    /// How many bytes there is room for in files below `dir`; `None` where that is not known. A quota may be narrower.
    fn free_bytes(&self, dir: &str) -> io::Result<Option<u64>>;

    /// The names (not paths) of the files and directories directly in `dir`, sorted. A missing directory is `NotFound`.
    fn list(&self, dir: &str) -> io::Result<Vec<String>>;

    /// Makes a directory and its parents, durably. It is no error if it exists.
    fn create_dir(&self, dir: &str) -> io::Result<()>;

    /// Makes the names in `dir` durable.
    fn sync_dir(&self, dir: &str) -> io::Result<()>;

    /// Whether there is a file or directory at `path`.
    fn exists(&self, path: &str) -> io::Result<bool>;
}

/// An open file. One owner writes; anyone may read at the same time (share it in an `Arc`).
pub trait DiskFile: Send + Sync + 'static {
    /// Reads from `offset` and returns how many bytes came: fewer than the buffer holds only at the end of the file.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;

    /// Writes the parts one after the other from `offset` on, in one call to the operating system. Writing beyond the
    /// end fills the gap with zeros. After an error any part of the bytes may have been written.
    fn write_at(&self, offset: u64, data: &[&[u8]]) -> io::Result<()>;

    /// Makes everything written durable (`fdatasync`). After an error nothing un-synced may be trusted to become durable
    /// ever, even if a later sync says it did: the only honest answer is to stop.
    fn sync(&self) -> io::Result<()>;

    /// Sets room aside for a file of `len` bytes, so that syncs of what is written into it need not account for a longer
    /// file each time. The new part reads as zeros. Only a help: on an error nothing is lost.
    fn allocate(&self, _len: u64) -> io::Result<()> {
        Ok(())
    }

    /// Cuts the file to `len` bytes, or fills it up to `len` with zeros. Durable after `sync`.
    fn truncate(&self, len: u64) -> io::Result<()>;

    /// The file's length in bytes.
    fn len(&self) -> io::Result<u64>;

    /// Whether the file holds no byte.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
}

/// The directory that holds `path`; empty for the root.
pub fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(dir, _)| dir)
}

/// Refuses a path that could leave the root or has more than one spelling.
fn check_path(path: &str, root_allowed: bool) -> io::Result<()> {
    if path.is_empty() && root_allowed {
        return Ok(());
    }
    let odd = |part: &str| part.is_empty() || part == "." || part == ".." || part.contains('\0');
    if path.split('/').any(odd) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("not a plain relative path: {path:?}")));
    }
    Ok(())
}

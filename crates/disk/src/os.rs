//! A directory of the operating system.
//!
//! Directories are made with mode 0700 and files with 0600, whatever the umask allows beyond that: nobody but the owner may
//! read keys. Nothing here is clever: one call in, one system call out, errors with the path in them.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::told::named;
use crate::{Disk, DiskFile, OpenMode, check_path};

/// The files below one root directory.
#[derive(Debug, Clone)]
pub struct OsDisk {
    root: Arc<PathBuf>,
    /// Syncs are made, and not only answered.
    syncs: bool,
}

/// An open file of an [`OsDisk`].
#[derive(Debug)]
pub struct OsFile {
    file: File,
    root: Arc<PathBuf>,
    /// Below the root.
    path: String,
    syncs: bool,
}

/// Holds a data directory for this process until dropped.
#[derive(Debug)]
pub struct DirectoryLock {
    _directory: File,
}

impl OsDisk {
    /// The disk whose root is `root`. The directory is made when missing.
    pub fn new(root: impl AsRef<Path>) -> io::Result<OsDisk> {
        let root = root.as_ref().to_path_buf();
        let root = Arc::new(root);
        make_directories(&root, Some(&root))?;
        Ok(OsDisk { root, syncs: true })
    }

    /// The same files, with nothing made durable: a loss of power may take anything.
    pub fn without_sync(self) -> OsDisk {
        OsDisk { syncs: false, ..self }
    }

    /// The root directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Takes the advisory exclusive lock of a data directory (made when missing) and holds it until the answer is dropped.
    /// Another holder, in this or another process, gives `ResourceBusy`.
    pub fn lock(directory: impl AsRef<Path>) -> io::Result<DirectoryLock> {
        let path = directory.as_ref();
        let root = Arc::new(path.to_path_buf());
        make_directories(path, Some(&root))?;
        let said = |error| named(Some(&root), "", error);
        let directory = File::open(path).map_err(said)?;
        match directory.try_lock() {
            Ok(()) => Ok(DirectoryLock { _directory: directory }),
            Err(TryLockError::WouldBlock) => {
                Err(said(io::Error::new(io::ErrorKind::ResourceBusy, "it is already in use by another process")))
            }
            Err(TryLockError::Error(error)) => Err(said(error)),
        }
    }

    fn full(&self, path: &str, root_allowed: bool) -> io::Result<PathBuf> {
        check_path(path, root_allowed)?;
        Ok(if path.is_empty() { self.root.to_path_buf() } else { self.root.join(path) })
    }

    /// What names `path` in an error.
    fn said(&self, path: &str) -> impl Fn(io::Error) -> io::Error {
        move |error| named(Some(&self.root), path, error)
    }
}

impl Disk for OsDisk {
    type File = OsFile;

    fn open(&self, path: &str, mode: OpenMode) -> io::Result<OsFile> {
        let full = self.full(path, false)?;
        let mut options = OpenOptions::new();
        options.read(true).mode(0o600);
        match mode {
            OpenMode::Read => &mut options,
            OpenMode::ReadWrite => options.write(true),
            OpenMode::Create => options.write(true).create_new(true),
        };
        let file = options.open(&full).map_err(self.said(path))?;
        // The operating system opens a directory for reading without a word; here a file is a file.
        if file.metadata().map_err(self.said(path))?.is_dir() {
            return Err(self.said(path)(io::ErrorKind::IsADirectory.into()));
        }
        Ok(OsFile { file, root: self.root.clone(), path: path.to_owned(), syncs: self.syncs })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let (full, to) = (self.full(from, false)?, self.full(to, false)?);
        if full.is_dir() {
            return Err(self.said(from)(io::ErrorKind::IsADirectory.into()));
        }
        fs::rename(&full, &to).map_err(self.said(from))
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        fs::remove_file(self.full(path, false)?).map_err(self.said(path))
    }

    fn free_bytes(&self, dir: &str) -> io::Result<Option<u64>> {
        let full = self.full(dir, true)?;
        let told = rustix::fs::statvfs(&full).map_err(|error| self.said(dir)(error.into()))?;
        // Some file systems do not count.
        Ok((told.f_blocks > 0).then(|| told.f_bavail.saturating_mul(told.f_frsize)))
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.full(dir, true)?).map_err(self.said(dir))? {
            let name = entry.map_err(self.said(dir))?.file_name();
            // A name that is not UTF-8 is none of ours.
            if let Ok(name) = name.into_string() {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn create_dir(&self, dir: &str) -> io::Result<()> {
        make_directories(&self.full(dir, true)?, Some(&self.root))
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        let full = self.full(dir, true)?;
        if self.syncs { sync_directory(&full).map_err(self.said(dir)) } else { Ok(()) }
    }

    fn exists(&self, path: &str) -> io::Result<bool> {
        match self.full(path, true)?.try_exists() {
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => Ok(false),
            answer => answer.map_err(self.said(path)),
        }
    }
}

impl OsFile {
    fn said(&self, error: io::Error) -> io::Error {
        named(Some(&self.root), &self.path, error)
    }
}

impl DiskFile for OsFile {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.file.read_at(&mut buffer[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.said(error)),
            }
        }
        Ok(filled)
    }

    fn write_at(&self, offset: u64, data: &[&[u8]]) -> io::Result<()> {
        // The standard library has no positioned gathered write; one copy is cheaper than a second system call.
        match data {
            [] => Ok(()),
            [one] => self.file.write_all_at(one, offset),
            many => self.file.write_all_at(&many.concat(), offset),
        }
        .map_err(|error| self.said(error))
    }

    fn sync(&self) -> io::Result<()> {
        if !self.syncs {
            return Ok(());
        }
        self.file.sync_data().map_err(|error| self.said(not_synced(error)))
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        let present = self.len()?;
        if present >= len {
            return Ok(());
        }
        rustix::fs::fallocate(&self.file, rustix::fs::FallocateFlags::empty(), present, len - present)
            .map_err(|error| self.said(error.into()))
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len).map_err(|error| self.said(error))
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata().map_err(|error| self.said(error))?.len())
    }
}

/// Makes `path` and its missing parents with mode 0700, each one durable in its parent. Errors name what lies below `root`
/// by that, all else as it is.
fn make_directories(path: &Path, root: Option<&Arc<PathBuf>>) -> io::Result<()> {
    if path.as_os_str().is_empty() || path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        make_directories(parent, root)?;
    }
    let said = |path: &Path, error| {
        let below = root.and_then(|root| Some((root, path.strip_prefix(&**root).ok()?)));
        match below {
            Some((root, below)) => named(Some(root), &below.to_string_lossy(), error),
            None => named(None, &path.to_string_lossy(), error),
        }
    };
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => {}
        // Someone else made it meanwhile.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
        Err(error) => return Err(said(path, error)),
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    sync_directory(parent).map_err(|error| said(parent, error))
}

fn sync_directory(path: &Path) -> io::Result<()> {
    OpenOptions::new()
        .read(true)
        .custom_flags(rustix::fs::OFlags::DIRECTORY.bits() as i32)
        .open(path)?
        .sync_all()
        .map_err(not_synced)
}

/// What a sync that failed is told as: never as a full disk, which could be tried again.
fn not_synced(error: io::Error) -> io::Error {
    match crate::is_full(&error) {
        true => io::Error::other(format!("cannot be synced: {error}")),
        false => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sync_that_finds_no_room_is_not_tried_again() {
        for kind in [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded] {
            assert!(crate::is_full(&named(None, "member/log", kind.into())));
            let told = named(None, "member/log", not_synced(kind.into()));
            assert!(!crate::is_full(&told) && told.to_string().starts_with("member/log: cannot be synced: "), "{told}");
        }
        assert_eq!(not_synced(io::ErrorKind::InvalidInput.into()).kind(), io::ErrorKind::InvalidInput);
    }
}

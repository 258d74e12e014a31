//! A directory of the operating system.
//!
//! Directories are made with mode 0700 and files with 0600, whatever the umask allows beyond that: nobody but the owner may
//! read keys. Nothing here is clever: one call in, one system call out, errors with the path in them.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

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
    path: PathBuf,
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
        make_directories(&root)?;
        Ok(OsDisk { root: Arc::new(root), syncs: true })
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
        make_directories(path)?;
        let directory = File::open(path).map_err(|error| named(path, error))?;
        match directory.try_lock() {
            Ok(()) => Ok(DirectoryLock { _directory: directory }),
            Err(TryLockError::WouldBlock) => Err(io::Error::new(
                io::ErrorKind::ResourceBusy,
                format!("data directory {} is already in use by another process", path.display()),
            )),
            Err(TryLockError::Error(error)) => Err(named(path, error)),
        }
    }

    fn full(&self, path: &str, root_allowed: bool) -> io::Result<PathBuf> {
        check_path(path, root_allowed)?;
        Ok(if path.is_empty() { self.root.to_path_buf() } else { self.root.join(path) })
    }
}

impl Disk for OsDisk {
    type File = OsFile;

    fn open(&self, path: &str, mode: OpenMode) -> io::Result<OsFile> {
        let path = self.full(path, false)?;
        let mut options = OpenOptions::new();
        options.read(true).mode(0o600);
        match mode {
            OpenMode::Read => &mut options,
            OpenMode::ReadWrite => options.write(true),
            OpenMode::Create => options.write(true).create_new(true),
        };
        let file = options.open(&path).map_err(|error| named(&path, error))?;
        // The operating system opens a directory for reading without a word; here a file is a file.
        if file.metadata().map_err(|error| named(&path, error))?.is_dir() {
            return Err(named(&path, io::ErrorKind::IsADirectory.into()));
        }
        Ok(OsFile { file, path, syncs: self.syncs })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let (from, to) = (self.full(from, false)?, self.full(to, false)?);
        if from.is_dir() {
            return Err(named(&from, io::ErrorKind::IsADirectory.into()));
        }
        fs::rename(&from, to).map_err(|error| named(&from, error))
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        let path = self.full(path, false)?;
        fs::remove_file(&path).map_err(|error| named(&path, error))
    }

    fn free_bytes(&self, dir: &str) -> io::Result<Option<u64>> {
        let path = self.full(dir, true)?;
        let told = rustix::fs::statvfs(&path).map_err(|error| named(&path, error.into()))?;
        // Some file systems do not count.
        Ok((told.f_blocks > 0).then(|| told.f_bavail.saturating_mul(told.f_frsize)))
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        let path = self.full(dir, true)?;
        let mut names = Vec::new();
        for entry in fs::read_dir(&path).map_err(|error| named(&path, error))? {
            let name = entry.map_err(|error| named(&path, error))?.file_name();
            // A name that is not UTF-8 is none of ours.
            if let Ok(name) = name.into_string() {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn create_dir(&self, dir: &str) -> io::Result<()> {
        make_directories(&self.full(dir, true)?)
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        let path = self.full(dir, true)?;
        if self.syncs { sync_directory(&path) } else { Ok(()) }
    }

    fn exists(&self, path: &str) -> io::Result<bool> {
        let path = self.full(path, true)?;
        match path.try_exists() {
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => Ok(false),
            answer => answer.map_err(|error| named(&path, error)),
        }
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
                Err(error) => return Err(named(&self.path, error)),
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
        .map_err(|error| named(&self.path, error))
    }

    fn sync(&self) -> io::Result<()> {
        if !self.syncs {
            return Ok(());
        }
        self.file.sync_data().map_err(|error| not_synced(&self.path, error))
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        let present = self.len()?;
        if present >= len {
            return Ok(());
        }
        rustix::fs::fallocate(&self.file, rustix::fs::FallocateFlags::empty(), present, len - present)
            .map_err(|error| named(&self.path, error.into()))
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len).map_err(|error| named(&self.path, error))
    }

    fn len(&self) -> io::Result<u64> {
        let metadata = self.file.metadata();
        Ok(metadata.map_err(|error| named(&self.path, error))?.len())
    }
}

/// Makes `path` and its missing parents with mode 0700, each one durable in its parent.
fn make_directories(path: &Path) -> io::Result<()> {
    if path.as_os_str().is_empty() || path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        make_directories(parent)?;
    }
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => {}
        // Someone else made it meanwhile.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
        Err(error) => return Err(named(path, error)),
    }
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_directory(parent),
        _ => sync_directory(Path::new(".")),
    }
}

fn sync_directory(path: &Path) -> io::Result<()> {
    OpenOptions::new()
        .read(true)
        .custom_flags(rustix::fs::OFlags::DIRECTORY.bits() as i32)
        .open(path)
        .map_err(|error| named(path, error))?
        .sync_all()
        .map_err(|error| not_synced(path, error))
}

/// What a sync that failed is told as: never as a full disk, which could be tried again.
fn not_synced(path: &Path, error: io::Error) -> io::Error {
    match crate::is_full(&error) {
        true => io::Error::other(format!("{}: cannot be synced: {error}", path.display())),
        false => named(path, error),
    }
}

/// The same error with the path in front.
fn named(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sync_that_finds_no_room_is_not_tried_again() {
        for kind in [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded] {
            let path = Path::new("member/log");
            assert!(crate::is_full(&named(path, kind.into())));
            let told = not_synced(path, kind.into());
            assert!(!crate::is_full(&told) && told.to_string().starts_with("member/log: cannot be synced: "), "{told}");
        }
        assert_eq!(not_synced(Path::new("f"), io::ErrorKind::InvalidInput.into()).kind(), io::ErrorKind::InvalidInput);
    }
}

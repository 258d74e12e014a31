//! Errors that name the file they are about, once.
//!
//! The operating system says only "No space left on device". A disk adds which file or directory that was; who passes the
//! error on knows a name too, sometimes only that of the directory. [`told`] shows the better of both.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// What the operating system said of a file.
#[derive(Debug)]
struct Named {
    /// What `file` is below of, if it is relative.
    root: Option<Arc<PathBuf>>,
    /// Empty for the root itself.
    file: String,
    reason: io::Error,
}

/// A file, relative to the root of its disk, and what the disk says of it. Shown as `file: reason`; of the root itself there is only
/// the reason.
#[derive(Debug, Clone, Copy)]
pub struct Told<'a> {
    /// The file or directory.
    pub file: &'a str,
    /// The operating system's words.
    pub reason: &'a io::Error,
}

/// What `error` says. `file` is what it is about if it names nothing itself.
pub fn told<'a>(file: &'a str, error: &'a io::Error) -> Told<'a> {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Named>()) {
        Some(named) => Told { file: &named.file, reason: &named.reason },
        None => Told { file, reason: error },
    }
}

/// The same error with a name: that of `file` below `root`, or of `file` alone. It keeps its kind.
pub(crate) fn named(root: Option<&Arc<PathBuf>>, file: &str, reason: io::Error) -> io::Error {
    io::Error::new(reason.kind(), Named { root: root.cloned(), file: file.to_owned(), reason })
}

impl fmt::Display for Told<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.file {
            "" => write!(formatter, "{}", self.reason),
            file => write!(formatter, "{file}: {}", self.reason),
        }
    }
}

impl fmt::Display for Named {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Named { root, file, reason } = self;
        match root {
            Some(root) if file.is_empty() => write!(formatter, "{}: {reason}", root.display()),
            Some(root) => write!(formatter, "{}: {reason}", root.join(file).display()),
            None => write!(formatter, "{file}: {reason}"),
        }
    }
}

impl std::error::Error for Named {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_named_once() {
        let root = Arc::new(PathBuf::from("/data"));
        let full = || io::Error::from(io::ErrorKind::StorageFull);
        let error = named(Some(&root), "member/log/3.wal", full());
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert_eq!(error.to_string(), "/data/member/log/3.wal: no storage space");
        assert_eq!(told("member/log", &error).to_string(), "member/log/3.wal: no storage space", "it knows better");
        assert_eq!(told("member/log", &full()).to_string(), "member/log: no storage space");
        let error = named(Some(&root), "", full());
        assert_eq!(error.to_string(), "/data: no storage space");
        assert_eq!(told("", &error).to_string(), "no storage space");
        let error = named(None, "/", full());
        assert_eq!(
            (error.to_string(), told("", &error).to_string()),
            ("/: no storage space".into(), "/: no storage space".into())
        );
    }
}

//! A disk for tests of one part, in a directory of its own.

use disk::OsDisk;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Removed when dropped.
pub struct Scratch {
    path: PathBuf,
    pub disk: OsDisk,
}

impl Scratch {
    pub fn new(title: &str) -> Scratch {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("quorate-{title}-{}-{count}", std::process::id()));
        let disk = OsDisk::new(&path).expect("a temporary directory can be made");
        Scratch { path, disk }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

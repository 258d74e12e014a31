//! The wall clock of one member. CLOCK_REALTIME cannot be moved for one process
//! alone, so Debian's libfaketime stands between the member and libc: it adds
//! what a file says, and reads the file anew each time. The monotonic clock is
//! left alone.

use crate::felt::Felt;
use crate::stage::library_named;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The file that says how far the wall clock is off.
pub struct Clock {
    file: PathBuf,
    library: PathBuf,
    /// Faults that have moved it.
    moved: u32,
    /// Of the last of them.
    felt: Option<Felt>,
}

/// The library for programs with threads, if it is there.
pub fn library() -> Option<PathBuf> {
    library_named("faketime/libfaketimeMT.so.1")
}

impl Clock {
    /// A clock that is right.
    pub fn new(file: PathBuf, library: &Path) -> io::Result<Clock> {
        let clock = Clock { file, library: library.to_owned(), moved: 0, felt: None };
        clock.set(0)?;
        Ok(clock)
    }

    /// One fault more: from now on it is off by so many seconds. It is felt when
    /// somebody has looked at the clock before it moves again.
    pub fn jump(&mut self, seconds: i64, felt: Felt) -> io::Result<()> {
        self.settle()?;
        self.moved += 1;
        self.felt = Some(felt);
        self.set(seconds)
    }

    /// One fault less; with the last the clock is right again.
    pub fn jump_back(&mut self) -> io::Result<()> {
        self.settle()?;
        self.moved = self.moved.saturating_sub(1);
        if self.moved == 0 { self.set(0) } else { Ok(()) }
    }

    /// Notes whether anybody has read the file since it says what it says: the
    /// system notes the first time that a file is read after it was written.
    fn settle(&mut self) -> io::Result<()> {
        let Some(felt) = &self.felt else { return Ok(()) };
        let file = fs::metadata(&self.file)?;
        if file.accessed()? > file.modified()? {
            felt.note(1);
            self.felt = None;
        }
        Ok(())
    }

    fn set(&self, seconds: i64) -> io::Result<()> {
        // A rename: nobody reads half of it.
        let next = self.file.with_extension("next");
        fs::write(&next, format!("{seconds:+}\n"))?;
        fs::rename(next, &self.file)
    }

    /// What a process must have in its environment to follow it.
    pub fn environment(&self) -> Vec<String> {
        vec![
            format!("LD_PRELOAD={}", self.library.display()),
            format!("FAKETIME_TIMESTAMP_FILE={}", self.file.display()),
            "FAKETIME_NO_CACHE=1".to_owned(),
            "FAKETIME_DONT_FAKE_MONOTONIC=1".to_owned(),
            "DONT_FAKE_MONOTONIC=1".to_owned(),
            "FAKETIME_DONT_RESET=1".to_owned(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_fault_sets_it_right() {
        let file = std::env::temp_dir().join(format!("chaos-clock-{}", std::process::id()));
        let mut clock = Clock::new(file.clone(), Path::new("libfaketime")).unwrap();
        let says = || fs::read_to_string(&file).unwrap();
        assert_eq!(says(), "+0\n");
        clock.jump(30, Felt::default()).unwrap();
        clock.jump(-3_600, Felt::default()).unwrap();
        clock.jump_back().unwrap();
        assert_eq!(says(), "-3600\n", "another fault is under way");
        clock.jump_back().unwrap();
        assert_eq!(says(), "+0\n");
        fs::remove_file(file).unwrap();
    }
}

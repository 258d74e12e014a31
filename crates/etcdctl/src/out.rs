//! The one door through which this program writes.
//!
//! Standard output belongs to whoever reads it: when that has had enough, as
//! `head` has, the command ends without a word, with the code that a shell shows
//! for a program that SIGPIPE has ended, as it does etcdctl. Standard error has
//! no such rights: without a reader the exit code has to do. Nothing else here
//! may print; the lints `print_stdout` and `print_stderr` see to it.

use std::fmt::Arguments;
use std::io::Write;

use crate::fail::{Exit, Failure, Result};

/// Writes to standard output, all at once.
pub fn write(bytes: &[u8]) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Err(Failure::silent(Exit::NobodyReads)),
        written => Ok(written?),
    }
}

/// Writes a line to standard output.
pub fn line(text: &str) -> Result<()> {
    write(format!("{text}\n").as_bytes())
}

/// Writes a line to standard error, if anybody reads it.
pub fn complain(text: Arguments<'_>) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

//! The one door through which this program writes.
//!
//! Standard output belongs to whoever reads it: when that has had enough, as
//! `head` has, the command ends without a word, with the code that a shell shows
//! for a program that SIGPIPE has ended, as it does etcdctl. Any other output
//! that cannot be written, as on a full disk, is an error of its own, whatever
//! the command; etcdctl ends with 0 then, and the output is lost. Standard error
//! has no such rights: when it cannot be written the exit code has to do. Nothing
//! else here may print; the lints `print_stdout` and `print_stderr` see to it.

use std::fmt::Arguments;
use std::io::Write;

use crate::fail::{Exit, Failure, Result};

/// Writes to standard output, all at once.
pub fn write(bytes: &[u8]) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Err(Failure::silent(Exit::NobodyReads)),
        Err(error) => Err(Failure::new(Exit::Io, format!("the output could not be written: {error}"))),
        Ok(()) => Ok(()),
    }
}

/// Writes a line to standard output.
pub fn line(text: &str) -> Result<()> {
    write(format!("{text}\n").as_bytes())
}

/// Writes a line to standard error, if that can be done.
pub fn complain(text: Arguments<'_>) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

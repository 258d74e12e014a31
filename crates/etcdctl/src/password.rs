//! Asking for a password.
//!
//! What is typed is not shown. Who thinks better of it and interrupts must find
//! a terminal that shows again what is typed, and a signal would leave no time
//! for that: so while the line is typed, the key that interrupts only ends it.

use std::io::{BufRead, IsTerminal};
use std::process::{Command, Stdio};

use crate::fail::{Exit, Failure, Result};
use crate::out;

/// What Ctrl-C types.
const INTERRUPT: u8 = 3;
/// How etcdctl ends then.
const GIVEN_UP: Exit = Exit::Program(255);
/// No echo; Ctrl-C is a character, and one that ends the line.
const HIDDEN: [&str; 4] = ["-echo", "-isig", "eol", "^C"];

/// A line from standard input, without its end.
pub fn ask() -> Result<String> {
    let stdin = std::io::stdin();
    let before = if stdin.is_terminal() { stty(&["-g"]) } else { None };
    let hidden = before.as_deref().is_some_and(|_| stty(&HIDDEN).is_some());
    // From here on: whoever has read it can type.
    let asked = out::write(b"Password: ");
    let typed = asked.and_then(|()| Ok(line(&mut stdin.lock(), hidden)?));
    if let Some(settings) = &before {
        // A terminal that could be read of can be set.
        drop(stty(&[settings]));
    }
    // What ended the line was not shown, and where it was not typed there is none to see.
    out::line("")?;
    match typed? {
        Some(line) => Ok(String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned()),
        None => Err(Failure::silent(GIVEN_UP)),
    }
}

/// What comes before the end of a line, or of the input; nothing when that is an interrupt.
fn line(input: &mut impl BufRead, interrupt_ends: bool) -> std::io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    loop {
        let ready = input.fill_buf()?;
        let is_end = |byte: &u8| *byte == b'\n' || (interrupt_ends && *byte == INTERRUPT);
        let Some(at) = ready.iter().position(is_end) else {
            let length = ready.len();
            if length == 0 {
                return Ok(Some(line));
            }
            line.extend_from_slice(ready);
            input.consume(length);
            continue;
        };
        let interrupted = ready[at] == INTERRUPT;
        line.extend_from_slice(&ready[..at]);
        input.consume(at + 1);
        return Ok(Some(line).filter(|_| !interrupted));
    }
}

/// Reads or changes what the terminal does; what stty says, if it could.
fn stty(arguments: &[&str]) -> Option<String> {
    let output = Command::new("stty").args(arguments).stdin(Stdio::inherit()).output().ok()?;
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    output.status.success().then_some(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(mut text: &[u8], interrupt_ends: bool) -> Option<Vec<u8>> {
        line(&mut text, interrupt_ends).unwrap()
    }

    #[test]
    fn a_line_ends_or_is_given_up() {
        assert_eq!(typed(b"secret\nmore", true).as_deref(), Some(&b"secret"[..]));
        assert_eq!(typed(b"secret", true).as_deref(), Some(&b"secret"[..]));
        assert_eq!(typed(b"", true).as_deref(), Some(&b""[..]));
        assert_eq!(typed(b"sec\x03ret\n", true), None);
        assert_eq!(typed(b"sec\x03ret\n", false).as_deref(), Some(&b"sec\x03ret"[..]));
        // In pieces, as a terminal gives them.
        let mut pieces = std::io::Read::chain(&b"sec"[..], &b"ret\n"[..]);
        assert_eq!(line(&mut pieces, true).unwrap().as_deref(), Some(&b"secret"[..]));
    }
}

//! `completion`: scripts that complete command lines in a shell.

use clap::ArgMatches;
use clap_complete::Shell;

use crate::cli;
use crate::fail::{Exit, Failure, Result};
use crate::out;
use crate::verb::{Verb, arguments};

/// The command.
pub const VERB: Verb = Verb::new("completion [bash|zsh|fish|powershell]", "Generate completion script");

/// Runs it.
pub fn run(matches: &ArgMatches) -> Result<()> {
    let arguments = arguments(matches);
    let count = arguments.len();
    let [shell] = arguments.as_slice() else {
        let text = format!("accepts 1 arg(s), received {count}");
        return Err(Failure::new(Exit::Error, text));
    };
    let shell = match shell.as_slice() {
        b"bash" => Shell::Bash,
        b"zsh" => Shell::Zsh,
        b"fish" => Shell::Fish,
        b"powershell" => Shell::PowerShell,
        other => {
            let other = crate::go::quote(other);
            let text = format!("invalid argument {other} for \"etcdctl completion\"");
            return Err(Failure::new(Exit::Error, text));
        }
    };
    let mut command = cli::command();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, "etcdctl", &mut script);
    out::write(&script)
}

//! etcdctl: a command line client for etcd, version 3.7.
//!
//! Everything scripts can see is etcdctl's own: commands, flags, environment,
//! output in each format, texts of errors, exit codes. A command goes one way:
//! `cli` finds out what is meant, a file in `cmd` checks the arguments and asks
//! the cluster, and what it learned is an [`print::Answer`] that a file in
//! `print` writes in the format wished for. Only `main` ends the process.
//!
//! Commands of etcdctl that do not work yet have a name here and say so.

#![deny(clippy::print_stdout, clippy::print_stderr)]

mod cli;
mod cmd;
mod fail;
mod flag;
mod global;
mod go;
mod help;
mod log;
mod out;
mod password;
mod print;
mod verb;

use std::ffi::OsString;
use std::process::ExitCode;

use cli::Parsed;
use fail::{Exit, Failure, Result};

fn main() -> ExitCode {
    let line: Vec<OsString> = std::env::args_os().skip(1).collect();
    match run(&line) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            log::troubles(&failure.troubles);
            if let Some(text) = &failure.text {
                out::complain(format_args!("Error: {text}"));
            }
            ExitCode::from(failure.exit.code())
        }
    }
}

fn run(line: &[OsString]) -> Result<()> {
    match cli::parse(line) {
        Parsed::Help(path) => out::write(help::help(&path).as_bytes()),
        Parsed::UnknownTopic(words) => {
            let quote = |word: &Vec<u8>| format!("`{}`", String::from_utf8_lossy(word));
            let words: Vec<String> = words.iter().map(quote).collect();
            out::complain(format_args!(
                "Unknown help topic [{}]\n{}",
                words.join(" "),
                help::usage(&[]).trim_end_matches('\n')
            ));
            Ok(())
        }
        Parsed::UnknownCommand(word) => Err(Failure::new(Exit::Error, help::unknown_command(&word))),
        Parsed::Misused(path, text) => {
            out::complain(format_args!("Error: {text}\n{}", help::usage(&path)));
            Err(Failure::silent(Exit::Error))
        }
        Parsed::Run(path, matches) => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let result = runtime.block_on(cmd::run(&path, &matches));
            // A thread may still wait for a line of input that nobody needs.
            runtime.shutdown_background();
            result
        }
    }
}

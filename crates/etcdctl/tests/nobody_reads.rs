//! Output that nobody reads to its end: the command ends without a word, with the code that a shell shows for etcdctl then.
//! Output that cannot be written for another reason is an error, with one code for all commands.

use std::process::{Command, Output, Stdio};

/// What a shell shows for a program that SIGPIPE has ended.
const ENDED_BY_SIGPIPE: i32 = 128 + 13;

/// What a program ends with that cannot write its output, by etcdctl's table.
const NOT_WRITTEN: i32 = 6;

/// Runs an etcdctl whose standard output, or error, has no reader.
fn unread(arguments: &[&str], output: fn(&mut Command, Stdio)) -> Output {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    run(arguments, output, writer.into())
}

/// Runs an etcdctl whose standard output, or error, goes to a disk that is full.
fn full(arguments: &[&str], output: fn(&mut Command, Stdio)) -> Output {
    let full = std::fs::File::options().write(true).open("/dev/full").expect("it is there");
    run(arguments, output, full.into())
}

fn run(arguments: &[&str], output: fn(&mut Command, Stdio), to: Stdio) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_etcdctl"));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    output(&mut command, to);
    let child = command.spawn().expect("it starts");
    // It holds an end of the pipe.
    drop(command);
    child.wait_with_output().expect("it ends")
}

/// What writes without a cluster.
const LINES: [&str; 7] = ["--help", "help", "get --help", "version", "options", "completion bash", "txn --interactive"];

#[test]
fn output_that_cannot_be_written_is_an_error() {
    for line in LINES {
        let arguments: Vec<&str> = line.split(' ').collect();
        let ended = full(&arguments, |command, full| _ = command.stdout(full));
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(said, "Error: the output could not be written: No space left on device (os error 28)\n", "{line}");
        assert_eq!(ended.status.code(), Some(NOT_WRITTEN), "{line}");
    }
}

#[test]
fn standard_output_without_a_reader_ends_the_command_quietly() {
    for line in LINES {
        let arguments: Vec<&str> = line.split(' ').collect();
        let ended = unread(&arguments, |command, pipe| _ = command.stdout(pipe));
        assert_eq!(String::from_utf8_lossy(&ended.stderr), "", "{line}");
        assert_eq!(ended.status.code(), Some(ENDED_BY_SIGPIPE), "{line}");
    }
}

#[test]
fn standard_error_that_cannot_be_written_changes_nothing() {
    let nobody = "--endpoints=127.0.0.1:1";
    for (line, code) in [
        ("get", 128),
        ("nonsense", 1),
        ("help nonsense", 0),
        ("--command-timeout=100ms endpoint status", 1),
        ("--command-timeout=100ms endpoint health", 1),
        ("--command-timeout=100ms endpoint hashkv", 1),
        ("--debug get", 128),
    ] {
        let arguments: Vec<&str> = line.split(' ').chain([nobody]).collect();
        let ended = unread(&arguments, |command, pipe| _ = command.stderr(pipe));
        assert_eq!(ended.status.code(), Some(code), "{line}");
        let ended = full(&arguments, |command, full| _ = command.stderr(full));
        assert_eq!(ended.status.code(), Some(code), "{line}, on a full disk");
    }
}

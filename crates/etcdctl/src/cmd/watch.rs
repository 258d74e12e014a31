//! `watch`: shows changes as they happen, or runs a program for each.
//!
//! What to watch comes from the arguments or, for both ends, from the
//! environment, but not from both. After `--` comes a program. With
//! `--interactive`, standard input gives one such line after the other, each
//! with flags of its own, and all watches run side by side.

use std::io::BufRead;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::process::Command;

use clap::ArgMatches;
use client::range::{FROM_KEY, prefix_end};
use client::{Client, Watcher};
use proto::etcdserverpb::{WatchCreateRequest, WatchResponse};
use tokio::sync::{broadcast, mpsc};

use crate::cli::parse_alone;
use crate::fail::{Exit, Failure, Result};
use crate::flag::Flag;
use crate::global::Session;
use crate::go::{quote, words};
use crate::out;
use crate::print::{Answer, Style};
use crate::verb::{Rest, Verb, arguments, program};

const INTERACTIVE: Flag = Flag::switch("interactive", "Interactive mode").short('i');
const PREFIX: Flag = Flag::switch("prefix", "Watch on a prefix if prefix is set");
const REV: Flag = Flag::int("rev", "Revision to start watching");
const PREV_KV: Flag = Flag::switch("prev-kv", "get the previous key-value pair before the event happens");
const PROGRESS_NOTIFY: Flag = Flag::switch("progress-notify", "get periodic watch progress notification from server");

/// The command.
pub const VERB: Verb = Verb {
    rest: Rest::Program,
    ..Verb::new(
        "watch [options] [key or prefix] [range_end] [--] [exec-command arg1 arg2 ...]",
        "Watches events stream on keys or prefixes",
    )
    .flags(&[INTERACTIVE, PREFIX, REV, PREV_KV, PROGRESS_NOTIFY])
};

const BAD_NUMBER: &str = "bad number of arguments";
const NO_PROGRAM: &str = "bad number of arguments (found separator --, but no commands)";
const CONFLICT: &str = "bad number of arguments (found conflicting environment key)";

/// Lines typed ahead of what is done with them.
const LINES_WAITING_MAX: usize = 16;
/// Requests for progress that a busy watch may not have seen yet.
const REQUESTS_WAITING_MAX: usize = 16;

/// Runs it until it is interrupted, or the server ends the watch.
pub async fn run(matches: &ArgMatches) -> Result<()> {
    let ends = environment()?;
    if INTERACTIVE.is_on(matches) {
        return interactive(&Session::open(matches).await?, &ends).await;
    }
    let bare_dashes = std::env::args_os().next_back().is_some_and(|last| last == "--");
    let job = Job::of(matches, &ends, bare_dashes)?;
    let session = Session::open(matches).await?;
    let create = job.create.map_err(Failure::arguments)?;
    let mut watcher = watcher(&session, create);
    loop {
        match watcher.next().await? {
            Some(response) => show(&session.style, response, &job.program).await?,
            None => {
                let text = "watch is canceled by the server";
                return Err(Failure::new(Exit::Interrupted, text));
            }
        }
    }
}

/// Key and range end that the environment gives.
fn environment() -> Result<Vec<Vec<u8>>> {
    let variable = |name| {
        let value = std::env::var_os(name).unwrap_or_default();
        value.into_vec()
    };
    let key = variable("ETCDCTL_WATCH_KEY");
    let range_end = variable("ETCDCTL_WATCH_RANGE_END");
    if key.is_empty() && !range_end.is_empty() {
        let range_end = quote(&range_end);
        return Err(Failure::arguments(format!(
            "ETCDCTL_WATCH_KEY is empty but got ETCDCTL_WATCH_RANGE_END={range_end}"
        )));
    }
    let ends = [key, range_end].into_iter();
    Ok(ends.filter(|end| !end.is_empty()).collect())
}

/// What one line asks for.
#[derive(Debug)]
struct Job {
    /// The watch, or why it cannot be: this is found out later than the rest.
    create: std::result::Result<WatchCreateRequest, String>,
    /// The program to run for each event, if any.
    program: Vec<Vec<u8>>,
}

impl Job {
    fn of(matches: &ArgMatches, ends: &[Vec<u8>], bare_dashes: bool) -> Result<Self> {
        let (given, program) = (arguments(matches), program(matches));
        if bare_dashes && program.is_empty() {
            return Err(Failure::arguments(NO_PROGRAM));
        }
        if given.is_empty() && ends.is_empty() && program.is_empty() {
            return Err(Failure::arguments(BAD_NUMBER));
        }
        if !given.is_empty() && !ends.is_empty() {
            return Err(Failure::arguments(CONFLICT));
        }
        let ends = if ends.is_empty() { &given } else { ends };
        Ok(Self { create: create(matches, ends), program })
    }
}

fn create(matches: &ArgMatches, ends: &[Vec<u8>]) -> std::result::Result<WatchCreateRequest, String> {
    let Some(key) = ends.first() else {
        return Err(BAD_NUMBER.to_owned());
    };
    let mut request = WatchCreateRequest {
        key: key.clone().into(),
        start_revision: REV.number(matches),
        prev_kv: PREV_KV.is_on(matches),
        progress_notify: PROGRESS_NOTIFY.is_on(matches),
        ..WatchCreateRequest::default()
    };
    // More than two ends are no range; the key alone is watched.
    if let [_, range_end] = ends {
        if PREFIX.is_on(matches) {
            return Err("`range_end` and `--prefix` are mutually exclusive".to_owned());
        }
        request.range_end = range_end.clone().into();
    }
    if PREFIX.is_on(matches) {
        request.range_end = prefix_end(&request.key);
        if request.key.is_empty() {
            request.key = FROM_KEY;
        }
    }
    Ok(request)
}

fn watcher(session: &Session, create: WatchCreateRequest) -> Watcher {
    let client: Client = session.client.clone();
    client.with_require_leader().watch(create)
}

/// Shows one response, and runs the program for each of its events.
async fn show(style: &Style, response: WatchResponse, program: &[Vec<u8>]) -> Result<()> {
    if let (true, Some(error)) = (response.canceled, Watcher::cancellation(&response)) {
        out::complain(format_args!("watch was canceled ({error})"));
    }
    let revision = response.header.as_ref().map_or(0, |header| header.revision);
    let is_progress = response.events.is_empty() && !response.canceled && revision != 0;
    if is_progress {
        out::line(&format!("progress notify: {revision}"))?;
    }
    let commands = match program {
        [] => Vec::new(),
        program => commands(program, &response, revision),
    };
    style.show(&Answer::Watch(response))?;
    for mut command in commands {
        // On a thread of its own, so that the connection is looked after.
        let ended = tokio::task::spawn_blocking(move || command.status()).await;
        let ended = ended.map_err(|error| Failure::new(Exit::Error, error))?;
        let why = match ended {
            Ok(status) if status.success() => continue,
            Ok(status) => match status.code() {
                Some(code) => format!("exit status {code}"),
                None => status.to_string(),
            },
            Err(error) => {
                let name = quote(&program[0]);
                format!("exec: {name}: {error}")
            }
        };
        let words: Vec<String> = program.iter().map(|word| quote(word)).collect();
        out::complain(format_args!("command [{}] error ({why})", words.join(" ")));
        return Err(Failure::silent(Exit::Error));
    }
    Ok(())
}

/// The program once for each event, which it finds in its environment.
fn commands(program: &[Vec<u8>], response: &WatchResponse, revision: i64) -> Vec<Command> {
    let word = |word: &Vec<u8>| std::ffi::OsStr::from_bytes(word).to_owned();
    let command = |event: &proto::mvccpb::Event| {
        let pair = event.kv.clone().unwrap_or_default();
        let kind = event.r#type().as_str_name();
        let mut command = Command::new(word(&program[0]));
        command
            .args(program[1..].iter().map(word))
            .stdin(std::process::Stdio::null())
            .env("ETCD_WATCH_REVISION", revision.to_string())
            .env("ETCD_WATCH_EVENT_TYPE", quote(kind.as_bytes()))
            .env("ETCD_WATCH_KEY", quote(&pair.key))
            .env("ETCD_WATCH_VALUE", quote(&pair.value));
        command
    };
    response.events.iter().map(command).collect()
}

/// Does what the lines of standard input say, until there are no more.
async fn interactive(session: &Session, ends: &[Vec<u8>]) -> Result<()> {
    let (typed, mut lines) = mpsc::channel(LINES_WAITING_MAX);
    std::thread::spawn(move || read_lines(&typed));
    let (ask_progress, _) = broadcast::channel(REQUESTS_WAITING_MAX);
    let (failed, mut failures) = mpsc::channel(1);
    loop {
        let line: Vec<u8> = tokio::select! {
            line = lines.recv() => match line {
                Some(line) => line?,
                None => return Err(invalid_input("EOF")),
            },
            Some(failure) = failures.recv() => return Err(failure),
        };
        let shown = String::from_utf8_lossy(&line).into_owned();
        let Some(words) = words::split(&line) else {
            return Err(Failure::new(Exit::InvalidInput, "invalid syntax"));
        };
        match words.first().map(Vec::as_slice) {
            None => out::complain(format_args!("Invalid command: {shown} (watch and progress supported)")),
            Some(b"progress") => drop(ask_progress.send(())),
            Some(b"watch") if words.len() < 2 && ends.is_empty() => {
                out::complain(format_args!("Invalid command {shown} (command type or key is not provided)"));
            }
            Some(b"watch") => {
                let job = parse_line(&words[1..], ends)?;
                match job.create {
                    Err(error) => out::complain(format_args!("Invalid command {shown} ({error})")),
                    Ok(create) => {
                        let watcher = watcher(session, create);
                        let (style, requests) = (session.style, ask_progress.subscribe());
                        let failed = failed.clone();
                        tokio::spawn(async move {
                            let followed = follow(watcher, &style, &job.program, requests).await;
                            if let Err(failure) = followed {
                                drop(failed.send(failure).await);
                            }
                        });
                    }
                }
            }
            Some(_) => out::complain(format_args!("Invalid command {shown} (only support watch)")),
        }
    }
}

fn parse_line(words: &[Vec<u8>], ends: &[Vec<u8>]) -> Result<Job> {
    let bare_dashes = words.last().is_some_and(|last| last == b"--");
    if bare_dashes {
        return Err(Failure::arguments(NO_PROGRAM));
    }
    let matches = parse_alone(&VERB, words).map_err(Failure::arguments)?;
    Job::of(&matches, ends, false)
}

/// Sends whole lines without their ends, and then why there are no more.
fn read_lines(typed: &mpsc::Sender<Result<Vec<u8>>>) {
    let mut input = std::io::stdin().lock();
    loop {
        let mut line = Vec::new();
        let read = match input.read_until(b'\n', &mut line) {
            Ok(_) if line.pop() == Some(b'\n') => Ok(line),
            Ok(_) => Err(invalid_input("EOF")),
            Err(error) => Err(invalid_input(error)),
        };
        let last = read.is_err();
        if typed.blocking_send(read).is_err() || last {
            return;
        }
    }
}

fn invalid_input(why: impl std::fmt::Display) -> Failure {
    let text = format!("error reading watch request line: {why}");
    Failure::new(Exit::InvalidInput, text)
}

/// Shows one watch among others until it ends.
async fn follow(
    mut watcher: Watcher,
    style: &Style,
    program: &[Vec<u8>],
    mut requests: broadcast::Receiver<()>,
) -> Result<()> {
    loop {
        tokio::select! {
            response = watcher.next() => match response? {
                Some(response) => show(style, response, program).await?,
                None => return Ok(()),
            },
            // Late is as good as never: one request is like another.
            request = requests.recv() => match request {
                Err(broadcast::error::RecvError::Closed) => return Ok(()),
                _ => watcher.request_progress().await,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(line: &[&str], ends: &[&str], bare_dashes: bool) -> Result<Job> {
        let words: Vec<Vec<u8>> = line.iter().map(|word| (*word).into()).collect();
        let ends: Vec<Vec<u8>> = ends.iter().map(|end| (*end).into()).collect();
        Job::of(&parse_alone(&VERB, &words).unwrap(), &ends, bare_dashes)
    }

    #[test]
    fn ends_come_from_arguments_or_environment() {
        let ends = |line: &[&str], ends: &[&str]| {
            let create = job(line, ends, false).unwrap().create.unwrap();
            (create.key.to_vec(), create.range_end.to_vec())
        };
        assert_eq!(ends(&["a", "c"], &[]), (b"a".to_vec(), b"c".to_vec()));
        assert_eq!(ends(&["--rev", "1"], &["a", "c"]), (b"a".to_vec(), b"c".to_vec()));
        assert_eq!(ends(&["a", "--prefix"], &[]), (b"a".to_vec(), b"b".to_vec()));
        assert_eq!(ends(&["", "--prefix"], &[]), (vec![0], vec![0]));
        let conflict = job(&["b"], &["a"], false).unwrap_err();
        assert_eq!(conflict, Failure::arguments(CONFLICT));
        let conflict = job(&["b", "--", "echo"], &["a"], false).unwrap_err();
        assert_eq!(conflict, Failure::arguments(CONFLICT));
    }

    #[test]
    fn too_little_or_too_much() {
        let failure = job(&[], &[], false).unwrap_err();
        assert_eq!(failure, Failure::arguments(BAD_NUMBER));
        let failure = job(&["a", "--"], &[], true).unwrap_err();
        assert_eq!(failure, Failure::arguments(NO_PROGRAM));
        let error = job(&["a", "b", "--prefix"], &[], false).unwrap().create;
        assert_eq!(error.unwrap_err(), "`range_end` and `--prefix` are mutually exclusive");
    }

    #[test]
    fn a_program_may_follow() {
        let job = job(&["a", "--prev-kv", "--", "sh", "-c", "x"], &[], false).unwrap();
        assert_eq!(job.program, [b"sh".to_vec(), b"-c".to_vec(), b"x".to_vec()]);
        assert!(job.create.unwrap().prev_kv);
        let interactive = parse_line(&["--".into()], &[]).unwrap_err();
        assert_eq!(interactive, Failure::arguments(NO_PROGRAM));
    }
}

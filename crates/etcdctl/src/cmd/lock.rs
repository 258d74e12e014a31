//! `lock`: holds a lock while a program runs, or until it is told to stop.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;

use clap::ArgMatches;
use tokio::process::Command;

use super::turn::{Place, Signals};
use crate::fail::{Exit, Failure, Result};
use crate::flag::{Flag, Kind};
use crate::global::Session;
use crate::go::quote;
use crate::print::Answer;
use crate::verb::{Verb, arguments};

const TTL: Flag = Flag::new("ttl", Kind::Int, "60", "timeout for session");
/// What a time of no length stands for.
const TTL_DEFAULT: i64 = 60;

/// The command.
pub const VERB: Verb = Verb::new("lock <lockname> [exec-command arg1 arg2 ...]", "Acquires a named lock").flags(&[TTL]);

/// Runs it.
pub async fn run(matches: &ArgMatches) -> Result<()> {
    let arguments = arguments(matches);
    let Some((name, program)) = arguments.split_first() else {
        return Err(Failure::arguments("lock takes a lock name argument and an optional command to execute"));
    };
    let ttl = Some(TTL.number(matches)).filter(|&ttl| ttl > 0).unwrap_or(TTL_DEFAULT);
    let session = Session::open(matches).await?;
    let mut signals = Signals::listen()?;
    let mut place = signals.or(Place::take(&session.client, name, ttl, b"")).await?;
    let held = hold(&session, &mut signals, &mut place, program).await;
    // The failure tells more than that the place cannot be given back either.
    let left = place.leave().await;
    held.and(left)
}

async fn hold(session: &Session, signals: &mut Signals, place: &mut Place, program: &[Vec<u8>]) -> Result<()> {
    let waited = signals.or(place.turn()).await?;
    let own = place.look().await?;
    if own.kvs.is_empty() {
        let text = if waited.is_some() { "mutex: session is expired" } else { "lock lost on init" };
        return Err(Failure::new(Exit::Error, text));
    }
    // As Go's mutex says it: the revision of the answer that gave the lock.
    let revision = match waited {
        Some(_) => own.header.map_or(0, |header| header.revision),
        None => place.created,
    };
    if !program.is_empty() {
        return execute(place, revision, program).await;
    }
    session.style.show(&Answer::Get(own))?;
    tokio::select! {
        () = signals.next() => Ok(()),
        () = place.lost() => Err(Failure::new(Exit::Error, "session expired")),
    }
}

/// Runs the program, which learns key and revision from its environment; its exit code is ours.
async fn execute(place: &Place, revision: i64, program: &[Vec<u8>]) -> Result<()> {
    let word = |word: &Vec<u8>| OsStr::from_bytes(word).to_owned();
    let status = Command::new(word(&program[0]))
        .args(program[1..].iter().map(word))
        .stdin(Stdio::null())
        .env("ETCD_LOCK_KEY", OsStr::from_bytes(&place.key))
        .env("ETCD_LOCK_REV", revision.to_string())
        .status()
        .await;
    match status {
        Ok(status) => match (status.code(), status.signal()) {
            (Some(0), _) => Ok(()),
            (Some(code), _) => Err(Failure::new(Exit::Program(code as u8), format!("exit status {code}"))),
            (None, signal) => {
                let text = format!("signal: {}", signal.unwrap_or_default());
                Err(Failure::new(Exit::Program(u8::MAX), text))
            }
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let text = format!("exec: {}: executable file not found in $PATH", quote(&program[0]));
            Err(Failure::new(Exit::Error, text))
        }
        Err(error) => Err(Failure::new(Exit::Error, format!("exec: {}: {error}", quote(&program[0])))),
    }
}

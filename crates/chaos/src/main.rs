//! `chaos`: real processes of etcd under real faults, and whether they kept
//! their promises.
//!
//! ```text
//!   house     namespaces of its own for the run, made by `unshare`, gone with it
//!   room      a network namespace for each member
//!   wire      the network between them, packet by packet, in this process
//!   disk, clock, member     what a member stands on, and its process
//!   schedule ─▶ trouble ─▶ faults     what goes wrong when, from one seed
//!   load ─▶ notebook ─▶ history       what clients asked, were answered, were told
//!   rest, check                       what must hold afterwards
//! ```
//!
//! A seed gives the same schedule each time. The timing of real processes is
//! theirs: the same seed may find something once and not again.

mod away;
mod check;
mod clock;
mod disk;
mod faults;
mod felt;
mod history;
mod house;
mod load;
mod member;
mod notebook;
mod rest;
mod room;
mod run;
mod schedule;
mod stage;
mod trouble;
mod wire;

use anyhow::Result;
use clap::Parser;
use std::path::PathBuf;
use std::process::ExitCode;

/// What a run is asked to be.
#[derive(Clone, Debug, Parser)]
#[command(name = "chaos", about = "Real processes of etcd under real faults", disable_version_flag = true)]
pub struct Arguments {
    /// The program under test
    #[arg(long)]
    etcd: PathBuf,
    /// Where logs lie during the run, and everything when a promise is broken
    #[arg(long)]
    directory: PathBuf,
    /// The schedule of faults
    #[arg(long)]
    seed: Option<u64>,
    /// How long all rounds together take, in minutes
    #[arg(long, default_value_t = 2)]
    minutes: u64,
    /// Three or five members; both in turn if not said
    #[arg(long, value_parser = three_or_five)]
    members: Option<u64>,
    /// A kind of fault of which each round must have one that had an effect; may be given again and again
    #[arg(long, value_name = "KIND", value_parser = a_kind)]
    demand: Vec<String>,
    /// Only that the checks find lost writes: power is lost while syncs do nothing
    #[arg(long)]
    guard: bool,
    /// Tells of each fault as it begins
    #[arg(long)]
    tell: bool,
    /// Keeps logs, data and history of rounds in which everything held, too
    #[arg(long)]
    keep: bool,
    /// One round, in namespaces that were made for it: seconds
    #[arg(long, hide = true)]
    inside: Option<u64>,
}

/// How many members a cluster may have here.
fn three_or_five(text: &str) -> Result<u64, String> {
    match text {
        "3" => Ok(3),
        "5" => Ok(5),
        _ => Err("a cluster has 3 or 5 members here".to_owned()),
    }
}

/// The name of a kind of fault.
fn a_kind(text: &str) -> Result<String, String> {
    let known = faults::KINDS.iter().any(|kind| kind.name == text);
    if known { Ok(text.to_owned()) } else { Err("no kind of fault has that name".to_owned()) }
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    match arguments.inside {
        Some(seconds) => run::inside(&arguments, seconds),
        None => house::rounds(&arguments),
    }
}

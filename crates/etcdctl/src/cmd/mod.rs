//! The commands, one file each.
//!
//! A file declares what the command is called and takes ([`Verb`]), checks the
//! arguments, asks the cluster, and hands the answer to the style. Arguments are
//! checked before anything is sent, in the order etcdctl checks them.

pub mod absent;
pub mod alarm;
pub mod auth;
pub mod compaction;
pub mod completion;
pub mod del;
pub mod elect;
pub mod endpoint;
pub mod get;
pub mod lease;
pub mod lock;
pub mod member;
pub mod move_leader;
pub mod options;
pub mod put;
pub mod turn;
pub mod txn;
pub mod version;
pub mod watch;

use clap::ArgMatches;

use crate::fail::Result;
use crate::verb::{Rest, Verb};

/// Runs the command at the end of this path.
pub async fn run(path: &[&'static Verb], matches: &ArgMatches) -> Result<()> {
    let names: Vec<&str> = path.iter().map(|verb| verb.name()).collect();
    if path.iter().any(|verb| verb.rest == Rest::Anything) {
        return absent::run(&names);
    }
    match names.as_slice() {
        ["get"] => get::run(matches).await,
        ["put"] => put::run(matches).await,
        ["del"] => del::run(matches).await,
        ["txn"] => txn::run(matches).await,
        ["compaction"] => compaction::run(matches).await,
        ["watch"] => watch::run(matches).await,
        ["lease", "grant"] => lease::grant(matches).await,
        ["lease", "revoke"] => lease::revoke(matches).await,
        ["lease", "timetolive"] => lease::time_to_live(matches).await,
        ["lease", "list"] => lease::list(matches).await,
        ["lease", "keep-alive"] => lease::keep_alive(matches).await,
        ["member", "list"] => member::list(matches).await,
        ["endpoint", "health"] => endpoint::health(matches).await,
        ["endpoint", "status"] => endpoint::status(matches).await,
        ["endpoint", "hashkv"] => endpoint::hash_kv(matches).await,
        ["auth", "status"] => auth::status(matches).await,
        ["alarm", "disarm"] => alarm::disarm(matches).await,
        ["alarm", "list"] => alarm::list(matches).await,
        ["move-leader"] => move_leader::run(matches).await,
        ["lock"] => lock::run(matches).await,
        ["elect"] => elect::run(matches).await,
        ["completion"] => completion::run(matches),
        ["version"] => version::run(),
        ["options"] => options::run(),
        _ => unreachable!("every verb has a line here: {names:?}"),
    }
}

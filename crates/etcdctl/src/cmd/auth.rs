//! `auth`: whether authentication is on. Switching it is not here yet.

use clap::ArgMatches;

use crate::cmd::absent::absent;
use crate::fail::{Failure, Result};
use crate::global::Session;
use crate::print::Answer;
use crate::verb::{Verb, arguments};

/// The commands.
pub const VERB: Verb = Verb::new("auth <enable or disable>", "Enable or disable authentication").verbs(&[
    absent("enable", "Enables authentication"),
    absent("disable", "Disables authentication"),
    Verb::new("status", "Returns authentication status"),
]);

/// `auth status`
pub async fn status(matches: &ArgMatches) -> Result<()> {
    if !arguments(matches).is_empty() {
        return Err(Failure::arguments("auth status command does not accept any arguments"));
    }
    let session = Session::open(matches).await?;
    let response = session.timed().auth_status().await?;
    session.style.show(&Answer::Auth(response))
}

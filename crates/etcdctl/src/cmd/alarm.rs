//! `alarm`: what members have raised. Disarming is not here yet.

use clap::ArgMatches;

use crate::cmd::absent::absent;
use crate::fail::Result;
use crate::global::Session;
use crate::print::Answer;
use crate::verb::Verb;

/// The commands.
pub const VERB: Verb = Verb::new("alarm <subcommand>", "Alarm related commands")
    .verbs(&[absent("disarm", "Disarms all alarms"), Verb::new("list", "Lists all alarms")]);

/// `alarm list`
pub async fn list(matches: &ArgMatches) -> Result<()> {
    let session = Session::open(matches).await?;
    let response = session.timed().alarm_list().await?;
    session.style.show(&Answer::Alarms(response))
}

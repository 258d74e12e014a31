//! `alarm`: what members have raised, and that it is over.

use clap::ArgMatches;
use proto::etcdserverpb::alarm_request::AlarmAction;
use proto::etcdserverpb::{AlarmRequest, AlarmResponse};

use crate::fail::{Failure, Result};
use crate::global::Session;
use crate::print::Answer;
use crate::verb::{Verb, arguments};

/// The commands.
pub const VERB: Verb = Verb::new("alarm <subcommand>", "Alarm related commands")
    .verbs(&[Verb::new("disarm", "Disarms all alarms"), Verb::new("list", "Lists all alarms")]);

/// `alarm list`
pub async fn list(matches: &ArgMatches) -> Result<()> {
    no_arguments(matches, "list")?;
    let session = Session::open(matches).await?;
    let response = session.timed().alarm_list().await?;
    session.style.show(&Answer::Alarms(response))
}

/// `alarm disarm`: each alarm there is, one after the other, as etcd's client does it. What is shown comes of several answers
/// and has no header.
pub async fn disarm(matches: &ArgMatches) -> Result<()> {
    no_arguments(matches, "disarm")?;
    let session = Session::open(matches).await?;
    let client = session.timed();
    let mut gone = AlarmResponse::default();
    for raised in client.alarm_list().await?.alarms {
        let action = AlarmAction::Deactivate.into();
        let request = AlarmRequest { action, member_id: raised.member_id, alarm: raised.alarm };
        gone.alarms.extend(client.alarm(request).await?.alarms);
    }
    session.style.show(&Answer::Alarms(gone))
}

fn no_arguments(matches: &ArgMatches, verb: &str) -> Result<()> {
    match arguments(matches).is_empty() {
        true => Ok(()),
        false => Err(Failure::arguments(format!("alarm {verb} command accepts no arguments"))),
    }
}

//! `move-leader`: makes another member lead.

use clap::ArgMatches;

use crate::fail::{Failure, Result};
use crate::global::Session;
use crate::go::number::parse_uint;
use crate::print::Answer;
use crate::verb::{Verb, arguments};

/// The command.
pub const VERB: Verb =
    Verb::new("move-leader <transferee-member-id>", "Transfers leadership to another etcd cluster member.");

/// Runs it: finds the leader among the endpoints, and asks it.
pub async fn run(matches: &ArgMatches) -> Result<()> {
    let arguments = arguments(matches);
    let [target] = arguments.as_slice() else {
        return Err(Failure::arguments("move-leader command needs 1 argument"));
    };
    let target = parse_uint(target, 16).map_err(Failure::arguments)?;
    let session = Session::open(matches).await?;
    let endpoints = session.client.endpoints();
    for endpoint in endpoints {
        let client = session.timed().at(endpoint)?;
        let status = client.status().await?;
        let member = status.header.unwrap_or_default().member_id;
        if member == status.leader {
            let response = client.move_leader(target).await?;
            let answer = Answer::MoveLeader(member, target, response);
            return session.style.show(&answer);
        }
    }
    let endpoints = endpoints.join(" ");
    Err(Failure::arguments(format!("no leader endpoint given at [{endpoints}]")))
}

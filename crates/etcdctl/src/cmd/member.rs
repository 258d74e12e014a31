//! `member`: who is in the cluster. Changing that is not here yet.

use clap::ArgMatches;
use proto::etcdserverpb::MemberListRequest;

use crate::cmd::absent::absent;
use crate::cmd::get::serializable;
use crate::fail::Result;
use crate::flag::Flag;
use crate::global::Session;
use crate::print::Answer;
use crate::verb::Verb;

const CONSISTENCY: Flag = Flag::text("consistency", "l", "Linearizable(l) or Serializable(s)");

/// The commands.
pub const VERB: Verb = Verb::new("member <subcommand>", "Membership related commands").verbs(&[
    absent("add <memberName> [options]", "Adds a member into the cluster"),
    absent("remove <memberID>", "Removes a member from the cluster"),
    absent("update <memberID> [options]", "Updates a member in the cluster"),
    absent("promote <memberID>", "Promotes a non-voting member in the cluster"),
    Verb {
        long: "\
When --write-out is set to simple, this command prints out comma-separated member lists for each endpoint.
The items in the lists are ID, Status, Name, Peer Addrs, Client Addrs, Is Learner.
",
        ..Verb::new("list", "Lists all members in the cluster").flags(&[CONSISTENCY])
    },
]);

/// `member list`
pub async fn list(matches: &ArgMatches) -> Result<()> {
    let serializable = serializable(&CONSISTENCY.value(matches))?;
    let session = Session::open(matches).await?;
    let request = MemberListRequest { linearizable: !serializable };
    let response = session.timed().member_list(request).await?;
    session.style.show(&Answer::Members(response))
}

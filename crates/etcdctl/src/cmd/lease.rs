//! `lease`: time-bounded ownership of keys.

use clap::ArgMatches;
use proto::etcdserverpb::{LeaseGrantRequest, LeaseTimeToLiveRequest};

use crate::fail::{Exit, Failure, Result};
use crate::flag::Flag;
use crate::global::Session;
use crate::go::number::parse_int;
use crate::out;
use crate::print::{Answer, Format};
use crate::verb::{Verb, arguments};

const KEYS: Flag = Flag::switch("keys", "Get keys attached to this lease");
const ONCE: Flag = Flag::switch("once", "Resets the keep-alive time to its original value and exits immediately");

/// The commands.
pub const VERB: Verb = Verb::new("lease <subcommand>", "Lease related commands").verbs(&[
    Verb::new("grant <ttl>", "Creates leases"),
    Verb::new("revoke <leaseID>", "Revokes leases"),
    Verb::new("timetolive <leaseID> [options]", "Get lease information").flags(&[KEYS]),
    Verb::new("list", "List all active leases"),
    Verb::new("keep-alive [options] <leaseID>", "Keeps leases alive (renew)").flags(&[ONCE]),
]);

/// `lease grant`
pub async fn grant(matches: &ArgMatches) -> Result<()> {
    let arguments = arguments(matches);
    let [ttl] = arguments.as_slice() else {
        let text = "lease grant command needs TTL argument";
        return Err(Failure::arguments(text));
    };
    let bad = |error| Failure::arguments(format!("bad TTL ({error})"));
    let ttl = parse_int(ttl, 10).map_err(bad)?;
    let session = Session::open(matches).await?;
    let request = LeaseGrantRequest { ttl, id: 0 };
    let granted = session.timed().lease_grant(request).await;
    let granted = granted.map_err(|error| Failure::from(error).because("failed to grant lease"))?;
    session.style.show(&Answer::Grant(granted))
}

/// `lease revoke`
pub async fn revoke(matches: &ArgMatches) -> Result<()> {
    let id = id(matches, "lease revoke command needs 1 argument")?;
    let session = Session::open(matches).await?;
    let revoked = session.timed().lease_revoke(id).await;
    let revoked = revoked.map_err(|error| Failure::from(error).because("failed to revoke lease"))?;
    session.style.show(&Answer::Revoke(id, revoked))
}

/// `lease timetolive`
pub async fn time_to_live(matches: &ArgMatches) -> Result<()> {
    let id = id(matches, "lease timetolive command needs lease ID as argument")?;
    let keys = KEYS.is_on(matches);
    let session = Session::open(matches).await?;
    let request = LeaseTimeToLiveRequest { id, keys };
    let response = session.client.lease_time_to_live(request).await;
    let response = response.map_err(bad_connection)?;
    session.style.show(&Answer::TimeToLive(response, keys))
}

/// `lease list`
pub async fn list(matches: &ArgMatches) -> Result<()> {
    let session = Session::open(matches).await?;
    let response = session.client.lease_list().await.map_err(bad_connection)?;
    session.style.show(&Answer::Leases(response))
}

/// `lease keep-alive`
pub async fn keep_alive(matches: &ArgMatches) -> Result<()> {
    let id = id(matches, "lease keep-alive command needs lease ID as argument")?;
    let session = Session::open(matches).await?;
    if ONCE.is_on(matches) {
        let response = session.client.lease_keep_alive_once(id).await;
        let response = response.map_err(bad_connection)?;
        return session.style.show(&Answer::KeepAlive(response));
    }
    let mut renewals = session.client.lease_keep_alive(id);
    while let Some(renewal) = renewals.next().await.map_err(bad_connection)? {
        session.style.show(&Answer::KeepAlive(renewal))?;
    }
    if session.style.format == Format::Simple {
        out::line(&format!("lease {id:016x} expired or revoked."))?;
    }
    Ok(())
}

fn bad_connection(error: client::Error) -> Failure {
    Failure::from(error).exiting(Exit::BadConnection)
}

/// The one argument, an id in hexadecimal.
fn id(matches: &ArgMatches, otherwise: &str) -> Result<i64> {
    let arguments = arguments(matches);
    let [id] = arguments.as_slice() else {
        return Err(Failure::arguments(otherwise));
    };
    parse_int(id, 16).map_err(|error| Failure::arguments(format!("bad lease ID arg ({error}), expecting ID in Hex")))
}

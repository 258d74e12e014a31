//! `compaction`: forgets history.

use clap::ArgMatches;
use proto::etcdserverpb::CompactionRequest;

use crate::fail::{Exit, Failure, Result};
use crate::flag::Flag;
use crate::global::Session;
use crate::go::number::parse_int;
use crate::out;
use crate::verb::{Verb, arguments};

const PHYSICAL: Flag = Flag::switch("physical", "'true' to wait for compaction to physically remove all old revisions");

/// The command.
pub const VERB: Verb =
    Verb::new("compaction [options] <revision>", "Compacts the event history in etcd").flags(&[PHYSICAL]);

/// Runs it.
pub async fn run(matches: &ArgMatches) -> Result<()> {
    let arguments = arguments(matches);
    let [revision] = arguments.as_slice() else {
        return Err(Failure::arguments("compaction command needs 1 argument"));
    };
    let bad = |error| Failure::new(Exit::Error, error);
    let revision = parse_int(revision, 10).map_err(bad)?;
    let session = Session::open(matches).await?;
    let request = CompactionRequest { revision, physical: PHYSICAL.is_on(matches) };
    session.timed().compact(request).await?;
    out::line(&format!("compacted revision {revision}"))
}

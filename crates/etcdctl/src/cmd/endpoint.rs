//! `endpoint`: how each of the endpoints is.
//!
//! Every endpoint is asked by a client of its own, because each speaks for
//! itself.

use std::time::Instant;

use clap::ArgMatches;
use client::Client;
use proto::etcdserverpb::{AlarmType, MemberListRequest, RangeRequest};

use crate::fail::{Exit, Failure, Result, troubles};
use crate::flag::Flag;
use crate::global::Session;
use crate::go;
use crate::log;
use crate::out;
use crate::print::{Answer, Health};
use crate::verb::Verb;

const CLUSTER: Flag = Flag::switch("cluster", "use all endpoints from the cluster member list");
const REV: Flag = Flag::int("rev", "maximum revision to hash (default: latest revision)");

/// The commands.
pub const VERB: Verb = Verb {
    shared: &[CLUSTER],
    ..Verb::new("endpoint <subcommand>", "Endpoint related commands").verbs(&[
        Verb::new(
            "health",
            "Checks the healthiness of endpoints specified in `--endpoints` flag",
        ),
        Verb {
            long: "\
When --write-out is set to simple, this command prints out comma-separated status lists for each endpoint.
The items in the lists are endpoint, ID, version, storage version, db size, in use, percentage not in use, quota, is leader, is learner, raft term, raft index, raft applied index, errors, downgrade target version, downgrade enabled.
",
            ..Verb::new(
                "status",
                "Prints out the status of endpoints specified in `--endpoints` flag",
            )
        },
        Verb::new(
            "hashkv",
            "Prints the KV history hash for each endpoint in --endpoints",
        )
        .flags(&[REV]),
    ])
};

/// `endpoint health`
pub async fn health(matches: &ArgMatches) -> Result<()> {
    let session = Session::open_with(matches, &[CLUSTER]).await?;
    let mut checks = Vec::new();
    for endpoint in endpoints(&session, matches).await? {
        let client = session.timed().at(&endpoint);
        checks.push(tokio::spawn(async move { check(endpoint, client).await }));
    }
    let mut all = Vec::new();
    for check in checks {
        let lost = |error| Failure::new(Exit::Error, error);
        all.push(check.await.map_err(lost)?);
    }
    let unhealthy = all.iter().any(|health| !health.error.is_empty());
    session.style.show(&Answer::Health(all))?;
    if unhealthy {
        return Err(Failure::new(Exit::Error, "unhealthy cluster"));
    }
    Ok(())
}

/// An endpoint is healthy when it answers a linearizable read, allowed or not,
/// and no alarm is raised.
async fn check(endpoint: String, client: client::Result<Client>) -> Health {
    let client = match client {
        Ok(client) => client,
        Err(error) => {
            return Health { endpoint, error: error.to_string(), took: String::new() };
        }
    };
    let begun = Instant::now();
    let read = client.range(RangeRequest { key: "health".into(), ..RangeRequest::default() });
    let error = match read.await {
        Err(error) if !error.says("etcdserver: permission denied") => {
            log::troubles(troubles(&error));
            error.to_string()
        }
        _ => String::new(),
    };
    let took = go::Duration::from(begun.elapsed()).to_string();
    let error = match error.as_str() {
        "" => alarms(&client).await,
        _ => error,
    };
    Health { endpoint, error, took }
}

/// What the raised alarms say; empty when there are none.
async fn alarms(client: &Client) -> String {
    let Ok(response) = client.alarm_list().await else {
        return "Unable to fetch the alarm list".to_owned();
    };
    let name = |alarm| match AlarmType::try_from(alarm) {
        Ok(AlarmType::Nospace) => "NOSPACE ",
        Ok(AlarmType::Corrupt) => "CORRUPT ",
        _ => "UNKNOWN ",
    };
    match response.alarms.as_slice() {
        [] => String::new(),
        alarms => {
            let names: String = alarms.iter().map(|member| name(member.alarm)).collect();
            format!("Active Alarm(s): {names}")
        }
    }
}

/// `endpoint status`
pub async fn status(matches: &ArgMatches) -> Result<()> {
    let session = Session::open_with(matches, &[CLUSTER]).await?;
    let mut all = Vec::new();
    let mut failed = false;
    for endpoint in endpoints(&session, matches).await? {
        let asked = async { session.timed().at(&endpoint)?.status().await };
        match asked.await {
            Ok(response) => all.push((endpoint, response)),
            Err(error) => {
                log::troubles(troubles(&error));
                out::complain(format_args!("Failed to get the status of endpoint {endpoint} ({error})"));
                failed = true;
            }
        }
    }
    session.style.show(&Answer::Status(all))?;
    if failed {
        return Err(Failure::silent(Exit::Error));
    }
    Ok(())
}

/// `endpoint hashkv`
pub async fn hash_kv(matches: &ArgMatches) -> Result<()> {
    let session = Session::open_with(matches, &[CLUSTER]).await?;
    let revision = REV.number(matches);
    let mut all = Vec::new();
    let mut failed = None;
    for endpoint in endpoints(&session, matches).await? {
        let asked = async { session.timed().at(&endpoint)?.hash_kv(revision).await };
        match asked.await {
            Ok(response) => all.push((endpoint, response)),
            Err(error) => {
                log::troubles(troubles(&error));
                out::complain(format_args!("Failed to get the hash of endpoint {endpoint} ({error})"));
                failed = Some(Failure::new(Exit::Error, error));
            }
        }
    }
    session.style.show(&Answer::HashKv(all))?;
    failed.map_or(Ok(()), Err)
}

/// The endpoints given, or those of all members.
async fn endpoints(session: &Session, matches: &ArgMatches) -> Result<Vec<String>> {
    if !session.is_on(&CLUSTER, matches)? {
        return Ok(session.client.endpoints().to_vec());
    }
    let request = MemberListRequest { linearizable: true };
    let listed = session.timed().member_list(request).await;
    let listed = listed.map_err(|error| {
        let what = "failed to fetch endpoints from etcd cluster member list";
        Failure::new(Exit::Error, format!("{what}: {error}")).with_troubles(&error)
    })?;
    let urls = listed.members.into_iter().flat_map(|member| member.client_urls);
    Ok(urls.collect())
}

//! `bench`: how fast a cluster is, and how fast beside etcd.
//!
//! ```text
//!   main ──▶ compare ──▶ cluster ──▶ started        processes
//!     │         │  ├───▶ restart, origin
//!     │         │  └───▶ figure ───▶ report         numbers
//!     └──▶ load ◀┘
//!           └──▶ request, keyspace, grpc, http2     bytes
//! ```
//!
//! `bench load` sends one kind of load to a server that is already there;
//! `bench compare` starts clusters of two programs in turns and compares. Every
//! reply is decoded and doubted. It must never be the bottleneck it measures,
//! so it speaks HTTP/2 by itself, on one thread, as cheaply as it can.

mod cluster;
mod compare;
mod figure;
mod grpc;
mod histogram;
mod http2;
mod keyspace;
mod load;
mod machine;
mod origin;
mod report;
mod request;
mod restart;
mod started;

use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use serde_json::json;

use compare::Plan;
use keyspace::Keyspace;
use load::{Extent, Load};
use request::Kind;

fn main() -> ExitCode {
    let matches = command().get_matches();
    let result = match matches.subcommand() {
        Some(("load", matches)) => run_load(matches),
        Some(("compare", matches)) => run_compare(matches),
        _ => unreachable!("clap asks for a subcommand"),
    };
    started::end_all();
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn option(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(value).help(help)
}

fn count(name: &'static str, default: &'static str, help: &'static str) -> Arg {
    option(name, "N", help).default_value(default).value_parser(value_parser!(u32).range(1..))
}

fn command() -> Command {
    let keys = count("keys", "10000", "How many keys are used");
    let value_bytes = option("value-bytes", "N", "How long values are")
        .default_value("256")
        .value_parser(value_parser!(u32).range(8..=8192));
    let seconds = option("seconds", "N", "How long each load is measured, after its warm-up")
        .default_value("5")
        .value_parser(value_parser!(u32).range(1..));
    let json = option("json", "FILE", "Write everything that was measured there");
    let path = |arg: Arg| arg.required(true).value_parser(value_parser!(PathBuf));
    let kinds = Kind::NAMES.map(|(name, _)| name);
    Command::new("bench")
        .about("Measures a cluster, or two in turns")
        .version(env!("CARGO_PKG_VERSION"))
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(
            Command::new("load")
                .about("Sends one kind of request to a running server and prints rate and latencies")
                .arg(
                    option("endpoints", "HOST:PORT,...", "Where to connect, connections in turn")
                        .default_value("127.0.0.1:2379")
                        .value_delimiter(','),
                )
                .arg(option("kind", "KIND", "What to send").default_value("put").value_parser(kinds))
                .arg(count("connections", "10", "How many connections"))
                .arg(count("in-flight", "100", "How many requests are in flight on each"))
                .args([seconds.clone(), keys.clone(), value_bytes.clone()])
                .arg(
                    option("requests", "N", "End after so many requests, not after a time")
                        .value_parser(value_parser!(u64).range(1..)),
                )
                .arg(
                    Arg::new("no-fill")
                        .long("no-fill")
                        .action(ArgAction::SetTrue)
                        .help("Do not write the keys before reading them, or grant leases before renewing them"),
                )
                .arg(Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print JSON")),
        )
        .subcommand(
            Command::new("compare")
                .about("Starts clusters of ours and of etcd in turns and compares them")
                .arg(path(option("ours", "PATH", "Our etcd")))
                .arg(path(option("real", "PATH", "The real etcd")))
                .arg(count("members", "3", "Members of each cluster"))
                .arg(count("rounds", "5", "How often each takes its turn"))
                .args([seconds, keys, value_bytes])
                .arg(count(
                    "fill",
                    "100000",
                    "Puts before memory is measured, and keys before a member is started again",
                ))
                .arg(option("only", "NAME", "Only this load (may be repeated)").action(ArgAction::Append))
                .arg(
                    option("with", "FLAG", "A further flag for every member of both (may be repeated)")
                        .action(ArgAction::Append)
                        .allow_hyphen_values(true),
                )
                .arg(
                    option("dir", "DIR", "Where data goes [default: target, or the current directory]")
                        .value_parser(value_parser!(PathBuf)),
                )
                .arg(json.value_parser(value_parser!(PathBuf))),
        )
}

/// An argument that has a default or is required.
fn get<T: Clone + Send + Sync + 'static>(matches: &ArgMatches, name: &str) -> T {
    matches.get_one::<T>(name).cloned().expect("clap has a value for it")
}

fn number(matches: &ArgMatches, name: &str) -> usize {
    get::<u32>(matches, name) as usize
}

fn many(matches: &ArgMatches, name: &str) -> Vec<String> {
    matches.get_many(name).into_iter().flatten().cloned().collect()
}

fn run_load(matches: &ArgMatches) -> Result<bool> {
    let strip = |endpoint: String| endpoint.strip_prefix("http://").map(str::to_owned).unwrap_or(endpoint);
    let endpoints: Vec<String> = many(matches, "endpoints").into_iter().map(strip).collect();
    ensure!(!endpoints.iter().any(|endpoint| endpoint.contains("://")), "only plain http:// endpoints can be loaded");
    let kind = Kind::named(&get::<String>(matches, "kind")).expect("clap knows the kinds");
    let keyspace = Rc::new(Keyspace::new(number(matches, "keys"), number(matches, "value-bytes")));
    let (connections, in_flight) = (number(matches, "connections"), number(matches, "in-flight"));
    if let Some(kind) = kind.needs().filter(|_| !matches.get_flag("no-fill")) {
        let fill = Load::fill(kind, keyspace.len() as u64);
        let outcome = load::run(&endpoints[..1], &keyspace, &fill).context("filling")?;
        ensure!(outcome.failures.is_empty(), "filling failed: {:?}", outcome.failures);
    }
    let measured = Duration::from_secs(number(matches, "seconds") as u64);
    let warm_up = Duration::from_secs(1).min(measured / 4);
    let extent = match matches.get_one::<u64>("requests") {
        Some(requests) => Extent::Requests(*requests),
        None => Extent::Time { warm_up, measured },
    };
    let outcome = load::run(&endpoints, &keyspace, &Load { kind, connections, in_flight, extent })?;

    let failed: u64 = outcome.failures.values().sum();
    let parts = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)];
    let latencies = parts.map(|(name, part)| (name, outcome.latencies.quantile(part).as_secs_f64() * 1e6));
    if matches.get_flag("json") {
        let latencies: serde_json::Map<_, _> =
            latencies.iter().map(|(name, us)| ((*name).to_owned(), json!(us))).collect();
        let result = json!({
            "rate": outcome.rate(), "seconds": outcome.seconds, "counted": outcome.latencies.count(),
            "answered": outcome.answered, "failures": outcome.failures, "latencies_us": latencies,
        });
        println!("{result:#}");
    } else {
        println!("{} requests/s over {:.1} s", report::thousands(outcome.rate() as u64), outcome.seconds);
        for (name, microseconds) in latencies {
            println!("{name:<6} {:>10.3} ms", microseconds / 1e3);
        }
        for (words, count) in &outcome.failures {
            println!("FAILED {count} times: {words}");
        }
    }
    Ok(failed == 0)
}

fn run_compare(matches: &ArgMatches) -> Result<bool> {
    started::guard()?;
    compare::run(&Plan {
        ours: get(matches, "ours"),
        etcd: get(matches, "real"),
        members: number(matches, "members"),
        rounds: number(matches, "rounds"),
        measured: Duration::from_secs(number(matches, "seconds") as u64),
        keys: number(matches, "keys"),
        value_bytes: number(matches, "value-bytes"),
        fill: number(matches, "fill") as u64,
        only: many(matches, "only"),
        extra: many(matches, "with"),
        directory: matches.get_one::<PathBuf>("dir").cloned().unwrap_or_else(compare::default_directory),
        json: matches.get_one::<PathBuf>("json").cloned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        command().debug_assert();
        let line = ["bench", "compare", "--ours", "a", "--real", "b", "--only", "range", "--with", "--log-level=warn"];
        let matches = command().try_get_matches_from(line).unwrap();
        let matches = matches.subcommand_matches("compare").unwrap();
        assert_eq!(many(matches, "only"), ["range"]);
        assert_eq!(many(matches, "with"), ["--log-level=warn"]);
        assert_eq!(number(matches, "rounds"), 5);
        assert!(command().try_get_matches_from(["bench", "load", "--kind", "delete"]).is_err());
        assert!(command().try_get_matches_from(["bench", "load", "--connections", "0"]).is_err());
    }
}

//! `cargo x …`: everything a developer does with this project, by one name.
//!
//! `check` is what the test machines run; it never changes a tracked file.
//! `fix` does. Nothing here knows how etcd works.

mod chaos;
mod check;
mod clients;
mod compat;
mod debian;
mod fuzz;
mod real_etcd;
mod rules;
mod shell;
mod tidy;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo x", about = "The project's own commands", disable_version_flag = true)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Everything that must hold: format, lints, sizes and walls, all tests, the real etcd beside ours, simulated clusters, documentation
    Check {
        /// Run only the steps whose name contains this
        #[arg(long)]
        only: Option<String>,
    },
    /// Rewrites what can be rewritten by a tool: format and simple lints
    Fix,
    /// The walls between crates and the sizes of files, from `cargo metadata` and the tree
    Tidy,
    /// Simulated clusters: one seed (replayed with its trace), or many
    Sim {
        /// The seed to replay
        seed: Option<u64>,
        /// How many seeds to run, from 0 on
        #[arg(long)]
        seeds: Option<u64>,
        /// Run until this many minutes have passed
        #[arg(long)]
        minutes: Option<u64>,
        /// With so many members, instead of as many as each seed says
        #[arg(long, requires = "seeds")]
        members: Option<u64>,
        /// Disks rot and are lost on any number of members; right answers or a safe halt are demanded
        #[arg(long, conflicts_with_all = ["minutes", "members"])]
        beyond: bool,
    },
    /// The same load against this cluster and the real etcd, alternating
    Bench {
        /// Arguments for the bench program; see `cargo x bench -- --help`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<String>,
    },
    /// What etcd does, compared with the real etcd and with programs written for it
    Compat {
        /// The seed of the differential suite to replay
        #[arg(long)]
        seed: Option<u64>,
        /// Run the differential suite until this many minutes have passed
        #[arg(long)]
        minutes: Option<u64>,
        /// Only the foreign clients: all, or those whose name contains this
        #[arg(long, num_args = 0..=1, default_missing_value = "", conflicts_with_all = ["seed", "minutes"])]
        clients: Option<String>,
    },
    /// Everything that parses bytes from outside, under libFuzzer
    Fuzz {
        /// How long all targets run together
        #[arg(long, default_value_t = 8)]
        minutes: u64,
        /// Only the targets whose name contains this
        only: Option<String>,
    },
    /// Real processes in namespaces of their own under real faults, and whether they kept their promises
    Chaos {
        /// How long all rounds together take
        #[arg(long)]
        minutes: Option<u64>,
        /// The seed of the first round's schedule
        #[arg(long)]
        seed: Option<u64>,
        /// Three or five members; both in turn if not said
        #[arg(long, value_parser = three_or_five)]
        members: Option<u64>,
    },
    /// Fetches the real etcd that tests and benchmarks compare with, and prints where it lies
    RealEtcd,
}

/// How many members a cluster under faults may have.
fn three_or_five(text: &str) -> Result<u64, String> {
    match text {
        "3" => Ok(3),
        "5" => Ok(5),
        _ => Err("a cluster has 3 or 5 members here".to_owned()),
    }
}

fn main() -> Result<()> {
    match Arguments::parse().task {
        Task::Check { only } => check::check(only.as_deref()),
        Task::Fix => check::fix(),
        Task::Tidy => tidy::tidy(),
        Task::Sim { seed, seeds, beyond: true, .. } => check::sim_beyond(seed, seeds),
        Task::Sim { seed, seeds, minutes, members, beyond: false } => check::sim(seed, seeds, minutes, members),
        Task::Bench { rest } => check::bench(&rest),
        Task::Compat { clients: Some(name), .. } => clients::run(Some(&name)),
        Task::Compat { seed, minutes, clients: None } => compat::compat(compat::Options { seed, minutes }),
        Task::Fuzz { minutes, only } => fuzz::run(minutes, only.as_deref()),
        Task::Chaos { minutes, seed, members } => chaos::run(&[chaos::Options { minutes, seed, members, demand: &[] }]),
        Task::RealEtcd => {
            println!("{}", real_etcd::fetch()?.display());
            Ok(())
        }
    }
}

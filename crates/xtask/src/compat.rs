//! `cargo x compat`: etcd's behaviour, compared with the real thing, step by step.

use crate::{clients, real_etcd, shell};
use anyhow::{Context, Result};
use std::process::Command;

/// What a run was asked to be.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// One seed of the differential suite, replayed.
    pub seed: Option<u64>,
    /// The differential suite goes on so long.
    pub minutes: Option<u64>,
}

type Step = (&'static str, fn(Options) -> Result<()>);

/// In `cargo x check` each of them is a step of its own.
const STEPS: &[Step] = &[("differential", differential), ("clients", |_| clients::run(None))];

/// Runs every step; with a seed only the one that has seeds.
pub fn compat(options: Options) -> Result<()> {
    for (name, step) in STEPS {
        if options.seed.is_some() && *name != "differential" {
            continue;
        }
        println!("── compat: {name}");
        step(options).with_context(|| format!("compat step \"{name}\" failed"))?;
    }
    Ok(())
}

/// The same requests to the real etcd and to ours.
pub fn differential(options: Options) -> Result<()> {
    let real = real_etcd::fetch()?;
    // Optimised, with assertions, as the simulator is.
    shell::run(shell::cargo(&["build", "-q", "--profile", "checked", "-p", "etcd", "-p", "compat", "--bins"]))?;
    let bin = shell::target().join("checked");
    let mut command = Command::new(bin.join("compat"));
    command.arg("--ours").arg(bin.join("etcd")).arg("--real").arg(real.join("etcd"));
    if let Some(seed) = options.seed {
        command.args(["--seed", &seed.to_string()]);
    }
    if let Some(minutes) = options.minutes {
        command.args(["--minutes", &minutes.to_string()]);
    }
    command.current_dir(shell::root());
    shell::run(command)
}

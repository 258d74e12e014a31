//! Running other programs, loudly.

use anyhow::{Context, Result, bail};
use std::path::PathBuf;
use std::process::Command;

/// The root of the project.
pub fn root() -> PathBuf {
    let own = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    own.ancestors().nth(2).map(PathBuf::from).expect("xtask lies two folders below the root")
}

/// Where cargo puts what it builds.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), Into::into)
}

/// `cargo` with these arguments, in the root.
pub fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(root());
    command
}

/// Runs to the end; an exit code other than 0 is an error that repeats the
/// command.
pub fn run(mut command: Command) -> Result<()> {
    let words = format!("{command:?}");
    let status = command.status().with_context(|| format!("cannot start {words}"))?;
    if !status.success() {
        bail!("{words} ended with {status}");
    }
    Ok(())
}

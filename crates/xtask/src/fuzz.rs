//! Each target of `crates/fuzz` under libFuzzer, in turn.
//!
//! What is new is kept in `.cache/fuzz/corpus`, beside the seeds; what breaks a promise is
//! written to `.cache/fuzz/found` and belongs into `crates/fuzz/corpus`, with
//! the fix.

use crate::shell;
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Coverage of every edge, counted in place, and comparisons told; stable
/// rustc has it by LLVM's own options.
const COVERAGE: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1";
/// Longest input that is tried, in bytes.
const BYTES_MAX: u32 = 16_384;
/// Seconds after which one input counts as an endless loop.
const PATIENCE_SECONDS: u32 = 20;

/// Runs all targets, or those whose name contains `only`, for so many minutes
/// together.
pub fn run(minutes: u64, only: Option<&str>) -> Result<()> {
    let names = names()?;
    let chosen: Vec<&String> = names.iter().filter(|name| only.is_none_or(|part| name.contains(part))).collect();
    if chosen.is_empty() {
        bail!("no target is named like that; there are: {}", names.join(", "));
    }
    let target_dir = shell::target().join("fuzz");
    let target = host()?;
    let mut build = shell::cargo(&["build", "-q", "--release", "--bins", "--target", &target]);
    build.arg("--manifest-path").arg(shell::root().join("fuzz").join("Cargo.toml"));
    build.env("CARGO_TARGET_DIR", &target_dir).env("RUSTFLAGS", COVERAGE);
    shell::run(build)?;
    let mut seeds = shell::cargo(&["run", "-q", "-p", "fuzz", "--"]);
    seeds.arg(shell::root().join(".cache").join("fuzz").join("corpus"));
    shell::run(seeds)?;
    let bin = target_dir.join(target).join("release");
    let seconds = (minutes * 60 / chosen.len() as u64).max(1);
    let mut broken = Vec::new();
    for name in &chosen {
        println!("── {name}, {seconds} s");
        if !one(&bin.join(name), name, seconds)? {
            broken.push(name.as_str());
        }
    }
    println!("fuzzing: {} passed, {} failed", chosen.len() - broken.len(), broken.len());
    if !broken.is_empty() {
        bail!("inputs that broke a promise lie in .cache/fuzz/found: {}", broken.join(", "));
    }
    Ok(())
}

/// Runs one target. False when it was broken.
fn one(program: &Path, name: &str, seconds: u64) -> Result<bool> {
    let cache = shell::root().join(".cache").join("fuzz");
    let (corpus, found) = (cache.join("corpus").join(name), cache.join("found"));
    let kept = shell::root().join("crates/fuzz/corpus").join(name);
    for folder in [&corpus, &found] {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    let mut command = Command::new(program);
    command
        .arg(&corpus)
        .args(kept.is_dir().then_some(kept))
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-max_len={BYTES_MAX}"))
        .arg(format!("-timeout={PATIENCE_SECONDS}"))
        .arg(format!("-artifact_prefix={}/{name}-", found.display()))
        .args(["-print_final_stats=1", "-verbosity=0"]);
    let status = command.status().with_context(|| format!("cannot start {}", program.display()))?;
    Ok(status.success())
}

/// The targets, by their programs.
fn names() -> Result<Vec<String>> {
    let folder = shell::root().join("fuzz").join("fuzz_targets");
    let mut names = Vec::new();
    for file in fs::read_dir(&folder)? {
        let path: PathBuf = file?.path();
        names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
    }
    names.sort();
    Ok(names)
}

/// The target that rustc builds for: flags given with it do not reach build
/// scripts.
fn host() -> Result<String> {
    let output = Command::new("rustc").arg("-vV").output().context("cannot ask rustc for its host")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let host = text.lines().find_map(|line| line.strip_prefix("host: ").map(str::to_owned));
    host.context("rustc -vV names no host")
}

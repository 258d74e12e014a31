//! The walls between crates and the sizes of files, held by a tool.

use crate::{rules, shell};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// What each crate of ours may know of ours. What is not here, it must not.
const FLOORS: [(&str, &[&str]); 15] = [
    ("raft", &[]),
    ("disk", &[]),
    ("proto", &[]),
    ("bolt", &[]),
    ("store", &["disk", "proto", "bolt"]),
    ("member", &["raft", "store", "disk", "proto", "bolt"]),
    ("sim", &["member", "store", "raft", "disk", "proto"]),
    ("etcd", &["member", "store", "raft", "disk", "proto"]),
    ("client", &["proto"]),
    ("etcdctl", &["client", "proto"]),
    ("bench", &["client", "proto"]),
    ("compat", &["proto"]),
    ("chaos", &["client", "proto", "sim"]),
    ("fuzz", &["etcd", "member", "store", "raft", "disk", "bolt", "proto"]),
    ("xtask", &[]),
];

/// Crates that must not reach the world, and what would let them.
const PURE: [&str; 7] = ["raft", "disk", "proto", "bolt", "store", "member", "sim"];
const WORLDLY: [&str; 9] = ["tokio", "hyper", "h2", "tonic", "mio", "socket2", "rand", "getrandom", "arc-swap"];

/// A file longer than this says too much.
const LINES_MAX: usize = 800;
/// How many files may be longer than `LINES_MANY`.
const LONG_FILES_MAX: usize = 12;
const LINES_MANY: usize = 600;
/// Half of all files must be at most this long.
const MEDIAN_MAX: usize = 250;

/// Words that no file may hold.
const FORBIDDEN: [(&str, &str); 3] =
    [("todo!(", "finish it"), ("unimplemented!(", "finish it"), ("#[ignore", "a test that does not run is no test")];

/// Checks all of it and names everything that does not hold.
pub fn tidy() -> Result<()> {
    let mut wrong = Vec::new();
    walls(&mut wrong)?;
    clippy_files(&mut wrong);
    sizes(&mut wrong)?;
    rules::check(&mut wrong)?;
    if !wrong.is_empty() {
        bail!("not tidy:\n  {}", wrong.join("\n  "));
    }
    Ok(())
}

fn walls(wrong: &mut Vec<String>) -> Result<()> {
    let output = shell::cargo(&["metadata", "--format-version", "1", "--no-deps"]).output()?;
    let metadata: Value = serde_json::from_slice(&output.stdout).context("cargo metadata speaks JSON")?;
    let floors: BTreeMap<&str, BTreeSet<&str>> =
        FLOORS.iter().map(|(name, may)| (*name, may.iter().copied().collect())).collect();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let name = package["name"].as_str().unwrap_or_default();
        let Some(may) = floors.get(name) else {
            wrong.push(format!("crate {name} has no floor in crates/xtask/src/tidy.rs"));
            continue;
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let on = dependency["name"].as_str().unwrap_or_default();
            let shipped = dependency["kind"].is_null();
            if shipped && floors.contains_key(on) && !may.contains(on) {
                wrong.push(format!("crate {name} must not know {on}"));
            }
            if shipped && PURE.contains(&name) && WORLDLY.contains(&on) {
                wrong.push(format!("crate {name} is pure and must not depend on {on}"));
            }
            if dependency["source"].as_str().is_some_and(|source| source.starts_with("git+")) {
                wrong.push(format!("crate {name}: {on} comes from a git repository"));
            }
        }
    }
    Ok(())
}

/// Pure crates carry the list of what they must not call.
fn clippy_files(wrong: &mut Vec<String>) {
    for name in PURE {
        let path = shell::root().join("crates").join(name).join("clippy.toml");
        if !path.is_file() {
            wrong.push(format!("crates/{name}/clippy.toml is missing: the pure crates name what they must not call"));
        }
    }
}

fn sizes(wrong: &mut Vec<String>) -> Result<()> {
    let mut files = Vec::new();
    rust_files(&shell::root().join("crates"), &mut files)?;
    let mut lengths = Vec::new();
    for path in files {
        let text = fs::read_to_string(&path)?;
        let name = path.strip_prefix(shell::root()).unwrap_or(&path).display().to_string();
        let lines = text.lines().count();
        lengths.push(lines);
        if lines > LINES_MAX {
            wrong.push(format!("{name} has {lines} lines; {LINES_MAX} is the most: split it"));
        }
        if name != "crates/xtask/src/tidy.rs" {
            for (word, advice) in FORBIDDEN {
                if text.contains(word) {
                    wrong.push(format!("{name} holds {word}: {advice}"));
                }
            }
        }
    }
    lengths.sort_unstable();
    let long = lengths.iter().filter(|&&lines| lines > LINES_MANY).count();
    if long > LONG_FILES_MAX {
        wrong.push(format!("{long} files have more than {LINES_MANY} lines; {LONG_FILES_MAX} is the most"));
    }
    let median = lengths.get(lengths.len() / 2).copied().unwrap_or_default();
    if median > MEDIAN_MAX {
        wrong.push(format!("half of all files have more than {median} lines; {MEDIAN_MAX} is the most"));
    }
    Ok(())
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            rust_files(&path, found)?;
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
    Ok(())
}

//! Debian's packages for tests, unpacked into `.cache/debian`: nothing is installed, nothing of the system is changed.

use crate::shell;
use anyhow::{Context, Result, bail};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where Debian's programs lie, and its libraries, below a root.
const PROGRAMS: [&str; 4] = ["usr/sbin", "usr/bin", "sbin", "bin"];
const LIBRARIES: [&str; 4] =
    ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu", "usr/lib/aarch64-linux-gnu", "lib/aarch64-linux-gnu"];

/// The root of what has been unpacked.
pub fn root() -> PathBuf {
    shell::root().join(".cache").join("debian").join("root")
}

/// Downloads packages, with what they need and the system does not have, and unpacks them below [`root`].
pub fn fetch(packages: &[&str]) -> Result<()> {
    let work = shell::root().join(".cache").join("debian").join("work");
    let archives = work.join("cache").join("archives");
    for folder in [&work.join("state").join("lists").join("partial"), &archives.join("partial")] {
        fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    }
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command.arg("-qq").env("DEBIAN_FRONTEND", "noninteractive");
        // Lists, archives and locks of its own; what is installed is only read.
        for (name, folder) in [("Dir::State", "state"), ("Dir::Cache", "cache")] {
            command.arg("-o").arg(format!("{name}={}", work.join(folder).display()));
        }
        command.args(["-o", "Dir::State::status=/var/lib/dpkg/status"]);
        command.args(["-o", "Debug::NoLocking=1", "-o", "APT::Sandbox::User="]);
        command.args(arguments);
        quietly(command)
    };
    apt(&["update"])?;
    apt(&[&["install", "--download-only", "--no-install-recommends", "--yes"], packages].concat())?;
    let part = root().with_extension("part");
    if part.exists() {
        fs::remove_dir_all(&part)?;
    }
    for entry in fs::read_dir(&archives)? {
        let archive = entry?.path();
        if archive.extension().is_some_and(|extension| extension == "deb") {
            let mut unpack = Command::new("dpkg-deb");
            unpack.arg("--extract").arg(&archive).arg(&part);
            quietly(unpack)?;
        }
    }
    if root().exists() {
        fs::remove_dir_all(root())?;
    }
    // A rename at the end: what is unpacked by half is never taken for whole.
    fs::rename(&part, root()).context("nothing was downloaded")?;
    fs::remove_dir_all(work)?;
    Ok(())
}

/// Lets a command find what has been unpacked.
pub fn show(command: &mut Command) -> Result<()> {
    if root().is_dir() {
        for (name, folders) in [("PATH", &PROGRAMS), ("LD_LIBRARY_PATH", &LIBRARIES)] {
            command.env(name, in_front(folders, std::env::var_os(name))?);
        }
    }
    Ok(())
}

/// These folders of [`root`] before what a list has.
fn in_front(folders: &[&str], list: Option<OsString>) -> Result<OsString> {
    let before: Vec<PathBuf> = list.iter().flat_map(std::env::split_paths).collect();
    let ours = folders.iter().map(|folder| root().join(folder)).filter(|folder| folder.is_dir());
    std::env::join_paths(ours.chain(before)).context("the project lies in a folder whose name holds a colon")
}

/// Whether one of these files is there, in the system or unpacked.
pub fn has(files: &[&str]) -> bool {
    let unpacked = |file: &str| root().join(file.trim_start_matches('/')).exists();
    files.iter().any(|file| Path::new(file).exists() || unpacked(file))
}

/// Runs to the end; what it said is in the error.
fn quietly(mut command: Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("cannot start {program}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{program} ended with {}: {}", output.status, said.lines().last().unwrap_or_default());
    }
    Ok(())
}

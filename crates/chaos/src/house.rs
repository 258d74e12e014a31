//! The outside of a run: rounds, each in namespaces of its own.
//!
//! A round is this program again, begun by `unshare` as the first process of a
//! PID namespace, with network and mounts of its own. Nothing in there has a
//! name outside, and when its first process ends the kernel ends all others:
//! nothing is left, however it ends. It ends too when this end of its standard
//! input closes. Only the directory remains, which carries our process id; one
//! whose process is gone is removed by the next run.

use crate::Arguments;
use crate::stage::{is_there, means};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::SystemTime;

/// A round is at most so long: what it remembers must fit into memory.
const ROUND_MAX_MINUTES: u64 = 5;

/// What every round needs.
const TOOLS: [(&str, &str); 5] = [
    ("unshare", "util-linux"),
    ("nsenter", "util-linux"),
    ("mount", "util-linux"),
    ("ip", "iproute2"),
    ("env", "coreutils"),
];

/// Runs all rounds; the first one that breaks a promise is the last.
pub fn rounds(arguments: &Arguments) -> Result<ExitCode> {
    let strict = std::env::var("CI").is_ok_and(|value| value == "true");
    let (means, mut lacks) = means();
    if arguments.guard && (!means.power || means.no_sync.is_none()) {
        lacks.push(
            "the guard: libeatmydata.so (package libeatmydata1) or a disk whose power can go is missing".to_owned(),
        );
    }
    for lack in &lacks {
        println!("left out: {lack}");
    }
    let impossible = missing();
    if let Some(why) = &impossible {
        println!("left out, all of it: {why}");
    }
    if strict && (impossible.is_some() || !lacks.is_empty()) {
        bail!("with CI=true nothing may be left out");
    }
    if impossible.is_some() || (arguments.guard && !lacks.is_empty()) {
        return Ok(ExitCode::SUCCESS);
    }
    remove_leftovers(&arguments.directory)?;
    let own = arguments.directory.join(std::process::id().to_string());
    fs::create_dir_all(&own).with_context(|| format!("cannot create {}", own.display()))?;
    let first = arguments.seed.unwrap_or_else(seed);
    let lengths = if arguments.guard { vec![0] } else { lengths(arguments) };
    for (seed, (turn, minutes)) in (first..).zip(lengths.into_iter().enumerate()) {
        let members = arguments.members.unwrap_or(if turn % 2 == 0 { 3 } else { 5 });
        let again = format!("cargo x chaos --seed {seed} --members {members} --minutes {minutes}");
        let what =
            if arguments.guard { "the guard".to_owned() } else { format!("`{again}` draws this schedule again") };
        println!("seed {seed}: {members} members, {minutes} minutes; {what}");
        let directory = own.join(format!("seed-{seed}"));
        fs::create_dir_all(&directory)?;
        let held = round(arguments, &directory, seed, members, minutes * 60)?;
        if !held || arguments.keep {
            let name = if held { "kept" } else { "failed" };
            let kept = arguments.directory.join(format!("{name}-{}-{seed}", std::process::id()));
            fs::rename(&directory, &kept)?;
            println!("logs, data and history: {}", kept.display());
        }
        if !held {
            fs::remove_dir_all(&own)?;
            return Ok(ExitCode::FAILURE);
        }
    }
    fs::remove_dir_all(&own)?;
    Ok(ExitCode::SUCCESS)
}

/// The lengths of the rounds in minutes, whole ones so that each can be asked
/// for again: at least two rounds, so that both sizes come, unless one was asked for.
fn lengths(arguments: &Arguments) -> Vec<u64> {
    let minutes = arguments.minutes.max(1);
    let least = if arguments.members.is_some() || arguments.seed.is_some() { 1 } else { 2 };
    let rounds = minutes.div_ceil(ROUND_MAX_MINUTES).max(least).min(minutes);
    (0..rounds).map(|round| minutes / rounds + u64::from(round < minutes % rounds)).collect()
}

/// A seed by the clock, small enough to be typed.
fn seed() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    now.as_millis() as u64 % 1_000_000_000
}

/// Why no round is possible here, if none is.
fn missing() -> Option<String> {
    if let Some((tool, package)) = TOOLS.iter().find(|(tool, _)| !is_there(tool)) {
        return Some(format!("{tool} (package {package}) is missing"));
    }
    if !Path::new("/dev/net/tun").exists() {
        return Some("the kernel has no /dev/net/tun".to_owned());
    }
    let tried = unshare().args(["ip", "tuntap", "add", "dev", "tried", "mode", "tun"]).output();
    match tried {
        Ok(output) if output.status.success() => None,
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            Some(format!(
                "namespaces with a TUN device cannot be made (root, or CAP_SYS_ADMIN and CAP_NET_ADMIN): {said}"
            ))
        }
        Err(error) => Some(format!("unshare does not start: {error}")),
    }
}

/// A command in namespaces of its own. Who is not root becomes root in there.
fn unshare() -> Command {
    let mut command = Command::new("unshare");
    command.args(["--fork", "--pid", "--kill-child", "--mount", "--mount-proc", "--net"]);
    if !rustix::process::geteuid().is_root() {
        command.arg("--map-root-user");
    }
    command.arg("--");
    command
}

fn round(arguments: &Arguments, directory: &Path, seed: u64, members: u64, seconds: u64) -> Result<bool> {
    let mut command = unshare();
    command.arg(std::env::current_exe()?);
    command.arg("--etcd").arg(fs::canonicalize(&arguments.etcd).context("the program under test is not there")?);
    command.arg("--directory").arg(fs::canonicalize(directory)?);
    command.args(["--seed", &seed.to_string(), "--members", &members.to_string(), "--inside", &seconds.to_string()]);
    for (given, flag) in [(arguments.guard, "--guard"), (arguments.tell, "--tell"), (arguments.keep, "--keep")] {
        if given {
            command.arg(flag);
        }
    }
    for kind in &arguments.demand {
        command.args(["--demand", kind]);
    }
    // Held open as long as we live.
    let mut child = command.stdin(Stdio::piped()).spawn().context("unshare does not start")?;
    let lifeline = child.stdin.take();
    let status = child.wait()?;
    drop(lifeline);
    Ok(status.success())
}

/// Directories of runs whose process is gone.
fn remove_leftovers(directory: &Path) -> Result<()> {
    let Ok(entries) = fs::read_dir(directory) else { return Ok(()) };
    for entry in entries {
        let path = entry?.path();
        let pid = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse::<u32>().ok());
        if pid.is_some_and(|pid| !PathBuf::from(format!("/proc/{pid}")).exists()) {
            println!("removed what a run that was killed has left: {}", path.display());
            fs::remove_dir_all(path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(words: &str) -> Arguments {
        let fixed = ["chaos", "--etcd", "etcd", "--directory", "d"];
        clap::Parser::parse_from(fixed.into_iter().chain(words.split_whitespace()))
    }

    #[test]
    fn rounds_have_both_sizes_and_a_bound() {
        assert_eq!(lengths(&arguments("")), [1, 1]);
        assert_eq!(lengths(&arguments("--minutes 1")), [1]);
        assert_eq!(lengths(&arguments("--minutes 13")), [5, 4, 4]);
        assert_eq!(lengths(&arguments("--minutes 2 --seed 4")), [2]);
        assert_eq!(lengths(&arguments("--minutes 4 --members 5")), [4]);
    }

    #[test]
    fn clusters_of_other_sizes_are_refused_with_words() {
        for count in ["0", "1", "2", "4", "7", "three"] {
            let words = ["chaos", "--etcd", "etcd", "--directory", "d", "--members", count];
            let error = <Arguments as clap::Parser>::try_parse_from(words).unwrap_err().to_string();
            assert!(error.contains("a cluster has 3 or 5 members here"), "{error}");
        }
        assert_eq!(arguments("--members 3").members, Some(3));
    }

    #[test]
    fn only_what_the_dead_have_left_is_removed() {
        let directory = std::env::temp_dir().join(format!("chaos-leftovers-{}", std::process::id()));
        let own = directory.join(std::process::id().to_string());
        // No process id is as large as that.
        let dead = directory.join("4294967295");
        let kept = directory.join("failed-4294967295-1");
        [&own, &dead, &kept].into_iter().for_each(|path| fs::create_dir_all(path).unwrap());
        remove_leftovers(&directory).unwrap();
        assert!(own.is_dir() && kept.is_dir() && !dead.exists());
        fs::remove_dir_all(directory).unwrap();
    }
}

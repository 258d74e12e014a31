//! Foreign clients: each library's own program in `compat/clients`, run
//! against three members of ours and three of the real etcd.
//!
//! A program knows of no server. What fails only with ours is our bug; what
//! fails with the real etcd too is the program's. A tool that is absent is
//! named and its program left out, but with `CI=true` that is a failure.

mod cluster;
mod prepare;

use crate::{real_etcd, shell};
use anyhow::{Context, Result, bail};
use cluster::Cluster;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// One program: how it is called here, the tools that it needs, and what
/// fetches and builds it.
pub struct Foreign {
    name: &'static str,
    needs: &'static [&'static str],
    prepare: fn(&Path) -> Result<Command>,
}

const ALL: [Foreign; 8] = [
    Foreign { name: "go-3.7", needs: &["go"], prepare: |cache| prepare::go(cache, "go", "go.mod") },
    Foreign { name: "go-3.6", needs: &["go"], prepare: |cache| prepare::go(cache, "go", "go-3.6.mod") },
    Foreign { name: "go-3.5", needs: &["go"], prepare: |cache| prepare::go(cache, "go", "go-3.5.mod") },
    Foreign { name: "go-3.5.0", needs: &["go"], prepare: |cache| prepare::go(cache, "go-first", "go.mod") },
    Foreign { name: "rust", needs: &[], prepare: prepare::rust },
    Foreign { name: "python", needs: &["python3"], prepare: prepare::python },
    Foreign { name: "node", needs: &["node", "npm"], prepare: prepare::node },
    Foreign { name: "java", needs: &["java", "javac", "mvn"], prepare: prepare::java },
];

/// A program that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(150);

/// Runs every program, or those whose name contains `only`, against both
/// servers.
pub fn run(only: Option<&str>) -> Result<()> {
    let real = real_etcd::fetch()?.join("etcd");
    shell::run(shell::cargo(&["build", "-q", "-p", "etcd"]))?;
    let ours = shell::target().join("debug").join("etcd");
    let cache = shell::root().join(".cache").join("clients");
    let chosen: Vec<&Foreign> = ALL.iter().filter(|one| only.is_none_or(|part| one.name.contains(part))).collect();
    if chosen.is_empty() {
        let names: Vec<&str> = ALL.iter().map(|one| one.name).collect();
        bail!("no client is named like that; there are: {}", names.join(", "));
    }
    let (mut passed, mut failed, mut absent) = (0, Vec::new(), 0);
    for one in chosen {
        if let Some(tool) = one.needs.iter().find(|tool| !is_there(tool)) {
            if std::env::var("CI").is_ok_and(|value| value == "true") {
                bail!("{tool} is absent, and with it the client {}: CI runs them all", one.name);
            }
            println!("{}: left out, {tool} is absent", one.name);
            absent += 1;
            continue;
        }
        let started = Instant::now();
        let program = (one.prepare)(&cache).with_context(|| format!("cannot prepare the client {}", one.name))?;
        let prepared = started.elapsed();
        let errors = both(one.name, &program, &ours, &real)?;
        let times = format!(
            "{:.0} s after {:.0} s to prepare",
            (started.elapsed() - prepared).as_secs_f64(),
            prepared.as_secs_f64()
        );
        if errors.is_empty() {
            println!("{}: passed, {times}", one.name);
            passed += 1;
        } else {
            println!("{}: FAILED, {times}\n{}", one.name, errors.join("\n"));
            failed.push(one.name);
        }
    }
    println!("foreign clients: {passed} passed, {} failed, {absent} skipped", failed.len());
    if !failed.is_empty() {
        bail!("foreign clients failed: {}", failed.join(", "));
    }
    Ok(())
}

/// One program against both servers at once; what went wrong.
fn both(name: &str, program: &Command, ours: &Path, real: &Path) -> Result<Vec<String>> {
    let outcome = thread::scope(|scope| {
        let running = [("ours", ours), ("the real etcd", real)].map(|(server, binary)| {
            let command = repeat(program);
            scope.spawn(move || (server, against(&format!("{name} against {server}"), binary, command)))
        });
        running.map(|one| one.join().expect("a runner does not panic"))
    });
    let real_fails = outcome[1].1.is_err();
    let mut errors = Vec::new();
    for (server, result) in outcome {
        if let Err(error) = result {
            errors.push(format!("  against {server}: {error:#}"));
        }
    }
    if real_fails {
        errors.push("  it fails with the real etcd: look at the program first".to_owned());
    }
    Ok(errors)
}

/// Starts a cluster, runs the program to its end.
fn against(title: &str, binary: &Path, mut program: Command) -> Result<()> {
    let directory = shell::target().join("clients").join(title.replace(' ', "-"));
    let cluster = Cluster::start(&directory, binary)?;
    let log = directory.join("program.log");
    program.env("COMPAT_ENDPOINTS", cluster.endpoints()).env("COMPAT_PIDS", cluster.pids());
    let status = to_its_end(program, &log)?;
    drop(cluster);
    let said = fs::read_to_string(&log).unwrap_or_default();
    match status {
        Some(status) if status.success() && said.contains("ok ") => {
            fs::remove_dir_all(&directory)?;
            Ok(())
        }
        Some(status) => bail!("{status}; it said:\n{}members' logs: {}", indent(&said), directory.display()),
        None => bail!("not done after {PATIENCE:?}; it said:\n{}members' logs: {}", indent(&said), directory.display()),
    }
}

/// Runs a program with its output in `log`; none if it took too long and was
/// ended. Its output is a pipe, and the pipe's end is its end.
fn to_its_end(mut program: Command, log: &Path) -> Result<Option<ExitStatus>> {
    let mut file = File::create(log)?;
    let (mut said, says) = io::pipe()?;
    program.stdin(Stdio::null()).stdout(says.try_clone()?).stderr(says);
    let mut child = program.spawn().with_context(|| format!("cannot start {program:?}"))?;
    // The command holds the pipe's other end too; only the child may.
    drop(program);
    let (tell, ended) = mpsc::channel();
    let copier = thread::spawn(move || {
        let copied = io::copy(&mut said, &mut file);
        // Nobody listens any more once the patience is over.
        let _ = tell.send(copied);
    });
    match ended.recv_timeout(PATIENCE) {
        Ok(copied) => {
            copied.with_context(|| format!("cannot write {}", log.display()))?;
            copier.join().expect("copying does not panic");
            Ok(Some(child.wait()?))
        }
        Err(_) => {
            child.kill()?;
            child.wait()?;
            Ok(None)
        }
    }
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("    {line}\n")).collect()
}

/// The same command again; one can be started only where it is owned.
fn repeat(command: &Command) -> Command {
    let mut again = Command::new(command.get_program());
    again.args(command.get_args());
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            again.env(name, value);
        }
    }
    again
}

/// Whether a program of this name lies in the path.
fn is_there(tool: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder: PathBuf| folder.join(tool).is_file())
}

//! A run that is killed leaves nothing behind but its directory, and the next
//! one removes that.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long anything may take here.
const PATIENCE: Duration = Duration::from_secs(30);

/// A member that does nothing at all: the run waits for it to serve.
fn idle(directory: &Path) -> PathBuf {
    let program = directory.join("idle");
    fs::write(&program, "#!/bin/sh\nwhile :; do sleep 600; done\n").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    program
}

/// A run that ends with the test, also when an assertion fails.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Both have no effect on one that has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn run(directory: &Path) -> Running {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chaos"));
    command.arg("--etcd").arg(directory.join("idle")).arg("--directory").arg(directory.join("runs"));
    command.args(["--seed", "1", "--members", "3", "--minutes", "1"]);
    // What it can do without the tools of all faults is enough here.
    command.env_remove("CI");
    Running(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
}

/// Processes whose command line names this directory.
fn processes(directory: &Path) -> Vec<u32> {
    let wanted = directory.display().to_string();
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| line_of(*pid).contains(&wanted)).collect()
}

fn line_of(pid: u32) -> String {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&line).into_owned()
}

/// Loop devices with a file of this directory.
fn loops(directory: &Path) -> Vec<String> {
    let wanted = directory.display().to_string();
    let entries = fs::read_dir("/sys/block").unwrap().flatten();
    let files = entries.filter_map(|entry| fs::read_to_string(entry.path().join("loop/backing_file")).ok());
    files.filter(|file| file.contains(&wanted)).collect()
}

fn until(what: &str, mut look: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !look() {
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} in vain until {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn nothing_is_left_of_a_run_that_was_killed() {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("left-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    let program = idle(&directory);
    // A script's command line begins with its shell.
    let members = || processes(&program).into_iter().filter(|pid| line_of(*pid).starts_with("/bin/sh")).count();
    let mut first = run(&directory);
    let own = directory.join("runs").join(first.0.id().to_string());
    until("three members run, or the run has ended", || members() == 3 || first.0.try_wait().unwrap().is_some());
    if let Some(status) = first.0.try_wait().unwrap() {
        // Where no namespaces can be made all is left out; test machines can.
        assert!(status.success() && std::env::var("CI").is_err(), "{status}");
        fs::remove_dir_all(&directory).unwrap();
        return;
    }
    assert!(own.is_dir());
    first.0.kill().unwrap();
    first.0.wait().unwrap();
    until("all processes have ended", || processes(&directory).is_empty());
    until("no loop device is left", || loops(&directory).is_empty());
    assert!(own.is_dir(), "only the directory is left");

    let mut second = run(&directory);
    until("the directory is removed", || !own.exists());
    second.0.kill().unwrap();
    second.0.wait().unwrap();
    until("all processes have ended", || processes(&directory).is_empty());
    fs::remove_dir_all(&directory).unwrap();
}

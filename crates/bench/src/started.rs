//! Everything this process has started and must end: servers and directories.
//!
//! It is the one thing shared by all threads here, because an interrupt and a
//! panic (which ends a released program at once, without dropping anything)
//! must find it. It ends processes only by the handle it started them with.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use anyhow::{Context, Result};

static STARTED: Mutex<Started> = Mutex::new(Started { children: BTreeMap::new(), directories: Vec::new() });

struct Started {
    children: BTreeMap<u32, Child>,
    directories: Vec<PathBuf>,
}

impl Started {
    fn end(&mut self) {
        for child in self.children.values_mut() {
            // Either may fail only because the child has ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
        self.children.clear();
        for directory in self.directories.drain(..) {
            let _ = fs::remove_dir_all(directory);
        }
    }
}

fn started() -> MutexGuard<'static, Started> {
    STARTED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts a process and returns its id.
pub fn spawn(command: &mut Command) -> Result<u32> {
    // Locked before, so that an interrupt cannot fall between start and note.
    let mut started = started();
    let child = command.spawn().with_context(|| format!("starting {}", command.get_program().display()))?;
    let pid = child.id();
    started.children.insert(pid, child);
    Ok(pid)
}

/// How a process ended, or nothing while it runs.
pub fn ended(pid: u32) -> Option<ExitStatus> {
    started().children.get_mut(&pid).and_then(|child| child.try_wait().ok().flatten())
}

/// Ends one process and waits until it is gone.
pub fn end(pid: u32) {
    let child = started().children.remove(&pid);
    if let Some(mut child) = child {
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// Makes a directory that is to be removed.
pub fn make_directory(path: &Path) -> Result<()> {
    let mut started = started();
    fs::create_dir_all(path).with_context(|| format!("making {}", path.display()))?;
    started.directories.push(path.to_owned());
    Ok(())
}

/// Removes a directory that was made here.
pub fn remove_directory(path: &Path) {
    let _ = fs::remove_dir_all(path);
    started().directories.retain(|made| made != path);
}

/// Ends all processes and removes all directories.
pub fn end_all() {
    started().end();
}

/// Sees to it that an interrupt, a termination and a panic end everything.
pub fn guard() -> Result<()> {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        match STARTED.try_lock() {
            Ok(mut started) => started.end(),
            Err(TryLockError::Poisoned(started)) => started.into_inner().end(),
            // Only where the panic came from within this file.
            Err(TryLockError::WouldBlock) => {}
        }
    }));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("a runtime")?;
    let wait = async move {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminated = signal(SignalKind::terminate())?;
        tokio::select! {
            interrupted = tokio::signal::ctrl_c() => interrupted,
            _ = terminated.recv() => Ok(()),
        }
    };
    let watch = move || {
        if runtime.block_on(wait).is_ok() {
            end_all();
            std::process::exit(130);
        }
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(watch).context("a thread for signals")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_started_is_ended() {
        let pid = spawn(Command::new("sleep").arg("60")).unwrap();
        assert!(ended(pid).is_none());
        end(pid);
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
        end(pid);

        let directory = std::env::temp_dir().join(format!("bench-started-{pid}"));
        make_directory(&directory).unwrap();
        assert!(directory.is_dir());
        remove_directory(&directory);
        assert!(!directory.exists());
        assert!(spawn(&mut Command::new("/nowhere/at/all")).is_err());
    }
}

//! One member: its room, disk, clock, and its process while it runs.

use crate::clock::Clock;
use crate::disk::Disk;
use crate::room::Room;
use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// After a process has ended by itself, until the next one starts.
const AGAIN: Duration = Duration::from_secs(1);

/// One member.
pub struct Member {
    /// From 0 on.
    pub number: usize,
    /// Its network namespace.
    pub room: Room,
    /// Where its data lies.
    pub disk: Disk,
    /// Its wall clock, where one can be moved.
    pub clock: Option<Clock>,
    /// The program, then its arguments.
    pub command: Vec<String>,
    /// More libraries that stand between it and libc.
    pub preload: Vec<PathBuf>,
    /// What it says.
    pub log: PathBuf,
    child: Option<Child>,
    /// Faults that keep it down.
    down: u32,
    /// Faults that have stopped this process.
    frozen: u32,
    /// Faults that have filled its disk: a process that finds no room may end.
    full: u32,
    /// When its process last ended by itself.
    ended: Option<Instant>,
    /// When each process so far began.
    pub births: Vec<Instant>,
    /// Ends that had an excuse.
    pub excused: u32,
}

impl Member {
    /// Without a process yet.
    pub fn new(
        number: usize,
        room: Room,
        disk: Disk,
        clock: Option<Clock>,
        command: Vec<String>,
        log: PathBuf,
    ) -> Member {
        Member {
            number,
            room,
            disk,
            clock,
            command,
            preload: Vec::new(),
            log,
            child: None,
            down: 0,
            frozen: 0,
            full: 0,
            ended: None,
            births: Vec::new(),
            excused: 0,
        }
    }

    /// Whether there is a process.
    pub fn runs(&self) -> bool {
        self.child.is_some()
    }

    /// Starts it.
    pub fn start(&mut self) -> Result<()> {
        assert!(self.child.is_none(), "m{} runs already", self.number + 1);
        let log = File::options().create(true).append(true).open(&self.log)?;
        // `env` becomes the program too.
        let mut command = self.room.enter("env");
        let mut variables = self.clock.as_ref().map_or_else(Vec::new, Clock::environment);
        for library in &self.preload {
            match variables.first_mut() {
                Some(first) => first.push_str(&format!(":{}", library.display())),
                None => variables.push(format!("LD_PRELOAD={}", library.display())),
            }
        }
        command.args(variables).args(&self.command);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("ETCD_")) {
            command.env_remove(name);
        }
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.births.push(Instant::now());
        self.child = Some(command.spawn().context("nsenter does not start")?);
        Ok(())
    }

    /// kill -9, and gone when this returns. Whether there was a process.
    pub fn kill(&mut self) -> bool {
        self.frozen = 0;
        let Some(mut child) = self.child.take() else { return false };
        let _ = child.kill();
        let _ = child.wait();
        true
    }

    /// Killed, and kept down until [`Member::let_up`]. Whether there was a process.
    pub fn hold_down(&mut self) -> bool {
        self.down += 1;
        self.kill()
    }

    /// One fault less that keeps it down; it starts with the last.
    pub fn let_up(&mut self) -> Result<()> {
        assert!(self.down > 0, "who is let up was held down");
        self.down -= 1;
        if self.down == 0 && !self.runs() { self.start() } else { Ok(()) }
    }

    /// Whether no fault holds it any more.
    pub fn is_free(&self) -> bool {
        self.down == 0 && self.frozen == 0 && self.full == 0
    }

    /// Whether a fault has stopped its process.
    pub fn is_frozen(&self) -> bool {
        self.frozen > 0
    }

    /// SIGSTOP. Returns whether there was a process to stop, and which one.
    pub fn freeze(&mut self) -> Option<usize> {
        self.signal(Signal::STOP)?;
        self.frozen += 1;
        Some(self.births.len())
    }

    /// SIGCONT, if it is still the process that was stopped.
    pub fn thaw(&mut self, birth: usize) {
        if self.births.len() == birth && self.frozen > 0 {
            self.frozen -= 1;
            if self.frozen == 0 {
                self.signal(Signal::CONT);
            }
        }
    }

    fn signal(&self, signal: Signal) -> Option<()> {
        let pid = Pid::from_child(self.child.as_ref()?);
        kill_process(pid, signal).ok()
    }

    /// One fault more that has filled its disk: a process may end for want of room.
    pub fn excuse(&mut self) {
        self.full += 1;
    }

    /// One less.
    pub fn no_excuse(&mut self) {
        assert!(self.full > 0, "who has no excuse any more had one");
        self.full -= 1;
    }

    /// Whether its process has ended by itself, what it said last, and whether it
    /// had an excuse. It is down then; nobody keeps it there.
    pub fn ended(&mut self) -> Option<Result<String, String>> {
        let status = self.child.as_mut()?.try_wait().ok()??;
        self.kill();
        self.ended = Some(Instant::now());
        let said = self.last_words(6);
        let excused = self.full > 0 && wants_room(&said);
        let why = match (excused, self.full) {
            (true, _) => "its disk was full",
            (false, 0) => "nothing explains it",
            (false, _) => "its disk was full and that is not what it says",
        };
        let words = format!("m{} ended by itself with {status}, {why}; it said last:\n{said}", self.number + 1);
        if !excused {
            return Some(Err(words));
        }
        self.excused += 1;
        Some(Ok(words))
    }

    /// Starts it if nothing keeps it down. Who ended by itself is given a moment.
    pub fn restart(&mut self) -> Result<()> {
        let too_soon = self.ended.is_some_and(|when| when.elapsed() < AGAIN);
        if self.runs() || self.down > 0 || self.full > 0 || too_soon { Ok(()) } else { self.start() }
    }

    /// How much it has said so far.
    pub fn log_bytes(&self) -> usize {
        fs::metadata(&self.log).map_or(0, |log| log.len() as usize)
    }

    /// Whether it has said, after so many bytes, that a write was refused for want of room.
    pub fn lacked_room_since(&self, bytes: usize) -> bool {
        let said = self.said();
        says_no_room(said.get(bytes..).unwrap_or_default())
    }

    /// All that it has said, each byte that is no letter as one.
    fn said(&self) -> String {
        let bytes = fs::read(&self.log).unwrap_or_default();
        bytes.into_iter().map(|byte| if byte.is_ascii() { char::from(byte) } else { '?' }).collect()
    }

    /// The last lines of its log.
    pub fn last_words(&self, count: usize) -> String {
        let said = self.said();
        let lines: Vec<&str> = said.lines().collect();
        lines[lines.len().saturating_sub(count)..].join("\n")
    }

    /// Lines of its log that tell of a panic.
    pub fn panics(&self) -> Vec<String> {
        self.said().lines().filter(|line| line.contains("panicked at")).map(str::to_owned).collect()
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Whether the last line names missing room, as a process says what it ends of.
fn wants_room(said: &str) -> bool {
    says_no_room(said.lines().next_back().unwrap_or_default())
}

/// Whether this tells of a write that was refused for want of room: in the
/// system's words, in a member's, or in those of its command line.
fn says_no_room(said: &str) -> bool {
    ["No space left on device", "no space left on device", "no storage space"].iter().any(|words| said.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_says_that_room_is_missing_is_excused() {
        assert!(wants_room("begins\nfailed to start etcd: m/log: No space left on device (os error 28)\n"));
        assert!(!wants_room("No space left on device (os error 28)\nfailed: segment 3 is corrupt at 4096"));
        assert!(!wants_room(""));
    }
}

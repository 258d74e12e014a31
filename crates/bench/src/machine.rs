//! What the kernel says of the machine and of a process, out of `/proc`.
//!
//! Reading only. Off Linux every figure is simply absent.

use std::fs;
use std::path::Path;

use serde::Serialize;

/// In what the kernel counts processor time; the same on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// Where a comparison ran.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    pub cores: usize,
    pub processor: Option<String>,
    pub kernel: Option<String>,
    pub memory_bytes: Option<u64>,
    /// The type of the file system the data lies on.
    pub file_system: Option<String>,
}

impl Machine {
    /// This machine, with data in this directory.
    pub fn here(directory: &Path) -> Self {
        let read = |path: &str| fs::read_to_string(path).ok();
        Self {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            processor: read("/proc/cpuinfo").and_then(|text| field(&text, "model name")),
            kernel: read("/proc/sys/kernel/osrelease").map(|text| text.trim().to_owned()),
            memory_bytes: read("/proc/meminfo").and_then(|text| kilobytes(&text, "MemTotal")),
            file_system: read("/proc/self/mounts").and_then(|text| file_system(&text, directory)),
        }
    }
}

/// Resident bytes of a process.
pub fn resident_bytes(pid: u32) -> Option<u64> {
    kilobytes(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?, "VmRSS")
}

/// Bytes a process has had written to disk, or will have.
pub fn written_bytes(pid: u32) -> Option<u64> {
    field(&fs::read_to_string(format!("/proc/{pid}/io")).ok()?, "write_bytes")?.parse().ok()
}

/// Processor time a process has had, in seconds; to the nearest 10 ms.
pub fn process_seconds(pid: u32) -> Option<f64> {
    process_ticks(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Processor time everything on the machine has had, in seconds.
pub fn busy_seconds() -> Option<f64> {
    busy_ticks(&fs::read_to_string("/proc/stat").ok()?)
}

/// `Name:   value` on a line of its own.
fn field(text: &str, name: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        (found.trim() == name).then(|| value.trim().to_owned())
    })
}

fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let value = field(text, name)?;
    Some(value.strip_suffix(" kB")?.trim().parse::<u64>().ok()? * 1024)
}

fn process_ticks(stat: &str) -> Option<f64> {
    // The second field is the command in parentheses, and may hold anything.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let (user, system): (f64, f64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some((user + system) / TICKS_PER_SECOND)
}

fn busy_ticks(stat: &str) -> Option<f64> {
    let first = stat.lines().next()?.strip_prefix("cpu ")?;
    let ticks: Vec<f64> = first.split_ascii_whitespace().map_while(|field| field.parse().ok()).collect();
    // user, nice, system, [idle, iowait,] irq, softirq, steal.
    let busy = [0, 1, 2, 5, 6, 7].iter().filter_map(|index| ticks.get(*index));
    Some(busy.sum::<f64>() / TICKS_PER_SECOND)
}

/// The type of the deepest mount that the directory lies under.
fn file_system(mounts: &str, directory: &Path) -> Option<String> {
    let directory = directory.canonicalize().ok()?;
    let mount = |line: &str| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let (place, kind) = (fields.next()?.to_owned(), fields.next()?.to_owned());
        directory.starts_with(&place).then_some((place.len(), kind))
    };
    mounts.lines().filter_map(mount).max_by_key(|(length, _)| *length).map(|(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_kernel_writes() {
        let status = "Name:\tetcd\nVmHWM:\t  200 kB\nVmRSS:\t  120 kB\n";
        assert_eq!(kilobytes(status, "VmRSS"), Some(120 * 1024));
        assert_eq!(kilobytes(status, "VmSwap"), None);
        let stat = "12 (a) b (c) S 1 12 12 0 -1 4194560 1 0 0 0 150 50 0 0 20 0 9 0 100 1 2";
        assert_eq!(process_ticks(stat), Some(2.0));
        assert_eq!(process_ticks("12 (a) S 1"), None);
        assert_eq!(busy_ticks("cpu  100 0 100 900 50 0 10 0 0 0\ncpu0 1\n"), Some(2.1));
        let mounts = "a / ext4 rw 0 0\nb /proc proc rw 0 0\n";
        assert_eq!(file_system(mounts, Path::new("/proc")).as_deref(), Some("proc"));
        assert_eq!(file_system(mounts, Path::new("/")).as_deref(), Some("ext4"));
    }

    #[test]
    fn this_process_is_somewhere() {
        let pid = std::process::id();
        assert!(resident_bytes(pid).unwrap() > 0);
        assert!(process_seconds(pid).is_some());
        assert!(written_bytes(pid).is_some());
        assert!(busy_seconds().unwrap() > 0.0);
        assert!(Machine::here(Path::new(".")).cores > 0);
    }
}

//! What the kernel says of this process (`process_*`, `os_fd_*`), from `/proc`. Where there is no `/proc` there are no
//! such metrics.

use prometheus::core::Collector;
use prometheus::proto::MetricFamily;
use prometheus::{Counter, Gauge};
use std::fs;

/// Ticks a second of the times in `/proc`: a constant of Linux' interface (USER_HZ).
const TICKS: f64 = 100.0;

/// The families, each with one number.
pub(super) fn families() -> Vec<MetricFamily> {
    let read = |path: &str| fs::read_to_string(path).ok();
    let times = read("/proc/self/stat").as_deref().and_then(times);
    let boot = read("/proc/stat").as_deref().and_then(boot_seconds);
    let status = read("/proc/self/status").unwrap_or_default();
    let limits = read("/proc/self/limits").unwrap_or_default();
    let open = fs::read_dir("/proc/self/fd").ok().map(|entries| entries.count() as f64);
    let open_max = limit(&limits, "Max open files");

    let mut families = Vec::new();
    if let Some((used, _)) = times {
        let counter = Counter::new("process_cpu_seconds_total", "Total user and system CPU time spent in seconds.");
        let counter = counter.expect("the name is valid");
        counter.inc_by(used / TICKS);
        families.extend(counter.collect());
    }
    let started = times.zip(boot).map(|((_, started), boot)| boot + started / TICKS);
    let gauges = [
        ("process_start_time_seconds", "Start time of the process since unix epoch in seconds.", started),
        ("process_resident_memory_bytes", "Resident memory size in bytes.", kilobytes(&status, "VmRSS:")),
        ("process_virtual_memory_bytes", "Virtual memory size in bytes.", kilobytes(&status, "VmSize:")),
        (
            "process_virtual_memory_max_bytes",
            "Maximum amount of virtual memory available in bytes.",
            limit(&limits, "Max address space"),
        ),
        ("process_open_fds", "Number of open file descriptors.", open),
        ("process_max_fds", "Maximum number of open file descriptors.", open_max),
        ("os_fd_used", "The number of used file descriptors.", open),
        ("os_fd_limit", "The file descriptor limit.", open_max),
    ];
    for (name, help, value) in gauges {
        let Some(value) = value else { continue };
        let gauge = Gauge::new(name, help).expect("the name is valid");
        gauge.set(value);
        families.extend(gauge.collect());
    }
    families
}

/// Ticks of CPU used, and ticks from boot to the start of the process.
fn times(stat: &str) -> Option<(f64, f64)> {
    // The second field, the name, is in parentheses and may contain anything.
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks = |field: usize| fields.get(field - 3)?.parse::<f64>().ok();
    Some((ticks(14)? + ticks(15)?, ticks(22)?))
}

/// When the machine was started, seconds since 1970.
fn boot_seconds(stat: &str) -> Option<f64> {
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

/// A line such as `VmRSS:   1234 kB`, in bytes.
fn kilobytes(status: &str, name: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let number: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(number * 1024.0)
}

/// The soft limit of this name; no limit is the largest number, as Prometheus' Go client shows it.
fn limit(limits: &str, name: &str) -> Option<f64> {
    let line = limits.lines().find_map(|line| line.strip_prefix(name))?;
    match line.split_whitespace().next()? {
        "unlimited" => Some(u64::MAX as f64),
        number => number.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_proc() {
        let stat = "77 (a) b) S 1 77 77 0 -1 4194560 1 2 3 4 150 50 0 0 20 0 9 0 1000 1 2";
        assert_eq!(times(stat), Some((200.0, 1000.0)));
        assert_eq!(times("nonsense"), None);
        assert_eq!(boot_seconds("cpu 1\nbtime 1700000000\n"), Some(1_700_000_000.0));
        assert_eq!(kilobytes("Name: x\nVmRSS:\t  12 kB\n", "VmRSS:"), Some(12_288.0));
        let limits = "Limit  Soft Limit\nMax open files            1024                 4096                 files\n\
                      Max address space         unlimited            unlimited            bytes\n";
        assert_eq!(limit(limits, "Max open files"), Some(1024.0));
        assert_eq!(limit(limits, "Max address space"), Some(u64::MAX as f64));
        assert_eq!(limit(limits, "Max cpu time"), None);
    }
}

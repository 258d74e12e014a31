//! What a process uses, as the kernel counts it.

use crate::harness::{self, Cluster, Member};
use std::path::PathBuf;

pub const MIB: u64 = 1 << 20;

/// Forgets the high-water mark: from here on it is counted anew.
pub fn forget_peak(member: &Member) {
    std::fs::write(format!("/proc/{}/clear_refs", member.pid()), "5").expect("a child's counters can be reset");
}

/// The most resident memory since then, in bytes (VmHWM).
pub fn peak(member: &Member) -> u64 {
    member.memory_bytes("VmHWM")
}

/// Resident memory now, in bytes (VmRSS).
pub fn resident(member: &Member) -> u64 {
    member.memory_bytes("VmRSS")
}

/// The program that is looked at, and whether it is only measured.
pub fn program() -> (PathBuf, bool) {
    match std::env::var_os("QUORATE_SCALE_PROGRAM") {
        Some(program) => (program.into(), true),
        None => (harness::our_program(), false),
    }
}

/// One member of it that leads.
pub async fn alone(title: &str) -> Cluster {
    let mut cluster = Cluster::plan_of(title, vec![program().0], &["--unsafe-no-fsync"]);
    cluster.start_all();
    cluster.leader().await;
    cluster
}

/// How many of something there are.
pub fn number(name: &str, usual: usize) -> usize {
    let given = std::env::var(format!("QUORATE_SCALE_{name}"));
    given.map_or(usual, |given| given.parse().expect("QUORATE_SCALE_… is a number"))
}

/// Says what was used, and that it is no more than it may be.
pub fn check(what: &str, bytes: u64, bytes_max: u64) {
    println!("{what}: {} MiB", bytes / MIB);
    assert!(program().1 || bytes <= bytes_max, "{what} took {} MiB, not {}", bytes / MIB, bytes_max / MIB);
}

//! A run is a function of its seed.

use sim::{Settings, run};

#[test]
fn the_same_seed_gives_the_same_run() {
    let mut hashes = Vec::new();
    for seed in [1, 7, 42, 1_000_003] {
        let first = run(Settings::of(seed));
        let second = run(Settings::of(seed));
        assert_eq!(first.trace_hash, second.trace_hash, "seed {seed}");
        assert_eq!(first.happenings, second.happenings, "seed {seed}");
        assert_eq!(first.counts, second.counts, "seed {seed}");
        hashes.push(first.trace_hash);
    }
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len(), 4, "different seeds give different runs");
}

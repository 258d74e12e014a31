//! Chance, for ids and elections: no decision depends on the wall clock, and
//! no id either, which may read the same at two starts.

use std::hash::{BuildHasher, RandomState};

/// A number that differs between members, starts and calls, whatever the
/// clock of the machine says: std's hasher takes its keys from the system.
pub fn seed() -> u64 {
    RandomState::new().hash_one(std::process::id())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    #[test]
    fn draws_differ_also_in_the_bits_that_ids_take() {
        let draws: Vec<u64> = (0..1_000).map(|_| super::seed()).collect();
        let whole: BTreeSet<u64> = draws.iter().copied().collect();
        let taken: BTreeSet<u64> = draws.iter().map(|draw| draw & ((1 << 40) - 1)).collect();
        assert_eq!((whole.len(), taken.len()), (1_000, 1_000));
    }
}

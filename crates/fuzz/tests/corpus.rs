//! Every target over the corpus that is kept, the seeds, and changes of both.

use fuzz::{ALL, Chance, Target};
use std::path::Path;

/// Changed inputs of each target.
const CHANGES: u64 = 3_000;
/// And of the one whose inputs are dozens of calls each.
const CHANGES_OF_CALLS: u64 = 1_000;

/// Inputs that runs under libFuzzer have found worth keeping, and every one
/// that ever broke something.
fn kept(target: Target) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name);
    let Ok(files) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<_> = files.map(|file| file.expect("a file").path()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).expect("the file can be read")).collect()
}

fn run(name: &str) {
    let target = fuzz::target(name);
    let mut inputs = (target.seeds)();
    assert!(!inputs.is_empty(), "{name} has seeds");
    inputs.extend(kept(target));
    for input in &inputs {
        (target.run)(input);
    }
    let mut chance = Chance::new(name.len() as u64);
    for number in 0..if name == "services" { CHANGES_OF_CALLS } else { CHANGES } {
        let from = chance.below(inputs.len());
        let changed = chance.change(&inputs[from], &inputs);
        let outcome = std::panic::catch_unwind(|| (target.run)(&changed));
        assert!(outcome.is_ok(), "{name}: change {number} broke it: {changed:?}");
    }
}

macro_rules! each {
    ($($name:ident)*) => {
        $(#[test] fn $name() { run(stringify!($name)); })*

        #[test]
        fn every_target_is_here() {
            assert_eq!(ALL.map(|target| target.name), [$(stringify!($name)),*]);
        }
    };
}

each! { wal_file wal_frames revisions_file revisions_frames snapshot peer_stream entries services peer_requests flags }

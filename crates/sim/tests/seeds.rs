//! A few runs as plain tests; `cargo x sim` makes many.

use sim::{Settings, run};

#[test]
fn some_seeds_hold() {
    let mut answered = 0;
    for seed in 0..12 {
        answered += run(Settings::of(seed)).counts.answered;
    }
    assert!(answered > 1_000, "{answered} answers");
}

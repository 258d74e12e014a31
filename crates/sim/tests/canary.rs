//! The checkers see what there is to see: every mutant is caught, by one of a few seeds.

use sim::mutant::{ALL, Mutant};

#[test]
fn every_mutant_is_caught() {
    // A caught mutant panics; its words would only hide those of a real test.
    std::panic::set_hook(Box::new(|_| {}));
    let escaped: Vec<Mutant> = ALL
        .into_iter()
        .filter(|&(mutant, stage, within)| !(0..within).any(|seed| stage.catches(mutant, seed).is_some()))
        .map(|(mutant, ..)| mutant)
        .collect();
    drop(std::panic::take_hook());
    assert_eq!(escaped, [], "not caught within the seeds of the table");
}

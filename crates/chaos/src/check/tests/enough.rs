//! A round has something in it.

use super::book::{Book, get, put};
use crate::check::enough;
use crate::history::Outcome;
use std::time::Duration;

/// All of it holds, and there is nothing in it.
#[test]
fn a_round_in_which_nothing_was_acknowledged() {
    let mut book = Book::new();
    for number in 0..50 {
        book.note(put("r/1", &format!("{number}")), Outcome::Refused("no room".to_owned()));
    }
    book.ask(get("r/1"));
    book.progress();
    book.holds();
    let minute = Duration::from_secs(60);
    let wrong = enough::check(&book.history, minute);
    for words in ["0 acknowledged writes", "1 answered linearizable reads", "0 events told"] {
        assert!(wrong.iter().any(|one| one.contains(words)), "{words:?} is not in {wrong:#?}");
    }
    for number in 0..200 {
        book.ask(put("r/1", &format!("more {number}")));
        book.ask(get("r/1"));
    }
    assert_eq!(enough::check(&book.history, minute), Vec::<String>::new());
    assert_eq!(enough::check(&book.history, 5 * minute).len(), 2, "longer rounds have more");
}

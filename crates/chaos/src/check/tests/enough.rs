//! A round has something in it.

use super::book::{Book, get, put};
use crate::check::enough;
use crate::history::{Ask, Outcome};
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
    for words in [
        "0 acknowledged writes",
        "1 answered linearizable reads",
        "0 events told",
        "0 answered renewals",
        "0 renewals asked of leaders that were away",
    ] {
        assert!(wrong.iter().any(|one| one.contains(words)), "{words:?} is not in {wrong:#?}");
    }
    for number in 0..200 {
        book.ask(put("r/1", &format!("more {number}")));
        book.ask(get("r/1"));
        book.ask(Ask::Renew(77));
    }
    assert_eq!(enough::check(&book.history, minute).len(), 1, "no leader was away");
    book.history.asked_away = 20;
    assert_eq!(enough::check(&book.history, minute), Vec::<String>::new());
    assert_eq!(enough::check(&book.history, 5 * minute).len(), 4, "longer rounds have more");
}

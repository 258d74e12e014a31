//! Histories that hold, and the same ones broken on purpose: each break must
//! be found, in words that say what it is.

mod book;
mod enough;
mod leases;
mod lost;
mod made;
mod order;
mod watches;

use super::check;
use book::{Book, get, put, right};

#[test]
fn what_is_right_holds() {
    let book = right();
    book.holds();
    let verdict = check(&book.history);
    assert_eq!((verdict.revisions, verdict.reads), (9, 4));
}

#[test]
fn a_long_history_is_checked_whole() {
    let mut book = Book::new();
    for number in 0..20_000 {
        book.ask(put(&format!("r/{}", number % 10), &format!("{number}")));
        book.ask(get(&format!("r/{}", number % 10)));
    }
    let verdict = check(&book.history);
    assert_eq!((verdict.wrong.len(), verdict.revisions, verdict.reads), (0, 20_001, 20_000));
}

//! A last line below the usage, for who mistyped: etcd's own words say what is wrong, this says what would be right.

use super::table::{FLAGS, Flag};
use super::value::Kind;

/// Flags that etcd had and has no more.
const GONE: [&str; 9] = [
    "debug",
    "discovery",
    "enable-v2",
    "experimental-enable-v2v3",
    "log-package-levels",
    "proxy",
    "proxy-dial-timeout",
    "proxy-failure-wait",
    "proxy-refresh-interval",
];
/// Letters that may be wrong, missing or too many in what is taken for another flag.
const TYPOS_MAX: usize = 2;

/// Of a flag that there is not.
pub(super) fn unknown(name: &str) -> String {
    if GONE.contains(&name) {
        return format!("--{name}: etcd had this flag and has it no more; leave it out");
    }
    let names = FLAGS.iter().flat_map(Flag::names);
    let close = names.map(|known| (distance(name, known), known)).filter(|(far, _)| *far <= TYPOS_MAX).min();
    match close {
        Some((_, known)) => format!("--{name}: did you mean --{known}?"),
        None => "etcd --help lists all flags".to_owned(),
    }
}

/// Of a flag whose value is missing or cannot be read.
pub(super) fn value(flag: &Flag) -> String {
    let takes = match flag.kind {
        Kind::Text | Kind::OneOf(_) | Kind::List => String::new(),
        Kind::Bool => format!(" takes true or false, behind = (--{}=false)", flag.name),
        Kind::Int => " takes a whole number".to_owned(),
        Kind::Uint | Kind::Uint32 => " takes a whole number without a sign or unit".to_owned(),
        Kind::Duration => " takes a time with its unit, such as 500ms, 10s or 1h30m".to_owned(),
        Kind::Urls => " takes URLs such as http://10.0.0.1:2379, with commas between them".to_owned(),
    };
    format!("--{}{takes}: {}", flag.name, flag.doc)
}

/// Of a word behind a switch, which takes its value behind `=` only.
pub(super) fn switch(before: &str, word: &str) -> String {
    format!("a switch takes its value behind =, as in {before}={word}")
}

/// How many letters must be changed, left out or put in to make one of the other.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (number, letter) in one.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], number + 1);
        for (at, wanted) in other.iter().enumerate() {
            let changed = diagonal + usize::from(letter != *wanted);
            diagonal = row[at + 1];
            row[at + 1] = changed.min(row[at] + 1).min(row[at + 1] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_counted() {
        for (one, other, far) in [("", "", 0), ("a", "", 1), ("name", "nane", 1), ("urls", "url", 1), ("abc", "acb", 2)]
        {
            assert_eq!((distance(one, other), distance(other, one)), (far, far), "{one} {other}");
        }
    }

    #[test]
    fn the_flag_that_was_meant_is_found() {
        for (typed, meant) in [
            ("listen-client-url", "listen-client-urls"),
            ("advertise-clients-urls", "advertise-client-urls"),
            ("datadir", "data-dir"),
            ("initial_cluster", "initial-cluster"),
        ] {
            assert_eq!(unknown(typed), format!("--{typed}: did you mean --{meant}?"));
        }
        assert_eq!(unknown("nothing-like-it"), "etcd --help lists all flags");
        assert!(unknown("enable-v2").contains("has it no more"));
        for name in GONE {
            assert!(FLAGS.iter().all(|flag| flag.names().all(|known| known != name)), "--{name} is there");
        }
    }
}

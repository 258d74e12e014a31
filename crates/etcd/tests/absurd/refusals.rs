//! What is refused, and how: `refusals.txt`, a case in each line. What is not there is answered with OK.
//!
//! `ABSURD_UPDATE=1` writes down what ours answers, to be judged before it is kept.

use std::collections::BTreeMap;
use std::path::PathBuf;

pub type Refusals = BTreeMap<String, (String, String)>;

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/absurd/refusals.txt")
}

pub fn read() -> Refusals {
    let text = std::fs::read_to_string(path()).expect("the refusals can be read");
    let line = |line: &str| {
        let parts: Vec<&str> = line.split(" | ").collect();
        let [title, code, words] = parts[..] else { panic!("{line}: not title | code | words") };
        (title.to_owned(), (code.to_owned(), words.to_owned()))
    };
    text.lines().filter(|text| !text.starts_with('#')).map(line).collect()
}

/// What differs from what is written.
pub fn compare(said: &Refusals) -> Vec<String> {
    if std::env::var_os("ABSURD_UPDATE").is_some() {
        let mut lines =
            vec!["# What is refused: the case, the code, the words. Everything else is answered with OK.".to_owned()];
        lines.extend(said.iter().map(|(title, (code, words))| format!("{title} | {code} | {words}")));
        std::fs::write(path(), lines.join("\n") + "\n").expect("the refusals can be written");
        return Vec::new();
    }
    let written = read();
    let gone = written.iter().filter(|(title, _)| !said.contains_key(*title));
    let gone = gone.map(|(title, refusal)| format!("{title}: written as {refusal:?}, answered with OK"));
    let other = said.iter().filter(|(title, refusal)| written.get(*title) != Some(refusal));
    let other = other.map(|(title, refusal)| format!("{title}: {refusal:?}, written as {:?}", written.get(title)));
    gone.chain(other).collect()
}

/// Why a case is not asked of etcd 3.5.1: the name in COMPAT.md. It answers otherwise, or its process ends (sort targets,
/// actions on alarms).
#[cfg(feature = "real-etcd")]
pub fn excluded(title: &str) -> Option<&'static str> {
    // (in the title, the name)
    const EXCLUDED: [(&str, &str); 4] = [
        ("sort_", "sort-option"),
        ("start_revision = -", "watch-negative-start"),
        ("Alarm.action", "alarm-action"),
        ("= no UTF-8", "text-no-utf8"),
    ];
    EXCLUDED.iter().find(|(part, _)| title.contains(part)).map(|(_, name)| *name)
}

//! `docs/rules.md` names a test for every rule: all of them must exist, and every story must be named.

use crate::shell;
use anyhow::{Context, Result};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

const TABLE: &str = "docs/rules.md";
const STORIES: &str = "crates/etcd/testdata";
/// What stands in place of a test where there is nothing to test.
const NOT_THERE: &str = "not there yet";

/// Adds what does not hold to `wrong`.
pub fn check(wrong: &mut Vec<String>) -> Result<()> {
    let text = fs::read_to_string(shell::root().join(TABLE)).context(TABLE)?;
    let mut stories = BTreeSet::new();
    for entry in fs::read_dir(shell::root().join(STORIES)).context(STORIES)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.ends_with(".txt") {
            stories.insert(name);
        }
    }
    look(&text, &stories, &|path| fs::read_to_string(shell::root().join("crates").join(path)).ok(), wrong);
    Ok(())
}

fn look(text: &str, stories: &BTreeSet<String>, read: &dyn Fn(&Path) -> Option<String>, wrong: &mut Vec<String>) {
    let mut unnamed = stories.clone();
    for (number, line) in text.lines().enumerate() {
        let Some(tests) = tests_of(line) else { continue };
        let place = format!("{TABLE}:{}", number + 1);
        let named: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        if named.is_empty() && tests.trim() != NOT_THERE {
            wrong.push(format!("{place}: the rule names no test; \"{NOT_THERE}\" where it is so"));
        }
        for name in named {
            unnamed.remove(name);
            let exists = match name.split_once("::") {
                None => stories.contains(name),
                Some((path, function)) => {
                    read(Path::new(path)).is_some_and(|source| source.contains(&format!("fn {function}(")))
                }
            };
            if !exists {
                wrong.push(format!("{place}: there is no test {name}"));
            }
        }
    }
    wrong.extend(unnamed.iter().map(|story| format!("{TABLE}: the story {story} belongs to no rule")));
}

/// The last column of a row of a table; heads and their lines have none.
fn tests_of(line: &str) -> Option<&str> {
    let row = line.strip_prefix("| ")?.strip_suffix(" |")?;
    let (_, last) = row.rsplit_once(" | ")?;
    (last.trim() != "test").then_some(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(text: &str) -> Vec<String> {
        let stories = BTreeSet::from(["told.txt".to_owned()]);
        let read = |path: &Path| (path == Path::new("a/tests/b.rs")).then(|| "async fn there() {}".to_owned());
        let mut wrong = Vec::new();
        look(text, &stories, &read, &mut wrong);
        wrong
    }

    #[test]
    fn a_table_that_holds() {
        let text =
            "| rule | test |\n|---|---|\n| one \\| two | `told.txt` `a/tests/b.rs::there` |\n| no | not there yet |";
        assert_eq!(wrong(text), [""; 0]);
    }

    #[test]
    fn what_does_not_exist_is_named() {
        let text = "| a | `a/tests/b.rs::gone` |\n| b | `a/tests/c.rs::there` |\n| c | `gone.txt` |\n| d | nobody |";
        assert_eq!(
            wrong(text),
            [
                "docs/rules.md:1: there is no test a/tests/b.rs::gone",
                "docs/rules.md:2: there is no test a/tests/c.rs::there",
                "docs/rules.md:3: there is no test gone.txt",
                "docs/rules.md:4: the rule names no test; \"not there yet\" where it is so",
                "docs/rules.md: the story told.txt belongs to no rule",
            ]
        );
    }
}

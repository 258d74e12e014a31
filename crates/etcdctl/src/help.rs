//! Help, usage, and the list of global flags, in the shape etcdctl 3.7 has.

use std::fmt::Write;

use crate::cli::{GROUPS, HELP_FLAG, below_of};
use crate::flag::{Flag, Kind};
use crate::go;
use crate::verb::{Rest, Verb};

/// Names of commands are padded to this at least.
const NAME_WIDTH_MIN: usize = 11;

/// What `--help` shows.
pub fn help(path: &[&'static Verb]) -> String {
    let about = match path.last() {
        None => "A simple command line client for etcd3.",
        Some(verb) if verb.long.is_empty() => verb.short,
        Some(verb) => verb.long.trim_end(),
    };
    format!(
        "{about}\n\n{}Use \"etcdctl options\" for a list of global command-line options (applies \
         to all commands).\n",
        usage(path)
    )
}

/// What follows a refusal.
pub fn usage(path: &[&'static Verb]) -> String {
    let mut out = String::from("Usage:\n");
    let mut names = vec!["etcdctl"];
    names.extend(path.iter().map(|verb| verb.name()));
    let full_name = names.join(" ");
    let is_group = below_of(path).next().is_some();
    match path.last() {
        Some(verb) if !is_group => {
            let parents = names[..names.len() - 1].join(" ");
            line(&mut out, format_args!("  {parents} {} [flags]", verb.usage));
        }
        _ => line(&mut out, format_args!("  {full_name} [command]")),
    }
    if path.is_empty() {
        for group in GROUPS {
            line(&mut out, format_args!("\n{}", group.title));
            verbs(&mut out, group.verbs.iter());
        }
    } else if is_group {
        out.push_str("\nAvailable Commands:\n");
        verbs(&mut out, below_of(path));
    }
    if let Some(verb) = path.last() {
        let help = format!("help for {}", verb.name());
        let mut own: Vec<(Flag, &str)> = vec![(HELP_FLAG, &help)];
        own.extend(verb.flags.iter().map(|flag| (*flag, flag.help)));
        own.extend(verb.shared.iter().map(|flag| (*flag, flag.help)));
        out.push_str("\nFlags:\n");
        flags(&mut out, own);
        let above = path[..path.len() - 1].iter().flat_map(|verb| verb.shared);
        let above: Vec<(Flag, &str)> = above.map(|flag| (*flag, flag.help)).collect();
        if !above.is_empty() {
            out.push_str("\nGlobal Flags:\n");
            flags(&mut out, above);
        }
    }
    if is_group {
        line(&mut out, format_args!("\nUse \"{full_name} [command] --help\" for more information about a command."));
    }
    out
}

/// A paragraph of flags, sorted by name.
pub fn flags(out: &mut String, mut all: Vec<(Flag, &str)>) {
    all.sort_by_key(|(flag, _)| flag.name);
    let names: Vec<String> = all.iter().map(|(flag, _)| name(flag)).collect();
    let width = names.iter().map(String::len).max().unwrap_or(0);
    for ((flag, help), name) in all.iter().zip(&names) {
        let default = match flag.kind {
            kind if kind.is_zero(flag.default) => String::new(),
            Kind::Text => format!(" (default {})", go::quote(flag.default.as_bytes())),
            Kind::Texts => format!(" (default [{}])", flag.default),
            _ => format!(" (default {})", flag.default),
        };
        line(out, format_args!("{name:width$}   {help}{default}"));
    }
}

fn name(flag: &Flag) -> String {
    let short = match flag.short {
        Some(short) => format!("  -{short}, "),
        None => "      ".to_owned(),
    };
    let kind = match flag.kind.name() {
        "" => String::new(),
        kind => format!(" {kind}"),
    };
    format!("{short}--{}{kind}", flag.name)
}

fn verbs(out: &mut String, verbs: impl Iterator<Item = &'static Verb>) {
    let mut sorted: Vec<&Verb> = verbs.collect();
    sorted.sort_by_key(|verb| verb.name());
    let longest = sorted.iter().map(|verb| verb.name().len()).max();
    let width = longest.unwrap_or(0).max(NAME_WIDTH_MIN);
    for verb in sorted {
        line(out, format_args!("  {:width$} {}", verb.name(), note(verb)));
    }
}

/// The sentence about a command, honest about those that do nothing yet.
fn note(verb: &Verb) -> String {
    match verb.rest {
        Rest::Anything => format!("{} (not implemented yet)", verb.short),
        _ => verb.short.to_owned(),
    }
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    writeln!(out, "{text}").expect("a string takes everything");
}

/// What is said of a command that does not exist.
pub fn unknown_command(word: &str) -> String {
    let quoted = go::quote(word.as_bytes());
    let near: String = GROUPS
        .iter()
        .flat_map(|group| group.verbs)
        .filter(|verb| is_near(word, verb.name()))
        .map(|verb| format!("\t{}\n", verb.name()))
        .collect();
    let suggestion = match near.as_str() {
        "" => String::new(),
        near => format!("\n\nDid you mean this?\n{near}"),
    };
    format!("unknown command {quoted} for \"etcdctl\"{suggestion}\nRun 'etcdctl --help' for usage.")
}

/// Most letters that may differ between a word and a suggestion.
const DISTANCE_MAX: usize = 2;

fn is_near(word: &str, name: &str) -> bool {
    let word = word.to_lowercase();
    name.starts_with(&word) || distance(&word, name) <= DISTANCE_MAX
}

/// Levenshtein's distance.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (above, a) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = above + 1;
        for (at, b) in right.iter().enumerate() {
            let changed = diagonal + usize::from(a != *b);
            diagonal = row[at + 1];
            row[at + 1] = changed.min(row[at] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cmd;

    #[test]
    fn help_of_a_command() {
        let text = help(&[&cmd::put::VERB]);
        let expected = "\
Puts the given key into the store

Inserts value into the store.
";
        assert!(text.starts_with(&expected[..33]), "{text}");
        assert!(text.contains(
            "Usage:\n  etcdctl put [options] <key> <value> (<value> can also be given from stdin) \
             [flags]\n\nFlags:\n"
        ));
        assert!(text.contains("  -h, --help           help for put\n"), "{text}");
        assert!(
            text.contains("      --lease string   lease ID (in hexadecimal) to attach to the key (default \"0\")\n")
        );
        assert!(text.ends_with(
            "\nUse \"etcdctl options\" for a list of global command-line options (applies to all \
             commands).\n"
        ));
    }

    #[test]
    fn help_of_a_group() {
        let text = help(&[&cmd::lease::VERB]);
        assert!(text.starts_with(
            "Lease related commands\n\nUsage:\n  etcdctl lease [command]\n\nAvailable Commands:\n  \
             grant       Creates leases\n"
        ));
        let text = help(&[]);
        assert!(text.contains("\nKey-value commands\n  compaction  Compacts"), "{text}");
        assert!(text.contains("\nUtility commands\n  check"), "{text}");
    }

    #[test]
    fn suggestions_are_near() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "get"), 3);
        let text = unknown_command("gett");
        assert_eq!(
            text,
            "unknown command \"gett\" for \"etcdctl\"\n\nDid you mean this?\n\tget\n\n\
             Run 'etcdctl --help' for usage."
        );
        assert!(!unknown_command("foobar").contains("mean"));
    }
}

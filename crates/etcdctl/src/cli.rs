//! The tree of commands, and finding in it what the command line means.
//!
//! Parsing follows etcdctl's: flags may stand anywhere, a command may be
//! shortened as long as it stays the only one, and refusals have the words that
//! scripts know. `clap` does the parsing; its own words are never shown.

use std::ffi::{OsStr, OsString};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgMatches, Command};

use crate::cmd;
use crate::flag::{Flag, Kind};
use crate::global::GLOBAL;
use crate::verb::{Rest, Verb, arguments};

/// Commands under a title, as help shows them.
#[derive(Debug)]
pub struct Group {
    /// The title.
    pub title: &'static str,
    /// The commands.
    pub verbs: &'static [Verb],
}

/// All commands.
pub const GROUPS: &[Group] = &[
    Group {
        title: "Key-value commands",
        verbs: &[
            cmd::get::VERB,
            cmd::put::VERB,
            cmd::del::VERB,
            cmd::txn::VERB,
            cmd::compaction::VERB,
            cmd::watch::VERB,
            cmd::lease::VERB,
        ],
    },
    Group {
        title: "Cluster maintenance commands",
        verbs: &[
            cmd::member::VERB,
            cmd::endpoint::VERB,
            cmd::alarm::VERB,
            cmd::move_leader::VERB,
            cmd::absent::DEFRAG,
            cmd::absent::SNAPSHOT,
            cmd::absent::DOWNGRADE,
        ],
    },
    Group { title: "Concurrency commands", verbs: &[cmd::lock::VERB, cmd::elect::VERB] },
    Group { title: "Authentication commands", verbs: &[cmd::auth::VERB, cmd::absent::USER, cmd::absent::ROLE] },
    Group {
        title: "Utility commands",
        verbs: &[
            cmd::absent::MAKE_MIRROR,
            cmd::absent::CHECK,
            cmd::completion::VERB,
            cmd::version::VERB,
            cmd::options::VERB,
            HELP,
        ],
    },
];

const HELP: Verb = Verb::new("help [command]", "Help about any command");

/// The flag every command has.
pub const HELP_FLAG: Flag = Flag::switch("help", "").short('h');

/// What the command line means.
#[derive(Debug)]
pub enum Parsed {
    /// Run this command.
    Run(Vec<&'static Verb>, ArgMatches),
    /// Show help for this command; the root when empty.
    Help(Vec<&'static Verb>),
    /// `help` was asked for something that does not exist.
    UnknownTopic(Vec<Vec<u8>>),
    /// No such command.
    UnknownCommand(String),
    /// The command line of this command is wrong, in these words.
    Misused(Vec<&'static Verb>, String),
}

/// For the parser.
pub fn command() -> Command {
    Command::new("etcdctl")
        .no_binary_name(true)
        .disable_help_flag(true)
        .disable_help_subcommand(true)
        .infer_subcommands(true)
        .args_override_self(true)
        .args(GLOBAL.iter().map(|flag| flag.arg().global(true)))
        .arg(HELP_FLAG.arg().global(true))
        .subcommands(all().map(Verb::command))
        .arg(clap::Arg::new("args").num_args(0..).value_parser(clap::value_parser!(OsString)))
}

fn all() -> impl Iterator<Item = &'static Verb> {
    GROUPS.iter().flat_map(|group| group.verbs)
}

/// What these arguments mean; the program's own name is not among them.
pub fn parse(line: &[OsString]) -> Parsed {
    let matches = match command().try_get_matches_from(line) {
        Ok(matches) => matches,
        Err(error) => return misused(line, &error),
    };
    let mut path: Vec<&'static Verb> = Vec::new();
    let mut deepest = &matches;
    while let Some((name, below)) = deepest.subcommand() {
        if path.is_empty() && !arguments(deepest).is_empty() {
            break;
        }
        let verb = below_of(&path).find(|verb| verb.name() == name);
        path.push(verb.expect("the parser knows only our verbs"));
        deepest = below;
    }
    let help = HELP_FLAG.is_on(deepest);
    let Some(last) = path.last() else {
        return match arguments(&matches).first() {
            Some(word) if !help => Parsed::UnknownCommand(String::from_utf8_lossy(word).into_owned()),
            _ => Parsed::Help(path),
        };
    };
    if last.name() == HELP.name() && path.len() == 1 {
        return topic(&arguments(deepest));
    }
    if help || !last.verbs.is_empty() {
        return Parsed::Help(path);
    }
    Parsed::Run(path, deepest.clone())
}

/// The commands right below a path.
pub fn below_of(path: &[&'static Verb]) -> Box<dyn Iterator<Item = &'static Verb>> {
    match path.last() {
        None => Box::new(all()),
        Some(verb) => Box::new(verb.verbs.iter()),
    }
}

/// The one command below `path` that this word names or begins.
fn named(path: &[&'static Verb], word: &OsStr) -> Option<&'static Verb> {
    let word = word.to_str()?;
    if let Some(verb) = below_of(path).find(|verb| verb.name() == word) {
        return Some(verb);
    }
    let mut begun = below_of(path).filter(|verb| verb.name().starts_with(word));
    begun.next().filter(|_| begun.next().is_none())
}

/// What `help words…` is about.
fn topic(words: &[Vec<u8>]) -> Parsed {
    let mut path = Vec::new();
    for word in words {
        let word = String::from_utf8_lossy(word);
        match named(&path, OsStr::new(&*word)) {
            Some(verb) => path.push(verb),
            None => break,
        }
    }
    match words {
        [_, ..] if path.is_empty() => Parsed::UnknownTopic(words.to_vec()),
        _ => Parsed::Help(path),
    }
}

/// The commands that the words of a line name, as far as they do.
fn path_of(line: &[OsString]) -> Vec<&'static Verb> {
    let mut path: Vec<&'static Verb> = Vec::new();
    let mut words = line.iter();
    while let Some(word) = words.next() {
        let text = word.to_string_lossy();
        if text == "--" {
            break;
        }
        if text.starts_with('-') {
            let takes_next = |flag: &&Flag| {
                flag.kind != Kind::Bool
                    && (text == format!("--{}", flag.name)
                        || flag.short.is_some_and(|short| text == format!("-{short}")))
            };
            if GLOBAL.iter().any(|flag| takes_next(&flag)) {
                words.next();
            }
            continue;
        }
        match named(&path, word) {
            Some(verb) => path.push(verb),
            None => break,
        }
    }
    path
}

fn misused(line: &[OsString], error: &clap::Error) -> Parsed {
    let path = path_of(line);
    let text = refusal(&path, line, error);
    Parsed::Misused(path, text)
}

/// pflag's words for what clap refused.
fn refusal(path: &[&Verb], line: &[OsString], error: &clap::Error) -> String {
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        _ => String::new(),
    };
    let argument = context(ContextKind::InvalidArg);
    let value = context(ContextKind::InvalidValue);
    match error.kind() {
        ErrorKind::UnknownArgument => match argument.strip_prefix("--") {
            Some(_) => format!("unknown flag: {argument}"),
            None => {
                let letter = argument.chars().nth(1).unwrap_or('-');
                format!("unknown shorthand flag: '{letter}' in {}", from_letter(line, letter))
            }
        },
        ErrorKind::InvalidValue if value.is_empty() => needs_argument(line, &argument),
        ErrorKind::ValueValidation | ErrorKind::InvalidValue => {
            let quoted = crate::go::quote(value.as_bytes());
            let flag = full_name(path, &argument);
            let why = std::error::Error::source(error).map_or(String::new(), ToString::to_string);
            format!("invalid argument {quoted} for \"{flag}\" flag: {why}")
        }
        _ => {
            let text = error.to_string();
            let first = text.lines().next().unwrap_or_default();
            first.strip_prefix("error: ").unwrap_or(first).to_owned()
        }
    }
}

/// The word with this short flag, from the flag on, as pflag shows it.
fn from_letter(line: &[OsString], letter: char) -> String {
    let words = line.iter().filter_map(|word| word.to_str()?.strip_prefix('-'));
    let mut letters = words.filter(|letters| !letters.starts_with('-'));
    let from = letters.find_map(|letters| letters.find(letter).map(|at| &letters[at..]));
    format!("-{}", from.map_or_else(|| letter.to_string(), str::to_owned))
}

/// A flag stood last, without the value it needs.
fn needs_argument(line: &[OsString], argument: &str) -> String {
    let last = line.last().map_or(String::new(), |word| word.to_string_lossy().into_owned());
    match last.strip_prefix('-') {
        Some(letters) if !letters.starts_with('-') => {
            let letter = letters.chars().next_back().unwrap_or('-');
            format!("flag needs an argument: '{letter}' in {last}")
        }
        _ => {
            let name = argument.split(' ').next().unwrap_or_default();
            format!("flag needs an argument: {name}")
        }
    }
}

/// A flag with its short name in front, as pflag calls it.
fn full_name(path: &[&Verb], argument: &str) -> String {
    let long = argument.split([' ', '=', '[']).next().unwrap_or_default();
    let of_path = path.iter().flat_map(|verb| verb.flags.iter().chain(verb.shared));
    let flag = GLOBAL.iter().chain(of_path).find(|flag| long.strip_prefix("--") == Some(flag.name));
    match flag.and_then(|flag| flag.short) {
        Some(short) => format!("-{short}, {long}"),
        None => long.to_owned(),
    }
}

/// Parses the words of one verb alone, as in a line of `txn`. Or why they are wrong.
pub fn parse_alone(verb: &Verb, words: &[Vec<u8>]) -> Result<ArgMatches, String> {
    use std::os::unix::ffi::OsStringExt;
    let words: Vec<OsString> = words.iter().cloned().map(OsString::from_vec).collect();
    let command = verb.command().no_binary_name(true).args_override_self(true);
    assert!(verb.rest != Rest::Anything, "such a verb is never part of a line");
    command.try_get_matches_from(&words).map_err(|error| refusal(&[verb], &words, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Parsed {
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        parse(&words)
    }

    fn names(path: &[&Verb]) -> String {
        let names: Vec<&str> = path.iter().map(|verb| verb.name()).collect();
        names.join(" ")
    }

    #[test]
    fn the_tree_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn commands_may_be_shortened_while_unique() {
        for (line, expected) in [
            ("get a", "get"),
            ("lea lis", "lease list"),
            ("mem l", "member list"),
            ("--hex endp st -w json", "endpoint status"),
            ("watc", "watch"),
            ("auth enable", "auth enable"),
        ] {
            match parsed(line) {
                Parsed::Run(path, _) => assert_eq!(names(&path), expected, "{line}"),
                other => panic!("{line}: {other:?}"),
            }
        }
        for line in ["e", "foo", "foo get", "l list", "m list x"] {
            match parsed(line) {
                Parsed::UnknownCommand(word) => assert_eq!(line.split(' ').next(), Some(&*word)),
                other => panic!("{line}: {other:?}"),
            }
        }
    }

    #[test]
    fn groups_and_topics_give_help() {
        for (line, expected) in [
            ("lease", "lease"),
            ("lease foo", "lease"),
            ("get -h", "get"),
            ("--help", ""),
            ("help", ""),
            ("help lease grant", "lease grant"),
            ("lease gr --help", "lease grant"),
        ] {
            match parsed(line) {
                Parsed::Help(path) => assert_eq!(names(&path), expected, "{line}"),
                other => panic!("{line}: {other:?}"),
            }
        }
        assert!(matches!(parsed("help foo"), Parsed::UnknownTopic(_)));
    }

    #[test]
    fn refusals_have_known_words() {
        for (line, path, text) in [
            ("get --zzz", "get", "unknown flag: --zzz"),
            ("get -z", "get", "unknown shorthand flag: 'z' in -z"),
            ("lease grant -1", "lease grant", "unknown shorthand flag: '1' in -1"),
            ("get --limit", "get", "flag needs an argument: --limit"),
            ("get a -w", "get", "flag needs an argument: 'w' in -w"),
            (
                "get --limit=x a",
                "get",
                "invalid argument \"x\" for \"--limit\" flag: \
                 strconv.ParseInt: parsing \"x\": invalid syntax",
            ),
            (
                "get --prefix=maybe a",
                "get",
                "invalid argument \"maybe\" for \"--prefix\" flag: \
                 strconv.ParseBool: parsing \"maybe\": invalid syntax",
            ),
            (
                "txn -i=q",
                "txn",
                "invalid argument \"q\" for \"-i, --interactive\" flag: \
                 strconv.ParseBool: parsing \"q\": invalid syntax",
            ),
            (
                "get --command-timeout 5 a",
                "get",
                "invalid argument \"5\" for \"--command-timeout\" flag: \
                 time: missing unit in duration \"5\"",
            ),
        ] {
            match parsed(line) {
                Parsed::Misused(at, refusal) => {
                    assert_eq!(refusal, text, "{line}");
                    assert_eq!(names(&at), path, "{line}");
                }
                other => panic!("{line}: {other:?}"),
            }
        }
    }

    #[test]
    fn flags_stand_anywhere_and_the_last_one_counts() {
        let Parsed::Run(_, matches) = parsed("get --limit 3 a --rev -1 b --limit=0x10 --prefix") else {
            panic!("not understood");
        };
        assert_eq!(arguments(&matches), [b"a", b"b"]);
        assert_eq!(cmd::get::LIMIT.number(&matches), 16);
        assert_eq!(cmd::get::REV.number(&matches), -1);
        assert!(cmd::get::PREFIX.is_on(&matches));
    }

    #[test]
    fn after_two_dashes_all_are_arguments() {
        let Parsed::Run(_, matches) = parsed("put -- -a --b") else {
            panic!("not understood");
        };
        assert_eq!(arguments(&matches), [b"-a".to_vec(), b"--b".to_vec()]);
        let Parsed::Run(_, matches) = parsed("watch a -- echo -n x") else {
            panic!("not understood");
        };
        assert_eq!(arguments(&matches), [b"a"]);
        assert_eq!(crate::verb::program(&matches).len(), 3);
    }
}

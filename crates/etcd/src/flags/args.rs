//! Go's flag syntax: from words to values. Knows only the table.

use std::collections::BTreeMap;

use super::hint;
use super::table::{self, OBSOLETE};
use super::value::{Kind, Value};

/// The command line, taken apart.
pub(super) struct Split {
    /// The last value of every flag that was given.
    pub given: BTreeMap<&'static str, Value>,
    /// `--version` was given.
    pub version: bool,
    /// The first word that is no flag, at which reading stopped.
    pub positional: Option<String>,
    /// The switch right before that word.
    pub switch: Option<String>,
}

/// Why there is no command line to run.
pub(super) enum Stop {
    /// `-h`, `--help`.
    Help,
    /// The words to print before the usage, and those to print after it.
    Wrong { message: String, hint: String },
}

/// Takes the words apart. Flags end at the first word that does not start with `-`, at `-` itself, and after `--`.
pub(super) fn split(arguments: &[String]) -> Result<Split, Stop> {
    let mut split = Split { given: BTreeMap::new(), version: false, positional: None, switch: None };
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        if word == "--" {
            split.switch = None;
            split.positional = words.next().cloned();
            break;
        }
        let Some(body) = word.strip_prefix('-').filter(|body| !body.is_empty()) else {
            split.positional = Some(word.clone());
            break;
        };
        split.switch = None;
        let body = body.strip_prefix('-').unwrap_or(body);
        if body.is_empty() || body.starts_with(['-', '=']) {
            return Err(wrong(format!("bad flag syntax: {word}"), String::new()));
        }
        let (name, inline) = match body.split_once('=') {
            Some((name, text)) => (name, Some(text)),
            None => (body, None),
        };
        read_flag(name, inline, &mut words, &mut split)?;
    }
    Ok(split)
}

fn read_flag<'a>(
    name: &str,
    inline: Option<&'a str>,
    words: &mut std::slice::Iter<'a, String>,
    split: &mut Split,
) -> Result<(), Stop> {
    if matches!(name, "h" | "help") {
        return Err(Stop::Help);
    }
    if OBSOLETE.contains(&name) {
        return Ok(());
    }
    if name == "version" {
        return match Kind::Bool.parse(inline.unwrap_or("true")) {
            Ok(value) => {
                split.version = value == Value::Bool(true);
                Ok(())
            }
            Err(reason) => {
                let given = inline.unwrap_or("");
                Err(wrong(format!("invalid boolean value {given:?} for -{name}: {reason}"), String::new()))
            }
        };
    }
    let Some(flag) = table::find(name) else {
        return Err(wrong(format!("flag provided but not defined: -{name}"), hint::unknown(name)));
    };
    let text = match (inline, flag.kind) {
        (Some(text), _) => text,
        (None, Kind::Bool) => {
            split.switch = Some(format!("--{name}"));
            "true"
        }
        (None, _) => match words.next() {
            Some(text) => text.as_str(),
            None => return Err(wrong(format!("flag needs an argument: -{name}"), hint::value(flag))),
        },
    };
    match flag.kind.parse(text) {
        Ok(value) => {
            split.given.insert(flag.name, value);
            Ok(())
        }
        Err(reason) if flag.kind == Kind::Bool => {
            Err(wrong(format!("invalid boolean value {text:?} for -{name}: {reason}"), hint::value(flag)))
        }
        Err(reason) => Err(wrong(format!("invalid value {text:?} for flag -{name}: {reason}"), hint::value(flag))),
    }
}

fn wrong(message: String, hint: String) -> Stop {
    Stop::Wrong { message, hint }
}

//! The command line and the environment, from one table.
//!
//! [`table::FLAGS`] holds one row per flag: name, kind, default, help group and line, key in the configuration file, and
//! whether it works, is not supported yet or has no effect here. Parsing, help, environment names and the refusal of what
//! we do not do yet are all read from that table, so a flag exists in exactly one place.
//!
//! The syntax is that of Go's `flag` package, which etcd uses: `-x v`, `--x v`, `-x=v`, `--x=v`, and a boolean takes its
//! value only after `=`. The rules fit in one small function ([`args::split`]); a general argument parser would need a
//! translating pass that knows the same table, and would then answer with words other than etcd's.
//!
//! [`parse`] is pure: arguments and environment in, a decision out. It never reads the process, never prints, never exits.

mod args;
mod help;
mod hint;
pub mod table;
mod value;

use std::collections::BTreeMap;
use std::io::Write;

pub use table::{FLAGS, Flag, Group, Key, Status};
pub(crate) use value::parse_bool;
pub use value::{Kind, Value};

use crate::config::Config;
use crate::logging::{Level, Note};

/// What the process was asked to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Run a member. The notes belong in the log, in this order, once logging is set up.
    Run(Box<Config>, Vec<Note>),
    /// `-h`, `--help`: the short usage goes to stderr, the flags to stdout; exit 0.
    Help {
        /// Text for stderr.
        usage: String,
        /// Text for stdout.
        flags: String,
    },
    /// `--version`: the text goes to stdout; exit 0.
    Version(String),
}

/// The process must end before it started.
#[derive(Debug, Clone, PartialEq)]
pub struct Exit {
    /// 2: the command line cannot be parsed. 1: what it says cannot be run.
    pub code: i32,
    /// The reason in one sentence.
    pub message: String,
    /// Plain text for stderr (code 2), else empty.
    pub text: String,
    /// Records for the log (code 1), the last one says why. They are written as JSON, since no format was agreed on.
    pub notes: Vec<Note>,
}

impl Exit {
    /// Writes the reason where etcd writes it, plain on stderr or as log records, and after records once more as a
    /// plain line, as every other refusal to start has one.
    pub fn report(&self) {
        for note in &self.notes {
            crate::logging::emit(note);
        }
        let mut out = std::io::stderr().lock();
        // Without a reader the exit code has to do.
        let _ = match self.text.as_str() {
            "" => writeln!(out, "etcd: {}", self.message),
            text => write!(out, "{text}"),
        };
    }

    /// Etcd's words, the usage, and last, where it is seen, what would be right.
    fn syntax(message: String, hint: &str) -> Self {
        let last = if hint.is_empty() { String::new() } else { format!("{hint}\n") };
        let text = format!("{message}\n{}\n{last}", help::USAGE);
        Exit { code: 2, message, text, notes: Vec::new() }
    }

    fn refused(mut notes: Vec<Note>, message: String) -> Self {
        notes.push(Note::new(Level::Warn, "failed to verify flags").with("error", message.as_str()));
        Exit { code: 1, message, text: String::new(), notes }
    }
}

/// Every flag's value, and which were given rather than left at their default.
#[derive(Debug, Clone)]
pub struct Values {
    given: BTreeMap<&'static str, Value>,
}

impl Values {
    /// Whether the command line or the environment set this flag.
    pub fn is_given(&self, name: &str) -> bool {
        self.given.contains_key(name)
    }

    /// The value given, else the default.
    pub fn get(&self, name: &str) -> Value {
        if let Some(value) = self.given.get(name) {
            return value.clone();
        }
        let flag = table::find(name);
        assert!(flag.is_some(), "no row in the flag table for {name}");
        flag.map(Flag::default_value).unwrap_or(Value::Text(String::new()))
    }
}

/// Reads the command line (without the program's name) and the environment.
///
/// Order of doubts, as etcd has it: syntax and values of flags (exit 2), help, positional arguments, version, environment,
/// then what the values mean together (exit 1).
pub fn parse(arguments: &[String], environment: &[(String, String)]) -> Result<Action, Exit> {
    if let Some(first) = arguments.first()
        && matches!(first.as_str(), "gateway" | "grpc-proxy")
    {
        return Err(Exit::refused(Vec::new(), format!("etcd {first} is not supported yet")));
    }
    let split = match args::split(arguments) {
        Ok(split) => split,
        Err(args::Stop::Help) => {
            return Ok(Action::Help { usage: format!("{}\n", help::USAGE), flags: help::flags() });
        }
        Err(args::Stop::Wrong { message, hint }) => return Err(Exit::syntax(message, &hint)),
    };
    let mut notes = vec![Note::new(Level::Info, "Running: ").with("args", arguments)];
    if let Some(word) = split.positional {
        let switch = split.switch.map_or_else(String::new, |switch| format!(" ({})", hint::switch(&switch, &word)));
        return Err(Exit::refused(notes, format!("{word:?} is not a valid flag{switch}")));
    }
    if split.version {
        return Ok(Action::Version(crate::version::banner()));
    }
    let mut values = Values { given: split.given };
    let mut before = read_environment(environment, &mut values)?;
    before.append(&mut notes);
    let mut notes = before;

    let refusal = check_supported(&values, &mut notes);
    match refusal.and_then(|()| Config::new(&values, &mut notes)) {
        Ok(config) => Ok(Action::Run(Box::new(config), notes)),
        Err(message) => Err(Exit::refused(notes, message)),
    }
}

/// Sets flags from `ETCD_*`. A variable next to its own flag is fatal, an unknown one a warning, an empty one nothing.
fn read_environment(environment: &[(String, String)], values: &mut Values) -> Result<Vec<Note>, Exit> {
    const PREFIX: &str = "ETCD_";
    /// Read elsewhere or without meaning here, and never worth a warning.
    const SILENT: [&str; 2] = ["ETCD_UNSUPPORTED_ARCH", "ETCD_VERIFY"];

    let mut notes = Vec::new();
    let mut wrong = None;
    let from_command_line = values.given.clone();
    for (variable, text) in environment {
        if !variable.starts_with(PREFIX) || SILENT.contains(&variable.as_str()) {
            continue;
        }
        if variable == "ETCD_VERSION" {
            let note = Note::new(Level::Warn, "cannot set special environment variable");
            notes.push(note.with("key", variable.as_str()).with("value", text.as_str()));
            continue;
        }
        let Some(flag) = FLAGS.iter().find(|flag| flag.has_variable(variable)) else {
            let note = Note::new(Level::Warn, "unrecognized environment variable");
            notes.push(note.with("environment-variable", format!("{variable}={text}")));
            continue;
        };
        if from_command_line.contains_key(flag.name) {
            let message = "conflicting environment variable is shadowed by corresponding command-line flag \
                           (either unset environment variable or disable flag))";
            notes.push(Note::new(Level::Fatal, message).with("environment-variable", variable.as_str()));
            return Err(Exit { code: 1, message: format!("{message}: {variable}"), text: String::new(), notes });
        }
        if text.is_empty() {
            continue;
        }
        match flag.kind.parse(text) {
            Ok(value) => {
                values.given.insert(flag.name, value);
                let note = Note::new(Level::Info, "recognized and used environment variable");
                notes.push(note.with("variable-name", variable.as_str()).with("variable-value", flag.shown(text)));
            }
            Err(reason) => wrong = wrong.or(Some(format!("invalid value {text:?} for {variable}: {reason}"))),
        }
    }
    match wrong {
        None => Ok(notes),
        Some(message) => Err(Exit::refused(notes, message)),
    }
}

/// Refuses what would change the member's behaviour and is not built yet; says so of what has no effect here.
fn check_supported(values: &Values, notes: &mut Vec<Note>) -> Result<(), String> {
    for flag in FLAGS {
        let Some(value) = values.given.get(flag.name).filter(|value| **value != flag.default_value()) else {
            continue;
        };
        match flag.status {
            Status::Works => {}
            Status::Later => return Err(format!("--{} is not supported yet", flag.name)),
            Status::Ignored(reason) => {
                let note = Note::new(Level::Warn, "flag has no effect");
                notes.push(note.with("flag", flag.name).with("value", value.to_string()).with("reason", reason));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;

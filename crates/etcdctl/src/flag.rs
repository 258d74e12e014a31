//! Flags, declared once as values: parsing, help and environment read the same
//! table.

use clap::{Arg, ArgAction, ArgMatches};

use crate::go;

/// One flag.
#[derive(Clone, Copy, Debug)]
pub struct Flag {
    /// Long name, without dashes.
    pub name: &'static str,
    /// One-letter name.
    pub short: Option<char>,
    /// Type of the value.
    pub kind: Kind,
    /// Default as one would write it.
    pub default: &'static str,
    /// What help says.
    pub help: &'static str,
}

/// Types of flags, with the names that help gives them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Alone it means true; a value needs `=`.
    Bool,
    /// 64 bits, signed.
    Int,
    /// Like `1.5s`.
    Duration,
    /// Any text.
    Text,
    /// Texts with commas between them; repeated flags add up.
    Texts,
}

impl Kind {
    /// As help calls it; nothing for a switch.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Bool => "",
            Kind::Int => "int",
            Kind::Duration => "duration",
            Kind::Text => "string",
            Kind::Texts => "strings",
        }
    }

    /// Whether a default says nothing that help should repeat.
    pub fn is_zero(self, default: &str) -> bool {
        match self {
            Kind::Bool => default == "false",
            Kind::Int => default == "0",
            Kind::Duration => default == "0s",
            Kind::Text | Kind::Texts => default.is_empty(),
        }
    }
}

impl Flag {
    /// A switch that is off.
    pub const fn switch(name: &'static str, help: &'static str) -> Self {
        Self::new(name, Kind::Bool, "false", help)
    }

    /// A number that is 0.
    pub const fn int(name: &'static str, help: &'static str) -> Self {
        Self::new(name, Kind::Int, "0", help)
    }

    /// A text with this default.
    pub const fn text(name: &'static str, default: &'static str, help: &'static str) -> Self {
        Self::new(name, Kind::Text, default, help)
    }

    /// Any flag without a short name.
    pub const fn new(name: &'static str, kind: Kind, default: &'static str, help: &'static str) -> Self {
        Self { name, short: None, kind, default, help }
    }

    /// The same, with a short name.
    pub const fn short(mut self, short: char) -> Self {
        self.short = Some(short);
        self
    }

    /// For the parser.
    pub fn arg(&self) -> Arg {
        let arg = Arg::new(self.name).long(self.name).short(self.short).help(self.help).allow_hyphen_values(true);
        match self.kind {
            Kind::Bool => arg
                .num_args(0..=1)
                .require_equals(true)
                .default_missing_value("true")
                .value_parser(go::number::parse_bool),
            Kind::Int => arg.value_parser(parse_int),
            Kind::Duration => arg.value_parser(go::Duration::parse),
            Kind::Text => arg,
            Kind::Texts => arg.action(ArgAction::Append),
        }
    }

    /// The value as written, or the default.
    fn written<T: Clone + Send + Sync + 'static>(&self, matches: &ArgMatches) -> Option<T> {
        matches.get_one::<T>(self.name).cloned()
    }

    /// Whether the flag is on. Only for switches.
    pub fn is_on(&self, matches: &ArgMatches) -> bool {
        assert_eq!(self.kind, Kind::Bool);
        self.written(matches).unwrap_or(self.default == "true")
    }

    /// The number. Only for numbers.
    pub fn number(&self, matches: &ArgMatches) -> i64 {
        assert_eq!(self.kind, Kind::Int);
        let default = || parse_int(self.default).expect("the default is a number");
        self.written(matches).unwrap_or_else(default)
    }

    /// The text. Only for texts.
    pub fn value(&self, matches: &ArgMatches) -> String {
        assert_eq!(self.kind, Kind::Text);
        let default = || self.default.to_owned();
        self.written(matches).unwrap_or_else(default)
    }

    /// The duration. Only for durations.
    pub fn duration(&self, matches: &ArgMatches) -> go::Duration {
        assert_eq!(self.kind, Kind::Duration);
        let default = || go::Duration::parse(self.default).expect("the default is a duration");
        self.written(matches).unwrap_or_else(default)
    }
}

fn parse_int(text: &str) -> Result<i64, String> {
    go::number::parse_int(text.as_bytes(), 0)
}

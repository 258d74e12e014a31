//! What a command is called, takes and says about itself, as a value.
//!
//! Each file in `cmd/` declares its [`Verb`]s; the tree of them is the one
//! source for parsing and for help.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use clap::{Arg, ArgMatches, Command, value_parser};

use crate::flag::Flag;

/// A command, or a group of commands.
#[derive(Clone, Copy, Debug)]
pub struct Verb {
    /// Its line in help; the first word is the name.
    pub usage: &'static str,
    /// One sentence, without a full stop.
    pub short: &'static str,
    /// More about it; empty when one sentence is enough.
    pub long: &'static str,
    /// Flags of its own.
    pub flags: &'static [Flag],
    /// Flags that the commands below it have too.
    pub shared: &'static [Flag],
    /// Commands below it.
    pub verbs: &'static [Verb],
    /// What may follow the flags.
    pub rest: Rest,
}

/// What may follow the flags of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// Arguments; `--` only ends the flags.
    Arguments,
    /// Arguments, and after `--` another program's command line.
    Program,
    /// Anything at all, flags included.
    Anything,
}

const ARGUMENTS: &str = "args";
const PROGRAM: &str = "program";

impl Verb {
    /// A command without flags.
    pub const fn new(usage: &'static str, short: &'static str) -> Self {
        Self { usage, short, long: "", flags: &[], shared: &[], verbs: &[], rest: Rest::Arguments }
    }

    /// The same, with these flags.
    pub const fn flags(mut self, flags: &'static [Flag]) -> Self {
        self.flags = flags;
        self
    }

    /// The same, as a group of these.
    pub const fn verbs(mut self, verbs: &'static [Verb]) -> Self {
        self.verbs = verbs;
        self
    }

    /// The name.
    pub fn name(&self) -> &'static str {
        let end = self.usage.find(' ').unwrap_or(self.usage.len());
        &self.usage[..end]
    }

    /// For the parser, with all below it.
    pub fn command(&self) -> Command {
        let mut command = Command::new(self.name())
            .about(self.short)
            .disable_help_flag(true)
            .disable_help_subcommand(true)
            .infer_subcommands(true)
            .args(self.flags.iter().map(Flag::arg))
            .args(self.shared.iter().map(|flag| flag.arg().global(true)))
            .subcommands(self.verbs.iter().map(Verb::command));
        let arguments = Arg::new(ARGUMENTS).num_args(0..).value_parser(value_parser!(OsString));
        command = match self.rest {
            Rest::Arguments => command.arg(arguments),
            Rest::Program => command
                .arg(arguments)
                .arg(Arg::new(PROGRAM).num_args(0..).last(true).value_parser(value_parser!(OsString))),
            Rest::Anything => command.arg(arguments.trailing_var_arg(true).allow_hyphen_values(true).hide(true)),
        };
        command
    }
}

/// What followed the flags, as bytes: keys need not be text.
pub fn arguments(matches: &ArgMatches) -> Vec<Vec<u8>> {
    bytes(matches, ARGUMENTS)
}

/// What followed `--`, for a verb with [`Rest::Program`].
pub fn program(matches: &ArgMatches) -> Vec<Vec<u8>> {
    bytes(matches, PROGRAM)
}

fn bytes(matches: &ArgMatches, id: &str) -> Vec<Vec<u8>> {
    let values = matches.get_many::<OsString>(id).unwrap_or_default();
    values.map(|value| value.clone().into_vec()).collect()
}

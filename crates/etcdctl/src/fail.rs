//! How a command ends when it does not end well.

use std::fmt::Display;

use client::Trouble;

/// etcdctl's exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Anything that has no code of its own.
    Error,
    /// No client could be made, or a lease command got no answer.
    BadConnection,
    /// What was typed at a prompt cannot be understood.
    InvalidInput,
    /// A value, or an output format, that is not supported.
    BadFeature,
    /// Ended by the other side.
    Interrupted,
    /// Reading or writing failed here.
    Io,
    /// Arguments that cannot be understood.
    BadArguments,
    /// Nobody reads what is written: as the end by SIGPIPE is shown by a shell.
    NobodyReads,
    /// The code of the program that was run.
    Program(u8),
}

impl Exit {
    /// The number.
    pub fn code(self) -> u8 {
        match self {
            Exit::Error => 1,
            Exit::BadConnection => 2,
            Exit::InvalidInput => 3,
            Exit::BadFeature => 4,
            Exit::Interrupted => 5,
            Exit::Io => 6,
            Exit::BadArguments => 128,
            Exit::NobodyReads => 128 + 13,
            Exit::Program(code) => code,
        }
    }
}

/// A failed command: its exit code, and what is said about it.
#[derive(Debug, PartialEq, Eq)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// Printed after `Error: `; None when all was said before.
    pub text: Option<String>,
    /// The endpoints that were tried in vain, for the log.
    pub troubles: Vec<Trouble>,
}

/// A result of a command.
pub type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    /// Ends with this code after printing `Error: text`.
    pub fn new(exit: Exit, text: impl Display) -> Self {
        Self { exit, text: Some(text.to_string()), troubles: Vec::new() }
    }

    /// Arguments that cannot be understood.
    pub fn arguments(text: impl Display) -> Self {
        Self::new(Exit::BadArguments, text)
    }

    /// Ends with this code; all was said already.
    pub fn silent(exit: Exit) -> Self {
        Self { exit, text: None, troubles: Vec::new() }
    }

    /// With another exit code.
    pub fn exiting(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }

    /// With the endpoints that the error tells of.
    pub fn with_troubles(mut self, error: &client::Error) -> Self {
        self.troubles = troubles(error).to_vec();
        self
    }

    /// As `what (text)`.
    pub fn because(mut self, what: &str) -> Self {
        self.text = self.text.map(|text| format!("{what} ({text})"));
        self
    }
}

/// The endpoints that were tried in vain.
pub fn troubles(error: &client::Error) -> &[Trouble] {
    match error {
        client::Error::Deadline { troubles } => troubles,
        _ => &[],
    }
}

impl From<client::Error> for Failure {
    fn from(error: client::Error) -> Self {
        Failure::new(Exit::Error, &error).with_troubles(&error)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Failure::new(Exit::Io, error)
    }
}

//! `options`: the flags that every command has.

use crate::fail::Result;
use crate::flag::Flag;
use crate::global::GLOBAL;
use crate::help;
use crate::out;
use crate::verb::Verb;

/// The command.
pub const VERB: Verb = Verb::new("options", "Show the global command-line flags");

/// Runs it.
pub fn run() -> Result<()> {
    let flags: Vec<(Flag, &str)> = GLOBAL.iter().map(|flag| (*flag, flag.help)).collect();
    let mut text = "The following options can be passed to any command:\n\n".to_owned();
    help::flags(&mut text, flags);
    out::write(text.as_bytes())
}

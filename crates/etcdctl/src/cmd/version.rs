//! `version`: which etcdctl this behaves as.

use crate::fail::Result;
use crate::out;
use crate::verb::Verb;

/// The command.
pub const VERB: Verb = Verb::new("version", "Prints the version of etcdctl");

/// The etcdctl whose behaviour this is.
const VERSION: &str = "3.7.1";

/// Runs it. The environment is of no interest.
pub fn run() -> Result<()> {
    out::write(format!("etcdctl version: {VERSION}\nAPI version: {}\n", client::API_VERSION).as_bytes())
}

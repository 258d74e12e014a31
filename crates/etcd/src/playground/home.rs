//! The directory of a playground: one user at a time, and what it was made with.

use disk::{DirectoryLock, OsDisk};
use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The file that says what a directory was made with, in flags.
const MADE_WITH: &str = "made-with";

/// The file with the members' commands.
const COMMANDS: &str = "commands";
/// Names of others that are shown.
const SHOWN_MAX: usize = 3;

/// What the members of a directory depend on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Made {
    /// How many members.
    pub members: u16,
    /// Client port of the first.
    pub base_port: u16,
}

impl Made {
    fn parse(text: &str) -> Option<Made> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let ["--members", members, "--base-port", base_port] = words[..] else { return None };
        Some(Made { members: members.parse().ok()?, base_port: base_port.parse().ok()? })
    }
}

impl fmt::Display for Made {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "--members {} --base-port {}", self.members, self.base_port)
    }
}

/// A directory that is ours until this is dropped.
pub(super) struct Home {
    _lock: DirectoryLock,
    directory: PathBuf,
    made: Made,
}

impl Home {
    /// Takes the directory, made when missing. One in use, or made with other flags, is refused and left as it is.
    pub fn open(directory: &Path, made: Made) -> Result<Home, String> {
        let shown = directory.display();
        let lock = OsDisk::lock(directory).map_err(|error| match error.kind() {
            ErrorKind::ResourceBusy => format!(
                "{shown} is in use by another playground: stop that one, or give another --data-dir and --base-port"
            ),
            _ => format!("cannot use {shown} (--data-dir): {error}"),
        })?;
        let home = Home { _lock: lock, directory: directory.to_owned(), made };
        let path = home.made_with();
        let file = path.display();
        match std::fs::read_to_string(&path) {
            Ok(text) => match Made::parse(&text) {
                Some(before) if before == made => Ok(home),
                Some(before) => Err(format!(
                    "{shown} was made with {before}, not with {made}: give {before}, or another --data-dir"
                )),
                None => Err(format!(
                    "{file} should say what the directory was made with, as \"{made}\", and says {text:?}: mend it, or give another --data-dir"
                )),
            },
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let count = members_in(directory)?;
                if count > 0 && count != made.members {
                    return Err(format!(
                        "{shown} was made with --members {count}, not with --members {}: give --members {count}, or another --data-dir",
                        made.members
                    ));
                }
                Ok(home)
            }
            Err(error) => Err(format!("cannot read {file}: {error}")),
        }
    }

    /// Writes down what the directory was made with. This waits until its members have found each other: only then are the
    /// flags known to be right, and a start that was refused for a port binds nobody to it.
    pub fn remember(&self) -> Result<(), String> {
        let file = self.made_with();
        std::fs::write(&file, format!("{}\n", self.made))
            .map_err(|error| format!("cannot write {}: {error}", file.display()))
    }

    /// Whether its members have found each other once.
    pub fn is_remembered(&self) -> bool {
        self.made_with().exists()
    }

    /// Where the members' commands are written.
    pub fn commands(&self) -> PathBuf {
        self.directory.join(COMMANDS)
    }

    fn made_with(&self) -> PathBuf {
        self.directory.join(MADE_WITH)
    }
}

/// How many members have a directory here. A directory with anything that is not a playground's is somebody else's.
fn members_in(directory: &Path) -> Result<u16, String> {
    let wrong = |error| format!("cannot read {} (--data-dir): {error}", directory.display());
    let (mut count, mut others) = (0, Vec::new());
    for entry in std::fs::read_dir(directory).map_err(wrong)? {
        let entry = entry.map_err(wrong)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_directory = entry.path().is_dir();
        match name.strip_prefix('m').map(|rest| rest.strip_suffix(".log").unwrap_or(rest).parse::<u16>()) {
            Some(Ok(_)) if is_directory != name.ends_with(".log") => count += u16::from(is_directory),
            // A file system of its own has the latter.
            _ if [COMMANDS, "lost+found"].contains(&name.as_str()) => {}
            _ => others.push(name),
        }
    }
    if others.is_empty() {
        return Ok(count);
    }
    others.sort();
    let more = if others.len() > SHOWN_MAX { ", …" } else { "" };
    others.truncate(SHOWN_MAX);
    Err(format!(
        "{} (--data-dir) is not a playground's, it holds other things ({}{more}): give a new or an empty directory",
        directory.display(),
        others.join(", ")
    ))
}

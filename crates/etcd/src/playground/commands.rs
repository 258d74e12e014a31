//! What each member of a playground is started with, also written down for who wants to see it.

use super::home::Home;
use super::{ENDS_WITH, Member};
use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::process::Command;

/// The commands of all members.
pub(super) struct Commands {
    program: PathBuf,
    /// As `--initial-cluster` has it.
    cluster: String,
    file: PathBuf,
}

impl Commands {
    /// Makes them, and writes them into the directory.
    pub fn of(members: &[Member], home: &Home) -> Result<Commands, String> {
        let program = std::env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
        let pairs: Vec<String> =
            members.iter().map(|member| format!("{}={}", member.name, url(member.peer_port))).collect();
        let commands = Commands { program, cluster: pairs.join(","), file: home.commands() };
        let lines: String = members.iter().map(|member| commands.line(member) + "\n").collect();
        let text = format!("# What the playground starts its members with, each as a process of its own.\n{lines}");
        let file = commands.file.display();
        std::fs::write(&commands.file, text).map_err(|error| format!("cannot write {file}: {error}"))?;
        Ok(commands)
    }

    /// Where they are written.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Starts a member's process. Its log goes on where it ended.
    pub fn start(&self, member: &mut Member) -> Result<(), String> {
        let unwritable = |error| format!("cannot write {}: {error}", member.log.display());
        let log = File::options().create(true).append(true).open(&member.log).map_err(unwritable)?;
        let log_start = log.metadata().map_err(unwritable)?.len();
        let mut command = Command::new(&self.program);
        command.args(self.arguments(member)).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        // The members' own settings come from here, not from the shell.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("ETCD_")) {
            command.env_remove(name);
        }
        command.env(ENDS_WITH, std::process::id().to_string());
        // Ctrl-C reaches the playground, which then stops the members in order.
        command.process_group(0).kill_on_drop(true);
        let child = command.spawn().map_err(|error| format!("cannot start {}: {error}", self.program.display()))?;
        (member.log_start, member.child) = (log_start, Some(child));
        Ok(())
    }

    fn arguments(&self, member: &Member) -> Vec<OsString> {
        let (client, peer) = (url(member.client_port), url(member.peer_port));
        let mut arguments: Vec<OsString> = vec!["--name".into(), (&member.name).into()];
        arguments.extend(["--data-dir".into(), member.data.clone().into_os_string()]);
        for (flag, value) in [
            ("--listen-client-urls", &client),
            ("--advertise-client-urls", &client),
            ("--listen-peer-urls", &peer),
            ("--initial-advertise-peer-urls", &peer),
            ("--initial-cluster", &self.cluster),
            ("--initial-cluster-token", &"playground".to_owned()),
        ] {
            arguments.extend([flag.into(), value.into()]);
        }
        arguments
    }

    /// As a shell reads it.
    fn line(&self, member: &Member) -> String {
        let arguments = self.arguments(member);
        let words = std::iter::once(self.program.as_os_str()).chain(arguments.iter().map(OsString::as_os_str));
        words.map(|word| quoted(&word.to_string_lossy())).collect::<Vec<_>>().join(" ")
    }
}

fn url(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

fn quoted(word: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "_-./:=,+@%".contains(letter);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_for_a_shell() {
        assert_eq!(quoted("--initial-cluster"), "--initial-cluster");
        assert_eq!(quoted("m1=http://127.0.0.1:2380,m2"), "m1=http://127.0.0.1:2380,m2");
        assert_eq!(quoted("/my data/m1"), "'/my data/m1'");
        assert_eq!(quoted("it's $HOME"), "'it'\\''s $HOME'");
        assert_eq!(quoted(""), "''");
    }
}

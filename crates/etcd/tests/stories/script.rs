//! The form of a story:
//!
//! ```text
//! # What it is about.
//! put a 1
//! txn
//!   if value(a) = 1
//!   then del a
//! ----
//! put @2
//! succeeded @3
//!   deleted 1 @3
//!
//! get a
//! ---- not 3.5: why
//! count 0 @3
//! ```
//!
//! A step is some commands, a line, what is answered to them, and an empty line. A command goes on in the indented lines
//! behind it.

use std::path::PathBuf;

const LINE: &str = "----";

pub struct Story {
    pub name: String,
    pub path: PathBuf,
    pub steps: Vec<Step>,
    /// Comments at the end, which belong to no step.
    rest: Vec<String>,
}

pub struct Step {
    /// Where its first command stands, from 1.
    pub line: usize,
    comments: Vec<String>,
    pub commands: Vec<Command>,
    separator: String,
    pub not_in_etcd_3_5: bool,
    pub expected: Vec<String>,
}

/// A line, and the indented ones below it as they are.
#[derive(Debug, Clone)]
pub struct Command {
    pub text: String,
    pub below: Vec<String>,
}

impl Story {
    /// `excluded` holds the names of what is not compared with 3.5.
    pub fn read(path: PathBuf, excluded: &str) -> Story {
        let text = std::fs::read_to_string(&path).expect("a story can be read");
        let name = path.file_stem().expect("a file has a name").to_string_lossy().into_owned();
        let mut lines = text.lines().enumerate().peekable();
        let mut steps = Vec::new();
        let mut comments = Vec::new();
        while let Some((number, line)) = lines.next() {
            if line.is_empty() || line.starts_with('#') {
                comments.push(line.to_owned());
                continue;
            }
            let mut commands = vec![Command { text: line.to_owned(), below: Vec::new() }];
            let separator = loop {
                let (at, line) = lines.next().unwrap_or_else(|| panic!("{name}:{number}: a step without {LINE}"));
                assert!(!line.is_empty(), "{name}:{}: a step without {LINE}", at + 1);
                if line.starts_with(LINE) {
                    break line.to_owned();
                }
                match line.starts_with(' ') {
                    true => commands.last_mut().expect("there is one").below.push(line.to_owned()),
                    false => commands.push(Command { text: line.to_owned(), below: Vec::new() }),
                }
            };
            let mut expected = Vec::new();
            while let Some((_, line)) = lines.next_if(|(_, line)| !line.is_empty()) {
                expected.push(line.to_owned());
            }
            if let Some(reason) = separator.strip_prefix(LINE).and_then(|rest| rest.strip_prefix(" not 3.5: ")) {
                assert!(excluded.contains(&format!("| {reason} |")), "{name}: COMPAT.md does not exclude {reason}");
            } else {
                assert_eq!(separator, LINE, "{name}: a step that is not for 3.5 says why");
            }
            steps.push(Step {
                line: number + 1,
                comments: std::mem::take(&mut comments),
                commands,
                not_in_etcd_3_5: separator != LINE,
                separator,
                expected,
            });
        }
        assert!(steps.first().is_some_and(|step| !step.comments.is_empty()), "{name} says what it is about");
        Story { name, path, steps, rest: comments }
    }

    /// Writes the story anew with these answers.
    pub fn write(&self, answers: &[Vec<String>]) {
        let mut lines = Vec::new();
        for (step, said) in self.steps.iter().zip(answers) {
            lines.extend(step.comments.iter().cloned());
            for command in &step.commands {
                lines.push(command.text.clone());
                lines.extend(command.below.iter().cloned());
            }
            lines.push(step.separator.clone());
            lines.extend(said.iter().cloned());
        }
        lines.extend(self.rest.iter().cloned());
        std::fs::write(&self.path, lines.join("\n") + "\n").expect("a story can be written");
    }
}

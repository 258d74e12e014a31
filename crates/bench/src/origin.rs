//! What was compared: the bytes of each program, and the tree a run was started in. A figure without it cannot be
//! made again.

use std::fmt::Write;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::figure::Side;

/// How much of a program is read at once.
const CHUNK_BYTES: usize = 64 << 10;

/// Where the figures of a run come from.
#[derive(Debug, Serialize)]
pub struct Origin {
    /// The commit that is checked out where the run was started; none without git.
    pub commit: Option<String>,
    /// Whether tracked files differ from it.
    pub changed: bool,
    pub programs: Vec<Program>,
}

/// One of the programs.
#[derive(Debug, Serialize)]
pub struct Program {
    pub side: Side,
    pub path: PathBuf,
    /// Of the file, in hexadecimal.
    pub sha256: String,
}

impl Origin {
    /// # Errors
    /// When a program cannot be read.
    pub fn of(programs: [(Side, &Path); 2]) -> Result<Self> {
        let program = |(side, path): (Side, &Path)| {
            let sha256 = sha256(path).with_context(|| format!("reading {}", path.display()))?;
            Ok(Program { side, path: path.to_owned(), sha256 })
        };
        Ok(Self {
            commit: git(&["rev-parse", "HEAD"]),
            changed: git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|files| !files.is_empty()),
            programs: programs.into_iter().map(program).collect::<Result<_>>()?,
        })
    }

    /// For people, a line each.
    pub fn lines(&self) -> String {
        let changed = if self.changed { ", and changes that are not committed" } else { "" };
        let mut text = format!("tree  {}{changed}\n", self.commit.as_deref().unwrap_or("no commit known"));
        for Program { side, path, sha256 } in &self.programs {
            let side = format!("{side:?}").to_lowercase();
            writeln!(text, "{side}  sha256 {sha256}  {}", path.display()).expect("a string takes everything");
        }
        text
    }
}

fn sha256(path: &Path) -> std::io::Result<String> {
    let mut file = BufReader::with_capacity(CHUNK_BYTES, File::open(path)?);
    let (mut hash, mut chunk) = (Sha256::new(), vec![0; CHUNK_BYTES]);
    loop {
        match file.read(&mut chunk)? {
            0 => break,
            read => hash.update(&chunk[..read]),
        }
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// What git answers, if it is there and the question has an answer here.
fn git(arguments: &[&str]) -> Option<String> {
    let answered = Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(answered.stdout).ok()?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_known_by_its_bytes() {
        let directory = std::env::temp_dir().join(format!("bench-origin-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let (short, long) = (directory.join("short"), directory.join("long"));
        std::fs::write(&short, b"abc").unwrap();
        std::fs::write(&long, vec![b'a'; 1_000_000]).unwrap();
        let origin = Origin::of([(Side::Ours, &short), (Side::Etcd, &long)]);
        let missing = Origin::of([(Side::Ours, &short), (Side::Etcd, &directory.join("none"))]);
        std::fs::remove_dir_all(&directory).unwrap();
        let origin = origin.unwrap();
        // The test vectors of FIPS 180-4.
        let short = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let long = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";
        assert_eq!([&origin.programs[0].sha256, &origin.programs[1].sha256], [short, long]);
        assert!(missing.unwrap_err().to_string().contains("none"));
    }

    #[test]
    fn lines_for_people() {
        let program = Program { side: Side::Ours, path: "bin/etcd".into(), sha256: "ab".into() };
        let origin = Origin { commit: Some("1f".into()), changed: true, programs: vec![program] };
        assert_eq!(origin.lines(), "tree  1f, and changes that are not committed\nours  sha256 ab  bin/etcd\n");
        let origin = Origin { commit: None, changed: false, programs: Vec::new() };
        assert_eq!(origin.lines(), "tree  no commit known\n");
    }
}

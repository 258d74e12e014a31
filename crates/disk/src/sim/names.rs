//! The names of a simulated disk: what is seen, what is durable, and the changes that wait for a sync of their directory.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use super::SimStats;
use super::chance::Chance;
use crate::parent;

#[derive(Debug)]
pub(super) struct Names {
    /// Directories are durable at once; the root is the empty path.
    dirs: BTreeSet<String>,
    seen: BTreeMap<String, u64>,
    durable: BTreeMap<String, u64>,
    pending: Vec<Change>,
}

#[derive(Debug)]
enum Change {
    Create { path: String, inode: u64 },
    Rename { from: String, to: String, inode: u64 },
    Remove { path: String },
}

impl Names {
    pub fn new() -> Names {
        Names {
            dirs: BTreeSet::from([String::new()]),
            seen: BTreeMap::new(),
            durable: BTreeMap::new(),
            pending: Vec::new(),
        }
    }

    pub fn is_dir(&self, path: &str) -> bool {
        self.dirs.contains(path)
    }

    pub fn inode(&self, path: &str) -> Option<u64> {
        self.seen.get(path).copied()
    }

    /// Whether a file can be at `path`: the directory above is there.
    pub fn check_parent(&self, path: &str) -> io::Result<()> {
        match self.is_dir(parent(path)) {
            true => Ok(()),
            false => Err(self.no_directory(parent(path))),
        }
    }

    /// Why `dir` is none: a file is in the way, or there is nothing.
    pub fn no_directory(&self, dir: &str) -> io::Error {
        let mut above = dir;
        while !above.is_empty() {
            if self.seen.contains_key(above) {
                return io::ErrorKind::NotADirectory.into();
            }
            above = parent(above);
        }
        io::ErrorKind::NotFound.into()
    }

    /// The files of a directory.
    pub fn inodes_in(&self, dir: &str) -> impl Iterator<Item = u64> {
        let here = self.seen.range(dir.to_owned()..).skip_while(move |(path, _)| *path == dir);
        here.take_while(move |(path, _)| path.starts_with(dir))
            .filter(move |(path, _)| parent(path) == dir)
            .map(|(_, &inode)| inode)
    }

    pub fn list(&self, dir: &str) -> Option<Vec<String>> {
        if !self.is_dir(dir) {
            return None;
        }
        let paths = self.dirs.iter().chain(self.seen.keys());
        let mut names: Vec<String> = paths
            .filter(|path| !path.is_empty() && parent(path) == dir)
            .map(|path| path.rsplit('/').next().unwrap_or(path).to_owned())
            .collect();
        names.sort_unstable();
        Some(names)
    }

    pub fn create_dir(&mut self, dir: &str) -> io::Result<()> {
        let mut path = dir;
        while !path.is_empty() {
            if self.seen.contains_key(path) {
                return Err(match path == dir {
                    true => io::ErrorKind::AlreadyExists.into(),
                    false => io::ErrorKind::NotADirectory.into(),
                });
            }
            path = parent(path);
        }
        let mut path = dir;
        while !path.is_empty() {
            self.dirs.insert(path.to_owned());
            path = parent(path);
        }
        Ok(())
    }

    pub fn create(&mut self, path: &str, inode: u64) {
        self.change(Change::Create { path: path.to_owned(), inode });
    }

    /// Returns what had the name before.
    pub fn rename(&mut self, from: &str, to: &str) -> Option<u64> {
        let replaced = self.inode(to);
        let inode = self.inode(from).expect("the caller has looked");
        if from != to {
            self.change(Change::Rename { from: from.to_owned(), to: to.to_owned(), inode });
        }
        replaced
    }

    /// Returns what had the name.
    pub fn remove(&mut self, path: &str) -> Option<u64> {
        let removed = self.inode(path);
        self.change(Change::Remove { path: path.to_owned() });
        removed
    }

    /// Returns the files that may have lost their last name.
    pub fn sync_dir(&mut self, dir: &str) -> Vec<u64> {
        let before: Vec<u64> = self.durable.values().copied().collect();
        let durable = &mut self.durable;
        self.pending.retain(|change| {
            let ripe = change.touches(dir);
            if ripe {
                change.apply(durable);
            }
            !ripe
        });
        before
    }

    /// Each change that waits is kept or lost: a prefix of them, or (what the standard allows, and some file systems do)
    /// any of them.
    pub fn lose_power(&mut self, chance: &mut Chance, stats: &mut SimStats) {
        let pending = std::mem::take(&mut self.pending);
        let in_order = chance.coin();
        let prefix = chance.below(pending.len() as u64 + 1);
        for (number, change) in pending.iter().enumerate() {
            let kept = match in_order {
                true => (number as u64) < prefix,
                false => chance.coin(),
            };
            if kept {
                change.apply(&mut self.durable);
                stats.names_kept += 1;
            } else {
                stats.names_lost += 1;
            }
        }
        self.seen = self.durable.clone();
    }

    /// Whether a file has a name, or could have one after a power loss.
    pub fn holds(&self, inode: u64) -> bool {
        let pending = self.pending.iter().any(|change| match change {
            Change::Create { inode: it, .. } | Change::Rename { inode: it, .. } => *it == inode,
            Change::Remove { .. } => false,
        });
        pending || self.seen.values().any(|it| *it == inode) || self.durable.values().any(|it| *it == inode)
    }

    /// Every file with a name.
    pub fn inodes(&self) -> BTreeSet<u64> {
        self.seen.values().copied().collect()
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.seen);
        self.pending.push(change);
    }
}

impl Change {
    fn apply(&self, names: &mut BTreeMap<String, u64>) {
        match self {
            Change::Create { path, inode } => {
                names.insert(path.clone(), *inode);
            }
            Change::Rename { from, to, inode } => {
                names.remove(from);
                names.insert(to.clone(), *inode);
            }
            Change::Remove { path } => {
                names.remove(path);
            }
        }
    }

    fn touches(&self, dir: &str) -> bool {
        match self {
            Change::Create { path, .. } | Change::Remove { path } => parent(path) == dir,
            Change::Rename { from, to, .. } => parent(from) == dir || parent(to) == dir,
        }
    }
}

//! The mark of a member whose first start is not over: it has an id, and perhaps heard of it in another life.
//!
//! Until the mark is gone nobody is heard who has not been asked whether this member has run before
//! (`peer/acquaint.rs`), however often it starts: what it has in its log by then may come from those who did not know.

use disk::{Disk, DiskFile, OpenMode, OsDisk};
use std::io;

const MARK: &str = "member/first-start";
const WORDS: &str = "This member has not been through its first start yet. It removes this file itself.\n";

/// Whether the first start is still under way.
pub fn is_under_way(disk: &OsDisk) -> io::Result<bool> {
    disk.exists(MARK)
}

/// Comes before anything else is written. Durable when this returns.
pub fn begin(disk: &OsDisk) -> io::Result<()> {
    let dir = disk::parent(MARK);
    disk.create_dir(dir)?;
    disk.remove_if_there(MARK)?;
    let file = disk.open(MARK, OpenMode::Create)?;
    file.write_at(0, &[WORDS.as_bytes()])?;
    file.sync()?;
    disk.sync_dir(dir)
}

/// Comes before others can hear that this member has run. Durable when this returns.
pub fn end(disk: &OsDisk) -> io::Result<()> {
    disk.remove_if_there(MARK)?;
    disk.sync_dir(disk::parent(MARK))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::scratch::Scratch;

    #[test]
    fn it_is_under_way_until_it_has_ended() {
        let Scratch { disk, .. } = &Scratch::new("first-start");
        assert!(!is_under_way(disk).unwrap());
        begin(disk).unwrap();
        begin(disk).expect("a start that ended in between begins again");
        assert!(is_under_way(disk).unwrap());
        end(disk).unwrap();
        assert!(!is_under_way(disk).unwrap());
        end(disk).expect("twice is once");
    }
}

//! The files of snapshots that other members have sent, until Store has installed them.
//!
//! ```text
//!   INDEX.snap.db.N.part  ──whole, durable, checked──▶  INDEX.snap.v2, INDEX.snap.db  ──▶  installed, or of no use: removed
//! ```

use super::dirs;
use crate::Fault;
use crate::ids::Index;
use disk::{Disk, DiskFile, OpenMode};
use std::collections::BTreeMap;

/// The file of a received snapshot.
pub fn snapshot_path(index: Index) -> String {
    format!("{}/{index:016x}.snap.db", dirs::SNAPSHOTS)
}

/// The file beside it with what etcd 3.5 says in the snapshot's message: its
/// v2 store, which has the members' names and client URLs.
pub fn beside_path(index: Index) -> String {
    format!("{}/{index:016x}.snap.v2", dirs::SNAPSHOTS)
}

/// Opens an empty file for a snapshot that is coming in, and says where it is. What an earlier life has left there goes.
/// `number` tells apart those of the same moment.
///
/// # Errors
/// When the disk refuses.
pub fn begin_snapshot<D: Disk>(disk: &D, index: Index, number: u64) -> std::io::Result<(String, D::File)> {
    disk.create_dir(dirs::SNAPSHOTS)?;
    let part = format!("{}.{number}.part", snapshot_path(index));
    let file = create_anew(disk, &part)?;
    Ok((part, file))
}

/// Gives a received snapshot that lies whole and durable at `part` its name, and the same to what came beside it (nothing
/// is something too). Durable when this returns.
///
/// What comes beside has its name first, so whoever finds the snapshot finds both. A file that had a name before is
/// replaced: at no moment, and after no crash, is there a snapshot with nothing beside it.
///
/// # Errors
/// When the disk refuses. Then either name may be of before or of now.
pub fn name_snapshot<D: Disk>(disk: &D, part: &str, index: Index, beside: &[u8]) -> std::io::Result<()> {
    let beside_part = format!("{part}.beside");
    let file = create_anew(disk, &beside_part)?;
    let written = file.write_at(0, &[&seal_beside(beside)]).and_then(|()| file.sync());
    if let Err(error) = written.and_then(|()| disk.rename(&beside_part, &beside_path(index))) {
        // What cannot be removed goes at the next start.
        let _ = disk.remove(&beside_part);
        return Err(error);
    }
    disk.rename(part, &snapshot_path(index))?;
    disk.sync_dir(dirs::SNAPSHOTS)
}

fn create_anew<D: Disk>(disk: &D, path: &str) -> std::io::Result<D::File> {
    disk.remove_if_there(path)?;
    disk.open(path, OpenMode::Create)
}

/// The bytes of the file beside a snapshot: what came, and its CRC-32C in four bytes, little endian.
fn seal_beside(beside: &[u8]) -> Vec<u8> {
    [beside, &crc32c::crc32c(beside).to_le_bytes()].concat()
}

/// How often each snapshot has come, whole and under its name, and was not turned down by Core. One moment may come from two
/// senders, or twice from one, and the files are the same: they go with the last receipt.
#[derive(Debug, Default)]
pub struct Receipts(BTreeMap<Index, usize>);

impl Receipts {
    /// [`name_snapshot`], and one receipt more. A failure leaves nothing behind that nobody stands on.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn name<D: Disk>(&mut self, disk: &D, part: &str, index: Index, beside: &[u8]) -> std::io::Result<()> {
        let named = name_snapshot(disk, part, index, beside);
        match &named {
            Ok(()) => *self.0.entry(index).or_default() += 1,
            Err(_) if !self.0.contains_key(&index) => {
                let _ = discard_snapshot(disk, index);
            }
            Err(_) => {}
        }
        named
    }

    /// One receipt is of no use.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn discard<D: Disk>(&mut self, disk: &D, index: Index, applied: Index) -> std::io::Result<()> {
        // What Store has passed, it has removed, and will not install: a receipt of that does not keep files.
        self.0.retain(|&of, _| of > applied);
        let left = self.0.remove(&index).map_or(0, |count| count - 1);
        if left > 0 {
            self.0.insert(index, left);
            return Ok(());
        }
        discard_snapshot(disk, index)
    }
}

/// Nothing, if there is no file: versions before this one made none when nothing came beside the snapshot.
pub(super) fn read_beside<D: Disk>(disk: &D, index: Index) -> Result<Vec<u8>, Fault> {
    let path = beside_path(index);
    let fault = |source| Fault::Log { path: path.clone(), source };
    if !disk.exists(&path).map_err(fault)? {
        return Ok(Vec::new());
    }
    let file = disk.open(&path, OpenMode::Read).map_err(fault)?;
    let mut bytes = vec![0; file.len().map_err(fault)? as usize];
    let read = file.read_at(0, &mut bytes).map_err(fault)?;
    bytes.truncate(read);
    let check = bytes.split_off(bytes.len().saturating_sub(4));
    if check != crc32c::crc32c(&bytes).to_le_bytes() {
        return Err(Fault::Mismatch(format!(
            "{path} does not match its checksum, so the disk has changed it; \
             this member must be removed and added anew"
        )));
    }
    Ok(bytes)
}

pub(super) fn open_snapshot<D: Disk>(disk: &D, index: Index) -> Result<Image<D::File>, Fault> {
    let path = snapshot_path(index);
    let file = disk.open(&path, OpenMode::Read).map_err(|error| {
        let disk::Told { file, reason } = disk::told(&path, &error);
        Fault::Mismatch(format!(
            "the log stands on a snapshot at index {index}, but its file {file} cannot be opened: {reason}; \
             this member must be removed and added anew"
        ))
    })?;
    Ok(Image(file))
}

/// Reads a received snapshot's file from end to end, before anything depends
/// on it. `beside` came with it, and tells what it must hold.
///
/// # Errors
/// When it is not a whole snapshot, or another one than was sent.
pub fn check_image<D: Disk>(disk: &D, path: &str, beside: &[u8]) -> Result<(), Fault> {
    let fault = |source| Fault::Log { path: path.to_owned(), source };
    let file = disk.open(path, OpenMode::Read).map_err(fault)?;
    Ok(store::snapshot::check(Image(file), beside)?)
}

/// Removes received snapshots up to `index`; they are of no use any more.
pub(super) fn sweep_snapshots<D: Disk>(disk: &D, index: Index) -> Result<(), Fault> {
    let fault = |source| Fault::Log { path: dirs::SNAPSHOTS.to_owned(), source };
    let names = match disk.list(dirs::SNAPSHOTS) {
        Ok(names) => names,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(fault(source)),
    };
    for name in names {
        let Some((stem, _)) = name.split_once(".snap.") else { continue };
        if u64::from_str_radix(stem, 16).is_ok_and(|of| of <= index) {
            // Whoever is storing one may have taken it back meanwhile.
            disk.remove_if_there(&format!("{}/{name}", dirs::SNAPSHOTS)).map_err(fault)?;
        }
    }
    Ok(())
}

/// Removes the files of a received snapshot that nobody stands on.
fn discard_snapshot<D: Disk>(disk: &D, index: Index) -> std::io::Result<()> {
    let image = disk.remove_if_there(&snapshot_path(index));
    let beside = disk.remove_if_there(&beside_path(index));
    image.and(beside)
}

/// An open snapshot file, as bolt reads it.
pub(super) struct Image<F>(F);

impl<F: DiskFile> bolt::ReadAt for Image<F> {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> std::io::Result<()> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.0.read_at(offset + filled as u64, &mut buffer[filled..])? {
                0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                read => filled += read,
            }
        }
        Ok(())
    }

    fn len(&self) -> u64 {
        self.0.len().unwrap_or(0)
    }
}

//! Log remembers: the write-ahead log of one member.
//!
//! It writes what Core asks for, in Core's order, and says how far it is
//! durable. Group commit is "take everything that waits": one write and one
//! fdatasync for a whole batch of [`Append`]s. It must never answer for what
//! is not on the disk, never reorder, and never look inside an entry.
//!
//! A segment opens with a preamble (identity, position, hard state) so that
//! older segments can be removed without reading them. `docs/format.md` draws
//! every byte.

mod frame;
mod recover;
mod terms;

use crate::Fault;
use crate::ids::{Index, Term};
use disk::{Disk, LogKind, SegmentHeader, SegmentWriter};
use frame::Frame;
use raft::{Append, AppendMark, HardState};
use terms::Terms;

pub use frame::Identity;
pub use recover::Recovered;

/// While there is no room for its successor a segment grows to so many times its length,
const GROWS_TIMES: u64 = 16;
/// or so long, and then takes nothing more.
const GROWS_BYTES_MAX: u64 = 1 << 30;

/// The write-ahead log.
pub struct Log<D: Disk> {
    disk: D,
    dir: String,
    identity: Identity,
    segment_bytes: u64,
    segments: Vec<Segment>,
    writer: SegmentWriter<D::File>,
    hard_state: HardState,
    terms: Terms,
    stats: Stats,
}

/// Plain counters, copied by whoever wants to show them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Bytes handed to the disk since start.
    pub written_bytes: u64,
    /// Batches made durable since start.
    pub syncs: u64,
}

/// A file of the log and the highest entry it may hold.
#[derive(Clone, Debug)]
struct Segment {
    sequence: u64,
    last_index: Index,
}

impl<D: Disk> Log<D> {
    /// Whether `dir` holds a log.
    ///
    /// # Errors
    /// When the directory exists but cannot be listed.
    pub fn exists(disk: &D, dir: &str) -> Result<bool, Fault> {
        Ok(!recover::sequences(disk, dir)?.is_empty())
    }

    /// Who wrote the log in `dir`, if there is one. Nothing is changed.
    ///
    /// # Errors
    /// When it cannot be read or does not say so.
    pub fn identity_in(disk: &D, dir: &str) -> Result<Option<Identity>, Fault> {
        recover::identity(disk, dir)
    }

    /// Starts a log for a member that has none.
    ///
    /// # Errors
    /// When the disk refuses, or `dir` holds a log already.
    pub fn create(disk: D, dir: &str, identity: Identity, segment_bytes: u64) -> Result<Log<D>, Fault> {
        if Log::exists(&disk, dir)? {
            return Err(Fault::Mismatch(format!("{dir} already holds a write-ahead log")));
        }
        let at = |source| Fault::Log { path: dir.to_owned(), source };
        disk.create_dir(dir).map_err(at)?;
        let hard_state = HardState::default();
        let terms = Terms::from(0, 0);
        let header = SegmentHeader { kind: LogKind::WAL, sequence: 0, chain_seed: 0 };
        let mut writer = new_segment(&disk, dir, header, identity, &hard_state, (0, 0))?;
        writer.allocate(segment_bytes);
        Ok(Log {
            disk,
            dir: dir.to_owned(),
            identity,
            segment_bytes,
            segments: vec![Segment { sequence: 0, last_index: 0 }],
            writer,
            hard_state,
            terms,
            stats: Stats::default(),
        })
    }

    /// Reads the log back. A torn tail is cut; damage elsewhere is a [`Fault`]
    /// that names file and offset.
    ///
    /// # Errors
    /// When the disk refuses or the log is corrupt.
    pub fn open(disk: D, dir: &str, segment_bytes: u64) -> Result<(Log<D>, Recovered), Fault> {
        recover::open(disk, dir, segment_bytes)
    }

    /// Writes a batch and makes it durable. Returns the mark of its last
    /// append, which Core hands to raft.
    ///
    /// # Errors
    /// When the disk is full ([`Fault::is_full`]) nothing was appended and the
    /// same batch may be tried again. After any other error the caller must
    /// not go on with this log: what of the batch is on the disk is unknown.
    pub fn append(&mut self, batch: &[Append]) -> Result<Option<AppendMark>, Fault> {
        let Some(last) = batch.last() else { return Ok(None) };
        if self.writer.len() >= (self.segment_bytes * GROWS_TIMES).min(GROWS_BYTES_MAX) {
            // It has grown for want of room; offsets end at 4 GiB.
            self.cut()?;
        }
        let before = (self.terms.clone(), self.hard_state, self.open_segment().last_index);
        let mut frames = Vec::new();
        for append in batch {
            self.gather(append, &mut frames);
        }
        let length = self.writer.len();
        if !frames.is_empty()
            && let Err(source) = frame::write(&mut self.writer, &frames)
        {
            let last_index;
            (self.terms, self.hard_state, last_index) = before;
            self.open_segment().last_index = last_index;
            return Err(self.fault(source));
        }
        self.stats.written_bytes += self.writer.len() - length;
        if batch.iter().any(|append| append.must_sync) {
            self.writer.sync().map_err(|source| self.fault(source))?;
            self.stats.syncs += 1;
        }
        if self.writer.len() >= self.segment_bytes {
            match self.cut() {
                // The open segment grows on until there is room for the next.
                Err(fault) if fault.is_full() => {}
                done => done?,
            }
        }
        Ok(Some(last.mark))
    }

    /// Removes segments that hold nothing above `index`: one after the other,
    /// each durably gone before the next goes, so that a loss of power cannot
    /// bring an older one back without those behind it.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn release(&mut self, index: Index) -> Result<(), Fault> {
        let open = self.segments.len() - 1;
        let free = self.segments[..open].iter().take_while(|segment| segment.last_index <= index).count();
        for segment in self.segments.drain(..free) {
            let path = path_of(&self.dir, segment.sequence);
            let gone = self.disk.remove(&path).and_then(|()| self.disk.sync_dir(&self.dir));
            gone.map_err(|source| Fault::Log { path, source })?;
        }
        Ok(())
    }

    /// An orderly stop: from now on damage anywhere in the log is known as
    /// damage, never taken for a torn tail.
    ///
    /// # Errors
    /// When the disk refuses; nothing that was acknowledged is lost by that.
    pub fn close(mut self) -> Result<(), Fault> {
        self.writer.mark_durable().map_err(|source| self.fault(source))
    }

    /// Counters since start.
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// Who this log belongs to.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    fn gather<'a>(&mut self, append: &'a Append, frames: &mut Vec<Frame<'a>>) {
        let open = self.segments.last_mut().expect("there is always an open segment");
        if let Some(snapshot) = &append.snapshot {
            self.terms = Terms::from(snapshot.index, snapshot.term);
            open.last_index = open.last_index.max(snapshot.index);
            frames.push(Frame::Position { index: snapshot.index, term: snapshot.term });
        }
        if let (Some(first), Some(last)) = (append.entries.first(), append.entries.last()) {
            if first.index <= self.terms.last() {
                // A new leader overwrites what was never committed: name the
                // position, so that a later reader who lacks older segments
                // still knows the term before the first entry.
                self.terms.truncate(first.index);
                let (index, term) = self.terms.end();
                frames.push(Frame::Position { index, term });
            }
            for entry in &append.entries {
                self.terms.push(entry.index, entry.term);
                frames.push(Frame::Entry(entry));
            }
            open.last_index = open.last_index.max(last.index);
        }
        if let Some(state) = append.hard_state {
            self.hard_state = state;
            frames.push(Frame::HardState(state));
        }
    }

    /// Closes the open segment and starts the next.
    fn cut(&mut self) -> Result<(), Fault> {
        self.writer.seal().map_err(|source| self.fault(source))?;
        let sequence = self.open_segment().sequence + 1;
        let header = SegmentHeader { kind: LogKind::WAL, sequence, chain_seed: self.writer.chain() };
        self.writer = new_segment(&self.disk, &self.dir, header, self.identity, &self.hard_state, self.terms.end())?;
        self.writer.allocate(self.segment_bytes);
        self.segments.push(Segment { sequence, last_index: 0 });
        Ok(())
    }

    fn open_segment(&mut self) -> &mut Segment {
        self.segments.last_mut().expect("there is always an open segment")
    }

    fn fault(&self, source: std::io::Error) -> Fault {
        let sequence = self.segments.last().map_or(0, |segment| segment.sequence);
        Fault::Log { path: path_of(&self.dir, sequence), source }
    }
}

/// Creates a segment with its preamble. It gets its name only when the
/// preamble is durable, so every named segment says whose it is.
fn new_segment<D: Disk>(
    disk: &D,
    dir: &str,
    header: SegmentHeader,
    identity: Identity,
    hard_state: &HardState,
    end: (Index, Term),
) -> Result<SegmentWriter<D::File>, Fault> {
    let path = path_of(dir, header.sequence);
    let fault = |source| Fault::Log { path: path.clone(), source };
    let temporary = format!("{path}.new");
    disk.remove_if_there(&temporary).map_err(fault)?;
    let mut writer = SegmentWriter::create(disk, &temporary, header).map_err(fault)?;
    let (index, term) = end;
    let preamble = [Frame::Identity(identity), Frame::Position { index, term }, Frame::HardState(*hard_state)];
    frame::write(&mut writer, &preamble).map_err(fault)?;
    writer.sync().map_err(fault)?;
    disk.rename(&temporary, &path).map_err(fault)?;
    disk.sync_dir(dir).map_err(fault)?;
    Ok(writer)
}

/// `wal/0000000000000003.wal`
fn path_of(dir: &str, sequence: u64) -> String {
    format!("{dir}/{sequence:016x}.wal")
}

//! Reading the write-ahead log back at start.

use super::frame::{self, Identity, Read};
use super::terms::Terms;
use super::{Log, Segment, Stats, path_of};
use crate::Fault;
use crate::ids::{Index, Term};
use disk::{Disk, Ending, LogKind, SegmentHeader, SegmentReader, SegmentWriter, Standing, Tail};
use raft::{Entry, HardState};

/// What the log knew when it was opened. Everything in it is durable.
#[derive(Clone, Debug)]
pub struct Recovered {
    /// Who wrote it.
    pub identity: Identity,
    /// The last hard state.
    pub hard_state: HardState,
    /// The position before the first of `entries`: index and term.
    pub base: (Index, Term),
    /// Contiguous after `base`.
    pub entries: Vec<Entry>,
    /// A torn tail that was cut, as (file, offset), for the operator's log.
    pub cut: Option<(String, u64)>,
}

/// Sequence numbers of the segments in `dir`, ascending.
pub(super) fn sequences<D: Disk>(disk: &D, dir: &str) -> Result<Vec<u64>, Fault> {
    let names = match disk.list(dir) {
        Ok(names) => names,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(Fault::Log { path: dir.to_owned(), source }),
    };
    let mut found: Vec<u64> = names
        .iter()
        .filter_map(|name| name.strip_suffix(".wal"))
        .filter_map(|stem| u64::from_str_radix(stem, 16).ok())
        .collect();
    found.sort_unstable();
    Ok(found)
}

/// Who wrote the log in `dir`, if there is one. Reads only the beginning of
/// its newest segment, and repairs nothing.
pub(super) fn identity<D: Disk>(disk: &D, dir: &str) -> Result<Option<Identity>, Fault> {
    let Some(&newest) = sequences(disk, dir)?.last() else { return Ok(None) };
    let path = path_of(dir, newest);
    let mut reader = SegmentReader::open(disk, &path, Standing::Last)?;
    if let Some(frame) = reader.next()?
        && let Read::Identity(identity) = frame::read(frame.kind, frame.body)?
    {
        return Ok(Some(identity));
    }
    Err(Fault::Corrupt(format!("{path} does not say which member wrote it")))
}

pub(super) fn open<D: Disk>(disk: D, dir: &str, segment_bytes: u64) -> Result<(Log<D>, Recovered), Fault> {
    let sequences = sequences(&disk, dir)?;
    let Some((&newest, older)) = sequences.split_last() else {
        return Err(Fault::Mismatch(format!("{dir} holds no write-ahead log")));
    };
    for pair in sequences.windows(2) {
        if pair[1] != pair[0] + 1 {
            let missing = path_of(dir, pair[0] + 1);
            return Err(Fault::Corrupt(format!("segment {missing} is missing between its neighbours")));
        }
    }
    let mut replay = Replay::default();
    let mut segments = Vec::new();
    for &sequence in older {
        let last_index = replay.segment(&disk, dir, sequence, Standing::Sealed)?.last_index;
        segments.push(Segment { sequence, last_index });
    }
    let end = replay.segment(&disk, dir, newest, Standing::Last)?;
    segments.push(Segment { sequence: newest, last_index: end.last_index });

    let path = path_of(dir, newest);
    let fault = |source| Fault::Log { path: path.clone(), source };
    let mut writer = SegmentWriter::resume(&disk, &path, &end.tail).map_err(fault)?;
    writer.allocate(segment_bytes);

    let Some(identity) = replay.identity else {
        return Err(Fault::Corrupt(format!("{path} does not say which member wrote it")));
    };
    let Some(terms) = replay.terms else {
        return Err(Fault::Corrupt(format!("{path} does not say where it begins")));
    };
    let recovered = Recovered {
        identity,
        hard_state: replay.hard_state,
        base: replay.base,
        entries: replay.entries,
        cut: end.cut.map(|offset| (path, offset)),
    };
    let log = Log {
        disk,
        dir: dir.to_owned(),
        identity,
        segment_bytes,
        segments,
        writer,
        hard_state: replay.hard_state,
        terms,
        stats: Stats::default(),
    };
    Ok((log, recovered))
}

/// Where a segment ended.
struct End {
    last_index: Index,
    tail: Tail,
    cut: Option<u64>,
}

/// The state that reading frame after frame builds.
#[derive(Default)]
struct Replay {
    identity: Option<Identity>,
    hard_state: HardState,
    base: (Index, Term),
    entries: Vec<Entry>,
    terms: Option<Terms>,
    /// What the next segment's chain must start from; unknown before the first.
    chain: Option<u32>,
}

impl Replay {
    fn segment<D: Disk>(&mut self, disk: &D, dir: &str, sequence: u64, standing: Standing) -> Result<End, Fault> {
        let path = path_of(dir, sequence);
        let mut reader = SegmentReader::open(disk, &path, standing)?;
        let chain_seed = self.chain.unwrap_or(reader.header().chain_seed);
        reader.expect_header(SegmentHeader { kind: LogKind::WAL, sequence, chain_seed })?;
        let mut last_index = 0;
        while let Some(frame) = reader.next()? {
            let index = self.frame(&path, frame.offset, frame::read(frame.kind, frame.body)?)?;
            last_index = last_index.max(index);
        }
        let tail = reader.tail();
        self.chain = Some(tail.chain);
        let cut = match reader.ending() {
            Some(Ending::Torn { at: 0 }) => {
                return Err(Fault::Corrupt(format!("{path} is corrupt at offset 0: the segment has no header")));
            }
            Some(Ending::Torn { at }) => Some(at),
            _ => None,
        };
        Ok(End { last_index, tail, cut })
    }

    /// Takes one frame; returns the entry index it holds, if any.
    fn frame(&mut self, path: &str, offset: u64, frame: Read) -> Result<Index, Fault> {
        match frame {
            Read::Identity(identity) => match self.identity {
                Some(known) if known != identity => Err(Fault::Corrupt(format!(
                    "{path} at offset {offset} belongs to member {:x} of cluster {:x}, but the log before it to member {:x} of cluster {:x}",
                    identity.member_id, identity.cluster_id, known.member_id, known.cluster_id
                ))),
                _ => {
                    self.identity = Some(identity);
                    Ok(0)
                }
            },
            Read::HardState(state) => {
                self.hard_state = state;
                Ok(0)
            }
            Read::Position { index, term } => {
                self.position(index, term);
                Ok(index)
            }
            Read::Entry(entry) => {
                let index = entry.index;
                let terms = self.terms.as_mut().ok_or_else(|| {
                    Fault::Corrupt(format!("{path} at offset {offset} has entry {index} before any position"))
                })?;
                let (last, term) = terms.end();
                if last.checked_add(1) != Some(index) {
                    return Err(Fault::Corrupt(format!(
                        "{path} at offset {offset} has entry {index} behind entry {last}"
                    )));
                }
                if entry.term < term {
                    return Err(Fault::Corrupt(format!(
                        "{path} at offset {offset} has entry {index} of term {} behind one of term {term}",
                        entry.term
                    )));
                }
                terms.push(index, entry.term);
                self.entries.push(entry);
                Ok(index)
            }
        }
    }

    /// The log stands at `index` now: what lies above it was overwritten, and
    /// if it does not continue what we have, it begins anew there.
    fn position(&mut self, index: Index, term: Term) {
        let (base, _) = self.base;
        let continues = match &self.terms {
            Some(terms) => index >= base && index <= terms.last() && self.term_at(index) == Some(term),
            None => false,
        };
        if continues {
            self.entries.truncate((index - base) as usize);
            let terms = self.terms.as_mut().expect("continues");
            if index < terms.last() {
                terms.truncate(index + 1);
            }
        } else {
            self.entries.clear();
            self.base = (index, term);
            self.terms = Some(Terms::from(index, term));
        }
    }

    fn term_at(&self, index: Index) -> Option<Term> {
        let (base, term) = self.base;
        match index.checked_sub(base)? {
            0 => Some(term),
            ahead => self.entries.get(ahead as usize - 1).map(|entry| entry.term),
        }
    }
}

//! A range whose answer is too long to be held: measured first, then made in pieces.
//!
//! A gRPC message begins with its length, so the length has to be known before the first byte leaves. The keys are walked
//! twice: once to measure, where of each record only its beginning is read, and once to write, a piece at a time, as fast
//! as somebody takes them. The view does not change meanwhile, so both walks see the same. What is held in between is the
//! last key; only an answer in another order than that of keys needs a few bytes for each of them.
//!
//! It must say exactly what [`range`](crate::range::range) says of the same request; the tests compare the two.

use std::cmp::Ordering;
use std::ops::ControlFlow;

use bytes::{Bytes, BytesMut};
use disk::{Disk, DiskFile};
use proto::etcdserverpb::RangeRequest;
use proto::etcdserverpb::range_request::SortTarget;

use crate::fault::Fault;
use crate::keys::{KeyRange, Place};
use crate::moment::{Moment, Version};
use crate::range::{self, Options, Walked};
use crate::reply::Header;
use crate::reply::wire::{delimited_len, put_bytes, put_scalar, scalar_len};
use crate::revision::Revision;
use crate::revlog::log::Record;
use crate::store::ReadError;
use crate::view::View;

/// Bytes held for each key of an answer that is not in the order of keys.
const SORTED_BYTES: usize = size_of::<Sorted>();

/// The field of KeyValues in a `RangeResponse`.
const KVS: u32 = 2;

/// The answer of a range, measured and written in pieces. Holds its moment.
#[derive(Debug)]
pub struct LongRange<D: Disk> {
    view: View<D>,
    request: RangeRequest,
    options: Options,
    more: bool,
    count: i64,
    /// Bytes of all KeyValues with what stands before each.
    kvs_bytes: usize,
    part: Part,
    rest: Rest,
}

/// The part of the message that comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Header,
    Kvs,
    Numbers,
    Nothing,
}

/// The KeyValues that are not written yet.
#[derive(Debug)]
enum Rest {
    /// So many, in the order of keys, behind this one.
    Keys(usize, Option<Vec<u8>>),
    Sorted(std::vec::IntoIter<Sorted>),
}

/// One key of an answer in another order.
#[derive(Clone, Copy, Debug)]
struct Sorted {
    /// The number it is ordered by; of a value its first eight bytes.
    by: u64,
    revision: Revision,
    /// None: it is found by its revision.
    place: Option<Place>,
}

/// Bytes that [`LongRange::measure`] holds at most while it brings keys into another order than their own.
pub(crate) fn sorted_bytes<F>(moment: &Moment<'_, F>, request: &RangeRequest) -> usize {
    match Options::of(moment, request) {
        Ok(options) if !options.by_key && !request.count_only => sorted_max(moment, request, &options) * SORTED_BYTES,
        // In their own order, only counted, or refused.
        _ => 0,
    }
}

impl<D: Disk> LongRange<D> {
    /// Measures the answer of a request whose shape has been checked.
    pub(crate) fn measure(view: &View<D>, request: &RangeRequest) -> Result<LongRange<D>, ReadError> {
        let moment = view.moment();
        let mut measured = LongRange {
            options: Options::of(&moment, request)?,
            view: view.clone(),
            request: request.clone(),
            more: false,
            count: 0,
            kvs_bytes: 0,
            part: Part::Header,
            rest: Rest::Keys(0, None),
        };
        if request.count_only {
            measured.count = range::count(&moment, keys_of(request), measured.options.at)?;
        } else if measured.options.by_key {
            measured.measure_keys(&moment)?;
        } else {
            measured.measure_sorted(&moment)?;
        }
        Ok(measured)
    }

    /// Length of the response message, without gRPC's prefix.
    pub fn encoded_len(&self, header: &Header) -> usize {
        let header = header.at(self.view.revision());
        header.field_len() + self.kvs_bytes + scalar_len(3, self.more.into()) + scalar_len(4, self.count as u64)
    }

    /// Bytes that are held for the order of keys, from when it was measured until it has gone.
    pub fn held_bytes(&self) -> usize {
        match &self.rest {
            Rest::Keys(..) => 0,
            Rest::Sorted(hits) => hits.len() * SORTED_BYTES,
        }
    }

    /// The next bytes of the response message: about so many, beyond them at most one KeyValue. None after the last.
    ///
    /// # Errors
    /// When the disk cannot be read, or does not hold what was measured.
    pub fn next_piece(&mut self, header: &Header, bytes: usize) -> Result<Option<Bytes>, Fault> {
        let view = self.view.clone();
        let mut piece = BytesMut::with_capacity(bytes);
        while piece.len() < bytes && self.part != Part::Nothing {
            match self.part {
                Part::Header => {
                    header.at(view.revision()).put_field(&mut piece);
                    self.part = Part::Kvs;
                }
                Part::Kvs => {
                    if self.write_kvs(&view.moment(), bytes, &mut piece)? {
                        self.part = Part::Numbers;
                    }
                }
                Part::Numbers | Part::Nothing => {
                    put_scalar(3, self.more.into(), &mut piece);
                    put_scalar(4, self.count as u64, &mut piece);
                    self.part = Part::Nothing;
                }
            }
        }
        Ok((!piece.is_empty()).then(|| piece.freeze()))
    }

    fn measure_keys(&mut self, moment: &Moment<'_, D::File>) -> Result<(), Fault> {
        let LongRange { request, options, .. } = &*self;
        let limit = if options.limit == 0 { usize::MAX } else { options.limit };
        let (mut answered, mut bytes) = (0, 0);
        let walked = range::walk(moment, request, options, |key, version| {
            if answered < limit {
                answered += 1;
                let size = match request.keys_only {
                    true => range::bare(key, &version).encoded_len(),
                    false => moment.kv_size(&version)?,
                };
                bytes += delimited_len(KVS, size);
            }
            Ok(ControlFlow::Continue(()))
        })?;
        let Walked { count, passed } = walked.expect("nothing breaks it off");
        (self.count, self.kvs_bytes) = (count, bytes);
        self.more = passed > limit;
        self.rest = Rest::Keys(answered, None);
        Ok(())
    }

    fn measure_sorted(&mut self, moment: &Moment<'_, D::File>) -> Result<(), Fault> {
        let LongRange { request, options, .. } = &*self;
        let limit = options.limit;
        let mut hits: Vec<Sorted> = Vec::with_capacity(sorted_max(moment, request, options));
        let walked = range::walk(moment, request, options, |_, version| {
            let by = match options.target {
                SortTarget::Version => version.version as u64,
                SortTarget::Create => version.created as u64,
                SortTarget::Key | SortTarget::Mod => version.modified.main as u64,
                SortTarget::Value => beginning(moment.read(&version)?.change().kv_fields.value),
            };
            hits.push(Sorted { by, revision: version.modified, place: version.place() });
            // No more is kept than may still be answered.
            if options.cuts_sorted() && hits.len() / 2 > limit {
                sort(moment, options, &mut hits)?;
                hits.truncate(limit);
            }
            Ok(ControlFlow::Continue(()))
        })?;
        let Walked { count, passed } = walked.expect("nothing breaks it off");
        sort(moment, options, &mut hits)?;
        self.count = count;
        self.more = limit > 0 && passed > limit;
        if self.more {
            hits.truncate(limit);
        }
        hits.shrink_to_fit();
        for hit in &hits {
            let size = match hit.place {
                Some(place) if !self.request.keys_only => moment.log.kv_size(place, hit.revision)?,
                _ => self.sorted_kv(moment, hit)?.len(),
            };
            self.kvs_bytes += delimited_len(KVS, size);
        }
        self.rest = Rest::Sorted(hits.into_iter());
        Ok(())
    }

    /// Writes KeyValues until the piece is as long as it should be. True when there are no more.
    fn write_kvs(&mut self, moment: &Moment<'_, D::File>, bytes: usize, piece: &mut BytesMut) -> Result<bool, Fault> {
        let (mut left, behind) = match &mut self.rest {
            Rest::Keys(left, behind) => (*left, behind.take()),
            Rest::Sorted(hits) => {
                let Some(hit) = hits.next() else { return Ok(true) };
                put_bytes(KVS, &self.sorted_kv(moment, &hit)?, piece);
                return Ok(false);
            }
        };
        let back = self.options.back;
        let resume = behind.map(|key| if back { key } else { [&key[..], b"\0"].concat() });
        let keys = match (keys_of(&self.request), &resume) {
            (keys, None) => keys,
            (KeyRange::One(key), Some(_)) => KeyRange::Span { from: key, end: key },
            (KeyRange::From(from), Some(end)) if back => KeyRange::Span { from, end },
            (KeyRange::From(_), Some(from)) => KeyRange::From(from),
            (KeyRange::Span { from, .. }, Some(end)) if back => KeyRange::Span { from, end },
            (KeyRange::Span { end, .. }, Some(from)) => KeyRange::Span { from, end },
        };
        let mut last = None;
        let mut scan = if back { moment.keys.scan_back(keys) } else { moment.keys.scan(keys) };
        while left > 0
            && piece.len() < bytes
            && let Some((key, head)) = scan.next()
        {
            let version = moment.version_at(&head, self.options.at)?;
            let Some(version) = version.filter(|version| range::passes(&self.request, version)) else { continue };
            match self.request.keys_only {
                true => put_bytes(KVS, &range::bare(key, &version).encode(), piece),
                false => put_bytes(KVS, &moment.read(&version)?.kv(), piece),
            }
            left -= 1;
            last = (piece.len() >= bytes).then(|| key.to_vec());
        }
        if left > 0 && last.is_none() {
            return Err(Fault::corrupt("the keys", 0, "a second walk over a moment finds fewer keys than the first"));
        }
        self.rest = Rest::Keys(left, last);
        Ok(left == 0)
    }

    fn sorted_kv(&self, moment: &Moment<'_, D::File>, hit: &Sorted) -> Result<Bytes, Fault> {
        let record = found(moment, hit)?;
        if !self.request.keys_only {
            return Ok(record.kv());
        }
        match self.options.target {
            // As etcd: whoever compares values has them.
            SortTarget::Value => range::without_value(&record.kv()),
            _ => {
                let version = Version::of_record(record.clone());
                Ok(range::bare(record.change().kv_fields.key, &version).encode())
            }
        }
    }
}

/// The most keys that are held to bring a range into its order.
fn sorted_max<F>(moment: &Moment<'_, F>, request: &RangeRequest, options: &Options) -> usize {
    // What existed in the past still has a place in the tree.
    let keys = moment.keys.count(keys_of(request));
    if options.limit == 0 { keys } else { keys.min(options.limit.saturating_add(1).saturating_mul(2)) }
}

/// Equal ones stay as they are, in the order of keys, in a descending answer too.
fn sort<F: DiskFile>(moment: &Moment<'_, F>, options: &Options, hits: &mut [Sorted]) -> Result<(), Fault> {
    let mut fault = None;
    let by_value = options.target == SortTarget::Value;
    let mut compare = |left: &Sorted, right: &Sorted| {
        let order = left.by.cmp(&right.by);
        if order.is_ne() || !by_value {
            return order;
        }
        match (found(moment, left), found(moment, right)) {
            (Ok(left), Ok(right)) => left.change().kv_fields.value.cmp(right.change().kv_fields.value),
            (Err(error), _) | (_, Err(error)) => {
                fault = Some(error);
                Ordering::Equal
            }
        }
    };
    match options.descending {
        true => hits.sort_by(|left, right| compare(right, left)),
        false => hits.sort_by(compare),
    }
    fault.map_or(Ok(()), Err)
}

fn found<F: DiskFile>(moment: &Moment<'_, F>, hit: &Sorted) -> Result<Record, Fault> {
    let record = match hit.place {
        Some(place) => Some(moment.record(place, hit.revision)?),
        None => moment.find(hit.revision)?,
    };
    record.ok_or_else(|| Fault::corrupt("the revision log", 0, format!("the record of {:?} is gone", hit.revision)))
}

fn keys_of(request: &RangeRequest) -> KeyRange<'_> {
    KeyRange::from_wire(&request.key, &request.range_end)
}

/// The first eight bytes of a value; a shorter one is continued by zeros.
fn beginning(value: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    let count = value.len().min(8);
    bytes[..count].copy_from_slice(&value[..count]);
    u64::from_be_bytes(bytes)
}

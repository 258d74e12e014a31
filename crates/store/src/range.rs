//! Answering a range: etcd's options, in etcd's order (`server/etcdserver/txn/range.go`).
//!
//! First the keys that lie in the range at the revision asked for, then the revision filters, then the order, then the
//! limit; values are read last, and only those that are answered. Where nothing but the order of keys is asked for, the
//! limit ends the walk. The count is of the range and knows neither filters nor limit.

use std::ops::ControlFlow;

use bytes::Bytes;
use disk::DiskFile;
use proto::etcdserverpb::RangeRequest;
use proto::etcdserverpb::range_request::{SortOrder, SortTarget};

use crate::fault::Fault;
use crate::keys::{Head, KeyRange, Keys};
use crate::moment::{Moment, Version};
use crate::refusal::Refusal;
use crate::reply::key_value::KeyValueRef;
use crate::reply::{RangePart, RangeReply};
use crate::store::ReadError;

/// A key that belongs to the answer, as far as it is known.
struct Hit {
    version: Version,
    /// The encoded KeyValue, once it is known.
    kv: Option<Bytes>,
}

/// What a request asks for, besides its keys and filters.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    /// The main revision that is looked at.
    pub(crate) at: i64,
    /// Keys to be answered; 0: all.
    pub(crate) limit: usize,
    pub(crate) target: SortTarget,
    /// The order is that of keys.
    pub(crate) by_key: bool,
    /// Keys are walked backwards.
    pub(crate) back: bool,
    pub(crate) descending: bool,
    /// Keys that have to be found: one more than the limit, where nothing but the order of keys is asked for.
    pub(crate) enough: usize,
}

impl Options {
    /// Refuses what the moment cannot show.
    pub(crate) fn of<F>(moment: &Moment<'_, F>, request: &RangeRequest) -> Result<Options, Refusal> {
        let at = asked_for(moment, request)?;
        let target = SortTarget::try_from(request.sort_target).unwrap_or(SortTarget::Key);
        let order = SortOrder::try_from(request.sort_order).unwrap_or(SortOrder::None);
        let limit = usize::try_from(request.limit).unwrap_or(0);
        // Ascending keys are how they are walked; descending ones are walked backwards.
        let by_key = target == SortTarget::Key;
        let descending = order == SortOrder::Descend;
        let cut_early = limit > 0 && !filters(request) && (by_key || order == SortOrder::None);
        let enough = if cut_early { limit.saturating_add(1) } else { usize::MAX };
        Ok(Options { at, limit, target, by_key, back: by_key && descending, descending, enough })
    }

    /// Whether only the order tells which keys are answered.
    pub(crate) fn cuts_sorted(&self) -> bool {
        self.limit > 0 && !self.by_key && self.enough == usize::MAX
    }
}

/// Answers a range. The shape of the request has been checked.
pub(crate) fn range<F: DiskFile>(moment: &Moment<'_, F>, request: &RangeRequest) -> Result<RangeReply, ReadError> {
    let whole = range_within(moment, request, usize::MAX)?;
    Ok(whole.unwrap_or_else(|| unreachable!("no answer is longer than that")))
}

/// Answers a range, unless the answer is longer than about so many bytes, or there is much to look at for it.
pub(crate) fn range_within<F: DiskFile>(
    moment: &Moment<'_, F>,
    request: &RangeRequest,
    bytes_max: usize,
) -> Result<Option<RangeReply>, ReadError> {
    let revision = moment.revision;
    let options = Options::of(moment, request)?;
    let Options { at, limit, by_key, .. } = options;
    if request.count_only {
        let count = count(moment, KeyRange::from_wire(&request.key, &request.range_end), at)?;
        return Ok(Some(RangeReply { revision, count, ..RangeReply::default() }));
    }
    let Some((mut hits, Walked { count, passed })) = collect(moment, request, &options, bytes_max)? else {
        return Ok(None);
    };
    if !by_key {
        sort(moment, &mut hits, &options)?;
    }
    let more = limit > 0 && passed > limit;
    if more {
        hits.truncate(limit);
    }
    let mut kvs = Vec::with_capacity(hits.len());
    for hit in hits {
        let kv = match hit.kv {
            Some(kv) => kv,
            None => moment.read(&hit.version)?.kv(),
        };
        kvs.push(if request.keys_only { without_value(&kv)? } else { kv });
    }
    Ok(Some(RangeReply { revision, kvs, more, count }))
}

/// The revision that a range is of.
fn asked_for<F>(moment: &Moment<'_, F>, request: &RangeRequest) -> Result<i64, Refusal> {
    match request.revision {
        at if at > moment.revision => Err(Refusal::FutureRev),
        at if at <= 0 => Ok(moment.revision),
        at if at < moment.compacted => Err(Refusal::Compacted),
        at => Ok(at),
    }
}

/// Keys of a range in their order, from `from` on, until there are `keys_max` of them or they have reached `bytes_max`;
/// and where the rest begins. Neither order nor filters nor limit of the request are looked at.
pub(crate) fn part<F: DiskFile>(
    moment: &Moment<'_, F>,
    request: &RangeRequest,
    from: &[u8],
    keys_max: usize,
    bytes_max: usize,
) -> Result<RangePart, ReadError> {
    let at = asked_for(moment, request)?;
    let mut part = RangePart::default();
    let mut bytes = 0;
    let mut scan = moment.keys.scan(KeyRange::from_wire(from, &request.range_end));
    while let Some((key, head)) = scan.next() {
        if part.kvs.len() >= keys_max || bytes >= bytes_max {
            part.rest = Some(Bytes::copy_from_slice(key));
            break;
        }
        let Some(version) = moment.version_at(&head, at)? else { continue };
        let kv = if request.keys_only { bare(key, &version).encode() } else { moment.read(&version)?.kv() };
        bytes += kv.len();
        part.kvs.push(kv);
    }
    Ok(part)
}

/// How many keys of the range existed at main revision `at`.
pub(crate) fn count<F: DiskFile>(moment: &Moment<'_, F>, keys: KeyRange<'_>, at: i64) -> Result<i64, Fault> {
    if at == moment.revision {
        return Ok(moment.keys.count_live(keys) as i64);
    }
    let mut count = 0;
    let mut scan = moment.keys.scan(keys);
    while let Some((_, head)) = scan.next() {
        count += i64::from(moment.existed_at(&head, at)?);
    }
    Ok(count)
}

/// The live key of a range that was created last before main revision `before`, and when that was. Reads no record.
pub(crate) fn created_before(tree: &Keys, keys: KeyRange<'_>, before: i64) -> Option<(Bytes, i64)> {
    let mut newest: Option<(Bytes, i64)> = None;
    let mut scan = tree.scan(keys);
    while let Some((key, head)) = scan.next() {
        let is_newer = newest.as_ref().is_none_or(|(_, created)| head.created > *created);
        if !head.is_tombstone() && head.created < before && is_newer {
            newest = Some((Bytes::copy_from_slice(key), head.created));
        }
    }
    newest
}

/// What a walk over a range has seen.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Walked {
    /// Keys of the range at the revision asked for.
    pub(crate) count: i64,
    /// Those that the filters let through, as far as they had to be found.
    pub(crate) passed: usize,
}

/// What came of looking at a key.
#[derive(PartialEq, Eq)]
enum Looked {
    Further,
    Enough,
    BrokenOff,
}

/// Shows the keys that have to be found, in the order of the walk, and only counts the rest. None when `found` breaks off.
pub(crate) fn walk<F: DiskFile>(
    moment: &Moment<'_, F>,
    request: &RangeRequest,
    options: &Options,
    mut found: impl FnMut(&[u8], Version) -> Result<ControlFlow<()>, Fault>,
) -> Result<Option<Walked>, Fault> {
    let Options { at, enough, back, .. } = *options;
    let keys = KeyRange::from_wire(&request.key, &request.range_end);
    let mut walked = Walked::default();
    let mut look = |key: &[u8], head: &Head| -> Result<Looked, Fault> {
        if walked.passed == enough {
            if at == moment.revision {
                walked.count = moment.keys.count_live(keys) as i64;
                return Ok(Looked::Enough);
            }
            walked.count += i64::from(moment.existed_at(head, at)?);
            return Ok(Looked::Further);
        }
        let Some(version) = moment.version_at(head, at)? else { return Ok(Looked::Further) };
        walked.count += 1;
        if !passes(request, &version) {
            return Ok(Looked::Further);
        }
        walked.passed += 1;
        Ok(if found(key, version)?.is_break() { Looked::BrokenOff } else { Looked::Further })
    };
    if let KeyRange::One(key) = keys {
        let looked = moment.keys.get(key).map(|head| look(key, &head)).transpose()?;
        return Ok((looked != Some(Looked::BrokenOff)).then_some(walked));
    }
    let mut scan = if back { moment.keys.scan_back(keys) } else { moment.keys.scan(keys) };
    while let Some((key, head)) = scan.next() {
        match look(key, &head)? {
            Looked::Further => {}
            Looked::Enough => break,
            Looked::BrokenOff => return Ok(None),
        }
    }
    Ok(Some(walked))
}

/// The keys that may be answered. None when they have more than about so many bytes.
fn collect<F: DiskFile>(
    moment: &Moment<'_, F>,
    request: &RangeRequest,
    options: &Options,
    bytes_max: usize,
) -> Result<Option<(Vec<Hit>, Walked)>, Fault> {
    let bare = request.keys_only && options.target != SortTarget::Value;
    let mut hits = Vec::new();
    let mut bytes = 0;
    let walked = walk(moment, request, options, |key, version| {
        // A key without its value and lease is all in memory: nothing has to be read, as in etcd 3.7.
        let kv = bare.then(|| self::bare(key, &version).encode());
        bytes += size_of::<Hit>() + kv.as_ref().map_or(version.size_bytes(), Bytes::len);
        hits.push(Hit { version, kv });
        if bytes > bytes_max {
            return Ok(ControlFlow::Break(()));
        }
        // No more is kept than may still be answered.
        if options.cuts_sorted() && hits.len() / 2 > options.limit {
            sort(moment, &mut hits, options)?;
            hits.truncate(options.limit);
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(walked.map(|walked| (hits, walked)))
}

/// A key without its value and lease.
pub(crate) fn bare<'a>(key: &'a [u8], version: &Version) -> KeyValueRef<'a> {
    KeyValueRef {
        key,
        create_revision: version.created,
        mod_revision: version.modified.main,
        version: version.version,
        ..KeyValueRef::default()
    }
}

pub(crate) fn without_value(kv: &Bytes) -> Result<Bytes, Fault> {
    crate::reply::key_value::without_value(kv).map_err(|error| Fault::corrupt("a record", 0, error.to_string()))
}

fn filters(request: &RangeRequest) -> bool {
    request.min_mod_revision != 0
        || request.max_mod_revision != 0
        || request.min_create_revision != 0
        || request.max_create_revision != 0
}

/// Whether a version is within the request's bounds.
pub(crate) fn passes(request: &RangeRequest, version: &Version) -> bool {
    let within = |number: i64, min: i64, max: i64| (min == 0 || number >= min) && (max == 0 || number <= max);
    within(version.modified.main, request.min_mod_revision, request.max_mod_revision)
        && within(version.created, request.min_create_revision, request.max_create_revision)
}

/// Orders by anything but keys; equal ones stay in the order of keys, also when
/// descending, as with the few hits that etcd's sort treats in a stable way.
fn sort<F: DiskFile>(moment: &Moment<'_, F>, hits: &mut Vec<Hit>, options: &Options) -> Result<(), Fault> {
    if options.descending {
        hits.reverse();
    }
    match options.target {
        SortTarget::Key => {}
        SortTarget::Version => hits.sort_by_key(|hit| hit.version.version),
        SortTarget::Create => hits.sort_by_key(|hit| hit.version.created),
        SortTarget::Mod => hits.sort_by_key(|hit| hit.version.modified.main),
        SortTarget::Value => {
            let mut valued = Vec::with_capacity(hits.len());
            for hit in hits.drain(..) {
                let record = moment.read(&hit.version)?;
                let value = record.share(record.change().kv_fields.value);
                valued.push((value, Hit { kv: Some(record.kv()), ..hit }));
            }
            valued.sort_by(|left, right| left.0.cmp(&right.0));
            hits.extend(valued.into_iter().map(|(_, hit)| hit));
        }
    }
    if options.descending {
        hits.reverse();
    }
    Ok(())
}

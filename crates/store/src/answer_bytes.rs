//! How long an answer will be, before it is made: the edge sets memory aside for it.
//!
//! Mostly only the tree is looked at, which knows the size of every record, and nothing is read. Where a limit cuts what
//! was sorted, only the sorted say which keys those are: it is sorted as it would be to answer it, which takes memory too
//! ([`View::txn_sorted_bytes`]). What is said is about right and never far too little: what changes until the request is
//! carried out is not seen.

use std::ops::ControlFlow;

use disk::Disk;
use proto::etcdserverpb::request_op::Request;
use proto::etcdserverpb::{DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest};

use crate::fault::Fault;
use crate::keys::{Head, KeyRange};
use crate::long_range::{LongRange, sorted_bytes};
use crate::range::{self, Options};
use crate::reply::Header;
use crate::store::ReadError;
use crate::view::View;

/// Bytes of a KeyValue without key and value.
const NUMBERS_BYTES: usize = 40;

impl<D: Disk> View<D> {
    /// Bytes that are held to bring the keys of a range into another order than their own, by [`View::long_range`].
    pub fn sorted_bytes(&self, request: &RangeRequest) -> usize {
        sorted_bytes(&self.moment(), request)
    }

    /// Bytes that [`View::txn_answer_bytes`] holds at a time, at most.
    pub fn txn_sorted_bytes(&self, request: &TxnRequest) -> usize {
        let moment = self.moment();
        let of = |operation: &RequestOp| match &operation.request {
            Some(Request::RequestRange(range)) => match Options::of(&moment, range) {
                Ok(options) if options.cuts_sorted() => sorted_bytes(&moment, range),
                _ => 0,
            },
            Some(Request::RequestTxn(nested)) => self.txn_sorted_bytes(nested),
            _ => 0,
        };
        request.success.iter().chain(&request.failure).map(of).max().unwrap_or(0)
    }

    /// Bytes of the answer of a txn, of the branch whose is longer.
    pub fn txn_answer_bytes(&self, request: &TxnRequest) -> Result<usize, Fault> {
        Ok(self.branch_bytes(&request.success)?.max(self.branch_bytes(&request.failure)?))
    }

    /// Bytes of what a deletion removes, if it shall be answered.
    pub fn deleted_bytes(&self, request: &DeleteRangeRequest) -> usize {
        let keys = KeyRange::from_wire(&request.key, &request.range_end);
        if request.prev_kv { self.heads_bytes(keys, usize::MAX, |_, head| head.place.size_bytes as usize) } else { 0 }
    }

    /// Bytes of what a put replaces, if it shall be answered.
    pub fn replaced_bytes(&self, request: &PutRequest) -> usize {
        let size = |_: &[u8], head: &Head| head.place.size_bytes as usize;
        if request.prev_kv { self.heads_bytes(KeyRange::One(&request.key), 1, size) } else { 0 }
    }

    fn branch_bytes(&self, branch: &[RequestOp]) -> Result<usize, Fault> {
        let mut bytes = 0_usize;
        for operation in branch {
            let more = match &operation.request {
                Some(Request::RequestRange(range)) => self.range_bytes(range)?,
                Some(Request::RequestPut(put)) => self.replaced_bytes(put),
                Some(Request::RequestDeleteRange(delete)) => self.deleted_bytes(delete),
                Some(Request::RequestTxn(nested)) => self.txn_answer_bytes(nested)?,
                None => 0,
            };
            bytes = bytes.saturating_add(more);
        }
        Ok(bytes)
    }

    fn range_bytes(&self, request: &RangeRequest) -> Result<usize, Fault> {
        let moment = self.moment();
        // One that is refused has no answer.
        let Ok(options) = Options::of(&moment, request) else { return Ok(0) };
        if request.count_only {
            return Ok(0);
        }
        if options.cuts_sorted() {
            return match LongRange::measure(self, request) {
                Ok(range) => Ok(range.encoded_len(&Header::default())),
                Err(ReadError::Refusal(_)) => Ok(0),
                Err(ReadError::Fault(fault)) => Err(fault),
            };
        }
        // In another order it may be the one beyond the limit that is answered.
        let first = match options.limit {
            0 => usize::MAX,
            limit if options.by_key => limit,
            _ => options.enough,
        };
        let (mut bytes, mut found) = (0_usize, 0);
        range::walk(&moment, request, &options, |key, version| {
            let size = if request.keys_only { key.len() + NUMBERS_BYTES } else { version.size_bytes() };
            bytes = bytes.saturating_add(size);
            found += 1;
            Ok(if found == first { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        Ok(bytes)
    }

    fn heads_bytes(&self, keys: KeyRange<'_>, first: usize, size: impl Fn(&[u8], &Head) -> usize) -> usize {
        let moment = self.moment();
        let (mut bytes, mut found) = (0_usize, 0);
        let mut scan = moment.keys.scan(keys);
        while found < first
            && let Some((key, head)) = scan.next()
        {
            if !head.is_tombstone() {
                found += 1;
                bytes = bytes.saturating_add(size(key, &head));
            }
        }
        bytes
    }
}

//! How long an answer will be, before it is made: the edge sets memory aside for it.
//!
//! Of the present only the tree is looked at, which knows the size of every record; nothing is read. What is said is about
//! right and never far too little: what changes until the request is carried out is not seen.

use disk::Disk;
use proto::etcdserverpb::request_op::Request;
use proto::etcdserverpb::{DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest};

use crate::fault::Fault;
use crate::keys::{Head, KeyRange};
use crate::long_range::LongRange;
use crate::reply::Header;
use crate::store::ReadError;
use crate::view::View;

/// Bytes of a KeyValue without key and value.
const NUMBERS_BYTES: usize = 40;

impl<D: Disk> View<D> {
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
        if request.count_only {
            return Ok(0);
        }
        if request.revision > 0 {
            return match LongRange::measure(self, request) {
                Ok(range) => Ok(range.encoded_len(&Header::default())),
                // It will be refused.
                Err(ReadError::Refusal(_)) => Ok(0),
                Err(ReadError::Fault(fault)) => Err(fault),
            };
        }
        let keys = KeyRange::from_wire(&request.key, &request.range_end);
        // Sorted by something else the largest may be answered; with filters, keys behind the first ones.
        let first = usize::try_from(request.limit).ok().filter(|&limit| limit > 0 && request.sort_target == 0);
        let any_filter = [
            request.min_mod_revision,
            request.max_mod_revision,
            request.min_create_revision,
            request.max_create_revision,
        ];
        let first = first.filter(|_| request.sort_order < 2 && any_filter == [0; 4]).unwrap_or(usize::MAX);
        Ok(match request.keys_only {
            true => self.heads_bytes(keys, first, |key, _| key.len() + NUMBERS_BYTES),
            false => self.heads_bytes(keys, first, |_, head| head.place.size_bytes as usize),
        })
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

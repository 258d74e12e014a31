//! What can be said about a request from its shape alone, before it is proposed.
//!
//! Nothing here looks at state; the edge asks and a refused request never reaches
//! the log. The order of the checks decides which refusal a request with several
//! mistakes gets, and it is etcd's (`api/v3rpc/key.go`).
//!
//! The one rule with depth is that no branch of a txn writes a key twice, which
//! would have no order inside one revision. etcd's way to look for it has gaps,
//! and clients rely on what is let through, so the gaps are kept:
//!
//! * a delete's end `"\0"` is taken literally, so a delete "from here on" meets no put;
//! * a put in one nested txn is not compared with deletes of a later sibling,
//!   only with those of earlier siblings, of parents, and of its own branch;
//! * deletes never meet deletes, and ranges meet nothing.

use std::collections::{BTreeMap, BTreeSet};

use proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use proto::etcdserverpb::request_op::Request;
use proto::etcdserverpb::{DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest};

use crate::refusal::Refusal;

/// Checks a range, alone or inside a txn.
pub fn range(request: &RangeRequest) -> Result<(), Refusal> {
    let known = SortOrder::is_valid(request.sort_order) && SortTarget::is_valid(request.sort_target);
    match (request.key.is_empty(), known) {
        (true, _) => Err(Refusal::EmptyKey),
        (false, false) => Err(Refusal::InvalidSortOption),
        (false, true) => Ok(()),
    }
}

/// Checks a put, alone or inside a txn.
pub fn put(request: &PutRequest) -> Result<(), Refusal> {
    if request.key.is_empty() {
        return Err(Refusal::EmptyKey);
    }
    if request.ignore_value && !request.value.is_empty() {
        return Err(Refusal::ValueProvided);
    }
    if request.ignore_lease && request.lease != 0 {
        return Err(Refusal::LeaseProvided);
    }
    Ok(())
}

/// Checks a delete, alone or inside a txn.
pub fn delete_range(request: &DeleteRangeRequest) -> Result<(), Refusal> {
    match request.key.is_empty() {
        true => Err(Refusal::EmptyKey),
        false => Ok(()),
    }
}

/// Checks a txn with all that is nested in it.
///
/// `ops_max` bounds compares and either branch. A nested txn gets what the longest
/// of its parent's three lists has left of it.
pub fn txn(request: &TxnRequest, ops_max: usize) -> Result<(), Refusal> {
    operations(request, ops_max)?;
    writes(&request.success)?;
    writes(&request.failure)?;
    Ok(())
}

/// Whether a txn can be answered without the log: every operation of its own
/// branches is a range. A nested txn makes it a write even if it only reads.
pub fn is_read_only(request: &TxnRequest) -> bool {
    own_operations(request).all(|op| matches!(&op.request, Some(Request::RequestRange(_))))
}

/// Whether a read-only txn may be answered from this member's state as it is: all
/// its ranges allow it. So a txn that only compares counts as one.
pub fn is_serializable(request: &TxnRequest) -> bool {
    let allows = |op: &RequestOp| match &op.request {
        Some(Request::RequestRange(range)) => range.serializable,
        _ => false,
    };
    own_operations(request).all(allows)
}

fn own_operations(request: &TxnRequest) -> impl Iterator<Item = &RequestOp> {
    request.success.iter().chain(&request.failure)
}

fn operations(request: &TxnRequest, ops_max: usize) -> Result<(), Refusal> {
    let lists = [request.compare.len(), request.success.len(), request.failure.len()];
    let longest = lists.into_iter().max().unwrap_or(0);
    let budget = ops_max.checked_sub(longest).ok_or(Refusal::TooManyOps)?;
    if request.compare.iter().any(|compare| compare.key.is_empty()) {
        return Err(Refusal::EmptyKey);
    }
    for op in own_operations(request) {
        match &op.request {
            Some(Request::RequestRange(request)) => range(request)?,
            Some(Request::RequestPut(request)) => put(request)?,
            Some(Request::RequestDeleteRange(request)) => delete_range(request)?,
            Some(Request::RequestTxn(request)) => operations(request, budget)?,
            None => return Err(Refusal::KeyNotFound),
        }
    }
    Ok(())
}

/// What a branch with all that is nested in it writes.
#[derive(Default)]
struct Writes<'a> {
    puts: BTreeSet<&'a [u8]>,
    deletes: Intervals,
}

impl<'a> Writes<'a> {
    fn put(&mut self, key: &'a [u8]) -> Result<(), Refusal> {
        match self.deletes.contains(key) || !self.puts.insert(key) {
            true => Err(Refusal::DuplicateKey),
            false => Ok(()),
        }
    }
}

/// The writes of a branch, or the refusal. The order of the three passes is what
/// leaves the gaps named at the top.
fn writes(branch: &[RequestOp]) -> Result<Writes<'_>, Refusal> {
    let mut all = Writes::default();
    for op in branch {
        if let Some(Request::RequestDeleteRange(delete)) = &op.request {
            all.deletes.insert(&delete.key, &delete.range_end);
        }
    }
    for op in branch {
        if let Some(Request::RequestTxn(nested)) = &op.request {
            let then = writes(&nested.success)?;
            let otherwise = writes(&nested.failure)?;
            for key in &then.puts {
                all.put(key)?;
            }
            // Only one of the two branches runs, so they may put the same keys.
            for key in otherwise.puts.difference(&then.puts) {
                all.put(key)?;
            }
            all.deletes.extend(then.deletes);
            all.deletes.extend(otherwise.deletes);
        }
    }
    for op in branch {
        if let Some(Request::RequestPut(put)) = &op.request {
            all.put(&put.key)?;
        }
    }
    Ok(all)
}

/// A set of keys made of intervals, kept apart from one another.
#[derive(Default)]
struct Intervals {
    /// Begin, and the end that does not belong to it any more.
    apart: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Intervals {
    /// Adds what a delete names. With an end at or before its key that is nothing.
    fn insert(&mut self, key: &[u8], range_end: &[u8]) {
        let end = match range_end {
            [] => [key, b"\0"].concat(),
            end => end.to_vec(),
        };
        self.add(key.to_vec(), end);
    }

    fn add(&mut self, mut begin: Vec<u8>, mut end: Vec<u8>) {
        if begin >= end {
            return;
        }
        // Swallows the neighbours it touches, from the last one backwards.
        while let Some((other, until)) = self.apart.range(..=end.clone()).next_back()
            && *until >= begin
        {
            let other = other.clone();
            let until = self.apart.remove(&other).expect("it was just seen");
            begin = begin.min(other);
            end = end.max(until);
        }
        self.apart.insert(begin, end);
    }

    fn extend(&mut self, others: Intervals) {
        for (begin, end) in others.apart {
            self.add(begin, end);
        }
    }

    fn contains(&self, key: &[u8]) -> bool {
        let before = self.apart.range::<[u8], _>((std::ops::Bound::Unbounded, std::ops::Bound::Included(key)));
        before.last().is_some_and(|(_, end)| key < end.as_slice())
    }
}

#[cfg(test)]
mod tests;

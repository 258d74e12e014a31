//! `etcdserverpb.KV`: keys and values.

use super::answer::{blocking, linearizable, propose, refused, unread};
use crate::grpc::Status;
use crate::handle::{Handle, View};
use crate::metrics;
use bytes::Bytes;
use proto::etcdserverpb::request_op::Request;
use proto::etcdserverpb::{
    CompactionRequest, DeleteRangeRequest, InternalRaftRequest, PutRequest, RangeRequest, RequestOp, TxnRequest,
};
use std::time::Instant;
use store::check;
use store::keys::KeyRange;
use store::{RangeReply, ReadError};

/// A range that may return more keys than this is read on a thread of its own, so that the edge goes on meanwhile.
pub(super) const KEYS_INLINE_MAX: usize = 1000;
/// How etcd labels a range in its metrics.
const RANGE: &str = "Range";

/// The answer of a range that has to wait for nothing: it may be stale, and is short. `None` for any other.
pub(super) fn range_now(handle: &Handle, request: &RangeRequest) -> Option<Result<Bytes, Status>> {
    if !request.serializable {
        return None;
    }
    let timed = metrics::Timed::begin(RANGE);
    let view = handle.view();
    if is_long(&view, request) {
        return None;
    }
    let answer = check::range(request).map_err(refused).and_then(|()| read(handle, &view, request));
    timed.end(answer.is_ok());
    Some(answer)
}

/// The answer of any range.
pub(super) async fn range(handle: &Handle, request: RangeRequest) -> Result<Bytes, Status> {
    let timed = metrics::Timed::begin(RANGE);
    let answer = range_untimed(handle, request).await;
    timed.end(answer.is_ok());
    answer
}

async fn range_untimed(handle: &Handle, request: RangeRequest) -> Result<Bytes, Status> {
    check::range(&request).map_err(refused)?;
    if !request.serializable {
        linearizable(handle).await?;
    }
    let view = handle.view();
    if !is_long(&view, &request) {
        return read(handle, &view, &request);
    }
    let handle = handle.clone();
    blocking(move || read(&handle, &view, &request)).await
}

/// What a View has, for other services.
pub(super) async fn look(view: View, request: RangeRequest) -> Result<RangeReply, ReadError> {
    if is_long(&view, &request) { blocking(move || view.range(&request)).await } else { view.range(&request) }
}

fn read(handle: &Handle, view: &View, request: &RangeRequest) -> Result<Bytes, Status> {
    let started = Instant::now();
    let reply = view.range(request);
    metrics::ranged(started.elapsed(), reply.is_ok());
    let reply = reply.map_err(unread)?;
    Ok(reply.encode(&handle.header(reply.revision)).into())
}

pub(super) async fn put(handle: &Handle, request: PutRequest) -> Result<Bytes, Status> {
    check::put(&request).map_err(refused)?;
    timed("Put", propose(handle, InternalRaftRequest { put: Some(request), ..Default::default() })).await
}

pub(super) async fn delete_range(handle: &Handle, request: DeleteRangeRequest) -> Result<Bytes, Status> {
    check::delete_range(&request).map_err(refused)?;
    let command = InternalRaftRequest { delete_range: Some(request), ..Default::default() };
    timed("DeleteRange", propose(handle, command)).await
}

pub(super) async fn txn(handle: &Handle, request: TxnRequest) -> Result<Bytes, Status> {
    check::txn(&request, handle.settings().max_txn_ops).map_err(refused)?;
    if check::is_read_only(&request) {
        return timed("ReadonlyTxn", read_only_txn(handle, request)).await;
    }
    timed("Txn", propose(handle, InternalRaftRequest { txn: Some(request), ..Default::default() })).await
}

async fn read_only_txn(handle: &Handle, request: TxnRequest) -> Result<Bytes, Status> {
    if !check::is_serializable(&request) {
        linearizable(handle).await?;
    }
    let view = handle.view();
    let handle = handle.clone();
    let is_long = |op: &RequestOp| matches!(&op.request, Some(Request::RequestRange(range)) if is_long(&view, range));
    let is_long = request.success.iter().chain(&request.failure).any(is_long);
    let read = move || {
        let reply = view.txn(&request).map_err(unread)?;
        Ok(Bytes::from(reply.encode(&handle.header(reply.revision))))
    };
    if is_long { blocking(read).await } else { read() }
}

pub(super) async fn compact(handle: &Handle, request: CompactionRequest) -> Result<Bytes, Status> {
    let command = InternalRaftRequest { compaction: Some(request), ..Default::default() };
    timed("Compaction", propose(handle, command)).await
}

/// Whether a range may take long: many keys to return, or to look at for a sort or a filter.
fn is_long(view: &View, request: &RangeRequest) -> bool {
    let keys = KeyRange::from_wire(&request.key, &request.range_end);
    if matches!(keys, KeyRange::One(_)) {
        return false;
    }
    let is_plain = request.sort_order == 0
        && request.sort_target == 0
        && request.min_mod_revision == 0
        && request.max_mod_revision == 0
        && request.min_create_revision == 0
        && request.max_create_revision == 0;
    let is_present = request.revision <= 0;
    if is_plain && is_present && (request.count_only || (1..=KEYS_INLINE_MAX as i64).contains(&request.limit)) {
        return false;
    }
    // The past may have had more keys than there are now.
    !is_present || view.count(keys) > KEYS_INLINE_MAX
}

/// Counts how long the work takes.
async fn timed(kind: &'static str, work: impl Future<Output = Result<Bytes, Status>>) -> Result<Bytes, Status> {
    let timed = metrics::Timed::begin(kind);
    let answer = work.await;
    timed.end(answer.is_ok());
    answer
}

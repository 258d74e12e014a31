//! `etcdserverpb.KV`: keys and values.

use super::answer::{aside_if, end, linearizable, propose, refused, unread};
use super::budget::{inline_bytes_max, long_range, share_for, share_of, with_share};
use crate::grpc::{Answer, Status};
use crate::handle::{Handle, View};
use crate::metrics;
use bytes::Bytes;
use proto::etcdserverpb::request_op::Request;
use proto::etcdserverpb::{
    CompactionRequest, DeleteRangeRequest, InternalRaftRequest, PutRequest, RangeRequest, TxnRequest,
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
    let answer = check::range(request).map_err(refused).and_then(|()| read(handle, &view, request)).transpose()?;
    timed.end(answer.is_ok());
    Some(answer)
}

/// The answer of any range.
pub(super) async fn range(handle: &Handle, request: RangeRequest) -> Result<Answer, Status> {
    let timed = metrics::Timed::begin(RANGE);
    let answer = range_untimed(handle, request).await;
    timed.end(answer.is_ok());
    answer
}

async fn range_untimed(handle: &Handle, request: RangeRequest) -> Result<Answer, Status> {
    check::range(&request).map_err(refused)?;
    if !request.serializable {
        linearizable(handle).await?;
    }
    let view = handle.view();
    let (is_long, reader) = (is_long(&view, &request), handle.clone());
    let (whole, request) = aside_if(is_long, move || (read(&reader, &view, &request), request)).await;
    match whole? {
        Some(message) => Ok(Answer::Whole(message)),
        None => long_range(handle, request).await,
    }
}

/// What a View has, for other services.
pub(super) async fn look(view: View, request: RangeRequest) -> Result<RangeReply, ReadError> {
    aside_if(is_long(&view, &request), move || view.range(&request)).await
}

/// The answer, if it is short. Counted only then: a long one is read again.
fn read(handle: &Handle, view: &View, request: &RangeRequest) -> Result<Option<Bytes>, Status> {
    let started = Instant::now();
    let reply = view.range_within(request, inline_bytes_max());
    if !matches!(reply, Ok(None)) {
        metrics::ranged(started.elapsed(), reply.is_ok());
    }
    let reply = reply.map_err(unread)?;
    Ok(reply.map(|reply| reply.encode(&handle.header(reply.revision)).into()))
}

pub(super) async fn put(handle: &Handle, request: PutRequest) -> Result<Answer, Status> {
    check::put(&request).map_err(refused)?;
    let bytes = if request.prev_kv { handle.view().replaced_bytes(&request) } else { 0 };
    let command = InternalRaftRequest { put: Some(request), ..Default::default() };
    from_log("Put", handle, command, bytes).await
}

pub(super) async fn delete_range(handle: &Handle, request: DeleteRangeRequest) -> Result<Answer, Status> {
    check::delete_range(&request).map_err(refused)?;
    let (bytes, request) = if request.prev_kv { deleted_bytes(handle, request).await } else { (0, request) };
    let command = InternalRaftRequest { delete_range: Some(request), ..Default::default() };
    from_log("DeleteRange", handle, command, bytes).await
}

pub(super) async fn txn(handle: &Handle, request: TxnRequest) -> Result<Answer, Status> {
    check::txn(&request, handle.settings().max_txn_ops).map_err(refused)?;
    if check::is_read_only(&request) {
        let timed = metrics::Timed::begin("ReadonlyTxn");
        let answer = read_only_txn(handle, request).await;
        timed.end(answer.is_ok());
        return answer;
    }
    let (bytes, request) = txn_bytes(handle, request).await;
    from_log("Txn", handle, InternalRaftRequest { txn: Some(request), ..Default::default() }, bytes).await
}

/// Puts a command into the log whose answer will have about so many bytes.
async fn from_log(
    kind: &'static str,
    handle: &Handle,
    command: InternalRaftRequest,
    bytes: usize,
) -> Result<Answer, Status> {
    let proposed = propose(handle, command);
    if bytes == 0 {
        return Ok(Answer::Whole(timed(kind, proposed).await?));
    }
    let share = Box::pin(share_of(handle, bytes)).await?;
    Ok(with_share(timed(kind, proposed).await?, share))
}

/// Bytes of what a deletion answers. The request comes back.
async fn deleted_bytes(handle: &Handle, request: DeleteRangeRequest) -> (usize, DeleteRangeRequest) {
    let view = handle.view();
    let is_long = view.count(KeyRange::from_wire(&request.key, &request.range_end)) > KEYS_INLINE_MAX;
    aside_if(is_long, move || (view.deleted_bytes(&request), request)).await
}

/// Bytes of what a txn answers. The request comes back.
async fn txn_bytes(handle: &Handle, request: TxnRequest) -> (usize, TxnRequest) {
    // What has to be sorted to know that is held meanwhile.
    let sorted = handle.view().txn_sorted_bytes(&request);
    let _share = Box::pin(share_for(handle, sorted)).await;
    let view = handle.view();
    let is_long = has_long(&view, &request);
    let (bytes, request) = aside_if(is_long, move || (view.txn_answer_bytes(&request), request)).await;
    (bytes.unwrap_or_else(|fault| end(&fault)), request)
}

/// Whether a txn looks at many keys in one of its ranges or deletions.
fn has_long(view: &View, request: &TxnRequest) -> bool {
    request.success.iter().chain(&request.failure).any(|operation| match &operation.request {
        Some(Request::RequestRange(range)) => is_long(view, range),
        Some(Request::RequestDeleteRange(delete)) => {
            delete.prev_kv && view.count(KeyRange::from_wire(&delete.key, &delete.range_end)) > KEYS_INLINE_MAX
        }
        Some(Request::RequestTxn(nested)) => has_long(view, nested),
        Some(Request::RequestPut(_)) | None => false,
    })
}

async fn read_only_txn(handle: &Handle, request: TxnRequest) -> Result<Answer, Status> {
    if !check::is_serializable(&request) {
        linearizable(handle).await?;
    }
    let (bytes, request) = txn_bytes(handle, request).await;
    let share = Box::pin(share_of(handle, bytes)).await?;
    let view = handle.view();
    let is_long = has_long(&view, &request);
    let handle = handle.clone();
    let read = move || {
        let reply = view.txn(&request).map_err(unread)?;
        Ok(Bytes::from(reply.encode(&handle.header(reply.revision))))
    };
    Ok(with_share(aside_if(is_long, read).await?, share))
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

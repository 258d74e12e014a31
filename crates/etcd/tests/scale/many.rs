//! Making much of it.

use client::Client;
use proto::etcdserverpb::request_op::Request;
use proto::etcdserverpb::{PutRequest, RequestOp, TxnRequest};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Operations of one txn (`--max-txn-ops`).
pub const OPS: usize = 128;
/// Requests under way.
const WORKERS: usize = 16;

/// Puts in one txn.
pub async fn put_all(client: &Client, puts: impl Iterator<Item = PutRequest>) {
    let success = puts.map(|put| RequestOp { request: Some(Request::RequestPut(put)) }).collect();
    let answer = client.txn(TxnRequest { success, ..TxnRequest::default() }).await.expect("a txn");
    assert!(answer.succeeded);
}

/// Does `work` for each part of `0..count` of [`OPS`], many at a time.
pub async fn in_parts<F>(count: usize, work: impl Fn(std::ops::Range<usize>) -> F + Send + Sync + 'static)
where
    F: Future<Output = ()> + Send,
{
    let next = Arc::new(AtomicUsize::new(0));
    let work = Arc::new(work);
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..WORKERS {
        let (next, work) = (next.clone(), work.clone());
        workers.spawn(async move {
            loop {
                let first = next.fetch_add(OPS, Ordering::Relaxed);
                if first >= count {
                    return;
                }
                work(first..count.min(first + OPS)).await;
            }
        });
    }
    while let Some(done) = workers.join_next().await {
        done.expect("no worker fails");
    }
}

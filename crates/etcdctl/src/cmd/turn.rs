//! Taking turns, for `lock` and `elect`: a key for each who wants, the oldest in front, each waiting for the one before
//! it. It is done from here, as Go's concurrency package does it, so that everybody stands in the same queue.

use std::future::Future;

use client::Client;
use client::range::prefix_end;
use proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use proto::etcdserverpb::request_op::Request;
use proto::etcdserverpb::watch_create_request::FilterType;
use proto::etcdserverpb::{
    Compare, DeleteRangeRequest, LeaseGrantRequest, PutRequest, RangeRequest, RangeResponse, RequestOp, TxnRequest,
    WatchCreateRequest,
};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;

use crate::fail::{Exit, Failure, Result};

/// A place in a queue, kept as long as its lease is.
#[derive(Debug)]
pub struct Place {
    client: Client,
    prefix: Vec<u8>,
    /// `name/lease`
    pub key: Vec<u8>,
    /// The revision in which it was taken.
    pub created: i64,
    lease: i64,
    /// Ends when the lease has.
    keeping: JoinHandle<()>,
}

impl Place {
    /// Grants a lease of so many seconds and takes the last place.
    pub async fn take(client: &Client, name: &[u8], ttl: i64, value: &[u8]) -> Result<Place> {
        let lease = client.lease_grant(LeaseGrantRequest { ttl, id: 0 }).await?.id;
        let mut renewals = client.lease_keep_alive(lease);
        let keeping = tokio::spawn(async move { while let Ok(Some(_)) = renewals.next().await {} });
        let prefix = prefix_of(name);
        let key = [&prefix, format!("{lease:x}").as_bytes()].concat();
        let put = PutRequest { key: key.clone().into(), value: value.to_vec().into(), lease, ..PutRequest::default() };
        let taken = client.txn(if_created(&key, 0, Request::RequestPut(put))).await?;
        let created = taken.header.map_or(0, |header| header.revision);
        // The lease was made just now, so nobody else can have a key of its name.
        Ok(Place { client: client.clone(), prefix, key, created, lease, keeping })
    }

    /// Waits until nobody is in front; the revision of that moment, if there was somebody.
    pub async fn turn(&self) -> Result<Option<i64>> {
        let mut waited = None;
        loop {
            let before = RangeRequest {
                sort_order: SortOrder::Descend.into(),
                max_create_revision: self.created - 1,
                ..by_age(&self.prefix)
            };
            let found = self.client.range(before).await?;
            let revision = found.header.map_or(0, |header| header.revision);
            let Some(before) = found.kvs.into_iter().next() else { return Ok(waited.map(|()| revision)) };
            waited = Some(());
            let mut watcher = self.client.watch(WatchCreateRequest {
                key: before.key,
                start_revision: revision,
                filters: vec![FilterType::Noput.into()],
                ..WatchCreateRequest::default()
            });
            // A watch that a compaction has ended says no more than that it is time to look again.
            while let Some(response) = watcher.next().await? {
                if response.canceled || !response.events.is_empty() {
                    break;
                }
            }
        }
    }

    /// The own key as it is; none if it was lost.
    pub async fn look(&self) -> Result<RangeResponse> {
        let own = RangeRequest { key: self.key.clone().into(), ..RangeRequest::default() };
        Ok(self.client.range(own).await?)
    }

    /// Waits until the lease is lost.
    pub async fn lost(&mut self) {
        // It ends with the lease, and does not panic.
        drop((&mut self.keeping).await);
    }

    /// Gives the place back.
    pub async fn leave(self) -> Result<()> {
        self.keeping.abort();
        let delete = DeleteRangeRequest { key: self.key.clone().into(), ..DeleteRangeRequest::default() };
        self.client.txn(if_created(&self.key, self.created, Request::RequestDeleteRange(delete))).await?;
        // A lease that has ended is as good as revoked.
        drop(self.client.lease_revoke(self.lease).await);
        Ok(())
    }
}

/// Does one thing if the key is what it was: created at this revision, 0 if it must not exist.
fn if_created(key: &[u8], created: i64, then: Request) -> TxnRequest {
    let compare = Compare {
        key: key.to_vec().into(),
        target: CompareTarget::Create.into(),
        result: CompareResult::Equal.into(),
        target_union: Some(TargetUnion::CreateRevision(created)),
        ..Compare::default()
    };
    TxnRequest { compare: vec![compare], success: vec![RequestOp { request: Some(then) }], failure: Vec::new() }
}

/// Who is in front.
pub async fn first(client: &Client, name: &[u8]) -> Result<RangeResponse> {
    let oldest = RangeRequest { sort_order: SortOrder::Ascend.into(), ..by_age(&prefix_of(name)) };
    Ok(client.range(oldest).await?)
}

/// What the keys of a queue begin with.
pub fn prefix_of(name: &[u8]) -> Vec<u8> {
    [name, b"/"].concat()
}

fn by_age(prefix: &[u8]) -> RangeRequest {
    RangeRequest {
        key: prefix.to_vec().into(),
        range_end: prefix_end(prefix),
        sort_target: SortTarget::Create.into(),
        limit: 1,
        ..RangeRequest::default()
    }
}

/// The signals that end such a command in order.
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// From now on the process does not end by itself when it gets one.
    pub fn listen() -> Result<Signals> {
        Ok(Signals { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Waits for one.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    /// What comes of `work`, or etcdctl's words for having been told to stop.
    pub async fn or<T>(&mut self, work: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            outcome = work => outcome,
            () = self.next() => Err(Failure::new(Exit::Error, "context canceled")),
        }
    }
}

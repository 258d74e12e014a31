//! Clients that watch: witnesses, one on each member, that see everything from
//! the first revision to the last, and some that come late, look for a while
//! at what has been, and go.

use crate::history::{ALL, Nanos, Told};
use crate::notebook::Notebook;
use bytes::Bytes;
use client::Client;
use client::range::prefix_end;
use fastrand::Rng;
use proto::etcdserverpb::WatchCreateRequest;
use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::MissedTickBehavior;

/// A watch that cannot go on is begun again so often: nothing tells when a member serves again.
const PAUSE: Duration = Duration::from_millis(100);
/// How far back those look who come late, at most, in revisions.
const BACK_MAX: i64 = 600;
/// How long they stay, in milliseconds.
const STAYS_MS: std::ops::Range<u64> = 500..5_000;

/// Watches all keys on one member until it is dropped. Begins again where it
/// was when its watch cannot go on.
pub async fn witness(number: usize, client: Client, notebook: Arc<Notebook>) {
    let watch = notebook.watches(told(number, &all_from(1)));
    follow(&client, &all_from(1), &notebook, watch, pending()).await;
}

/// Notes what this watch is told, until it is cancelled or has come as far as
/// `enough` says, once that says so. Where it cannot go on it begins again. One
/// that did not ask for notices asks how far it is, again and again, as soon as
/// it is to leave.
async fn follow(
    client: &Client,
    create: &WatchCreateRequest,
    notebook: &Notebook,
    watch: usize,
    enough: impl Future<Output = i64>,
) {
    let mut watcher = client.watch(create.clone());
    let mut pace = tokio::time::interval(PAUSE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut enough = pin!(enough);
    let mut wanted = None;
    while wanted.is_none_or(|wanted| notebook.upto(watch) < wanted) {
        tokio::select! {
            told = watcher.next() => match told {
                Ok(Some(response)) => notebook.told(watch, response),
                Ok(None) => return,
                Err(_) => {
                    let owed = notebook.upto(watch) + 1;
                    watcher = client.watch(WatchCreateRequest { start_revision: owed, ..create.clone() });
                    pace.tick().await;
                }
            },
            revision = &mut enough, if wanted.is_none() => wanted = Some(revision),
            _ = pace.tick(), if wanted.is_some() && !create.progress_notify => watcher.request_progress().await,
        }
    }
}

/// Has this member tell everything that it has kept, up to this revision.
/// None if it does not within `patience`.
pub async fn tell_again(number: usize, client: Client, upto: i64, patience: Duration) -> Option<Told> {
    let mut create = all_from(1);
    let mut again = Told { again: true, stays: false, ..told(number, &create) };
    let mut watcher = client.watch(create.clone());
    let until = tokio::time::Instant::now() + patience;
    while again.upto() < upto {
        let response = tokio::time::timeout_at(until, watcher.next()).await.ok()?.ok()??;
        if response.canceled && response.compact_revision > 0 {
            // The rest of that revision may be gone; those after it are whole.
            create.start_revision = response.compact_revision + 1;
            again.from = create.start_revision;
            watcher = client.watch(create.clone());
        } else {
            again.responses.push((Nanos::MAX, response));
        }
    }
    Some(again)
}

fn all_from(start_revision: i64) -> WatchCreateRequest {
    WatchCreateRequest {
        key: Bytes::from_static(&ALL),
        range_end: Bytes::from_static(&ALL),
        start_revision,
        progress_notify: true,
        prev_kv: true,
        ..WatchCreateRequest::default()
    }
}

/// Watches some keys (by `which`) from some revision on, again and again, for a
/// while and until it was told what it came for. The last one stays.
pub async fn come_late(which: usize, number: usize, client: Client, notebook: Arc<Notebook>, seed: u64) {
    let mut chance = Rng::with_seed(seed ^ (number as u64) << 52);
    while !notebook.stopped() {
        let from = (notebook.latest() - chance.i64(-5..BACK_MAX)).max(1);
        let (key, range_end) = match which {
            0 => (Bytes::from_static(b"r/"), prefix_end(b"r/")),
            1 => (Bytes::from_static(b"l/"), prefix_end(b"l/")),
            _ => (Bytes::from(format!("r/{}", chance.u8(0..10))), Bytes::new()),
        };
        let create = WatchCreateRequest {
            key,
            range_end,
            start_revision: from,
            progress_notify: chance.bool(),
            prev_kv: chance.bool(),
            fragment: chance.bool(),
            ..WatchCreateRequest::default()
        };
        let watch = notebook.watches(told(number, &create));
        // What is known now it must have been told before it leaves, and the revision that it begins with.
        let (owed, stays) = (notebook.latest().max(from), Duration::from_millis(chance.u64(STAYS_MS)));
        let enough = async {
            notebook.pause(stays).await;
            // When the load ends, those that are there stay until all is over.
            if notebook.stopped() { i64::MAX } else { owed }
        };
        follow(&client, &create, &notebook, watch, enough).await;
        notebook.leaves(watch);
        notebook.pause(PAUSE).await;
    }
}

fn told(client: usize, create: &WatchCreateRequest) -> Told {
    Told {
        client,
        key: create.key.to_vec(),
        range_end: create.range_end.to_vec(),
        previous: create.prev_kv,
        from: create.start_revision,
        again: false,
        stays: true,
        responses: Vec::new(),
    }
}

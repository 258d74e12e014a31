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
    let create = all_from(1);
    let told = told(number, &create);
    let watch = notebook.watches(told);
    let mut watcher = client.watch(create.clone());
    let mut pace = tokio::time::interval(PAUSE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        match watcher.next().await {
            Ok(Some(response)) => notebook.told(watch, response),
            Ok(None) => return,
            Err(_) => {
                let upto = notebook.witnesses().into_iter().find_map(|(other, upto)| (other == number).then_some(upto));
                let owed = upto.unwrap_or(0).max(0) + 1;
                watcher = client.watch(WatchCreateRequest { start_revision: owed, ..create.clone() });
                pace.tick().await;
            }
        }
    }
}

/// Has this member tell everything that it has kept, up to this revision.
/// None if it does not within `patience`.
pub async fn tell_again(number: usize, client: Client, upto: i64, patience: Duration) -> Option<Told> {
    let mut create = all_from(1);
    let mut again = Told { again: true, ..told(number, &create) };
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

/// Watches some keys from some revision on, for a while, again and again.
pub async fn come_late(number: usize, client: Client, notebook: Arc<Notebook>, seed: u64) {
    let mut chance = Rng::with_seed(seed ^ (number as u64) << 52);
    while !notebook.stopped() {
        let from = (notebook.latest() - chance.i64(-5..BACK_MAX)).max(1);
        let (key, range_end) = match chance.u8(0..3) {
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
        let mut watcher = client.watch(create);
        let until = tokio::time::Instant::now() + Duration::from_millis(chance.u64(STAYS_MS));
        while let Ok(Ok(Some(response))) = tokio::time::timeout_at(until, watcher.next()).await {
            notebook.told(watch, response);
        }
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
        responses: Vec::new(),
    }
}

//! Writers that remember what was acknowledged to them, and the judgement
//! afterwards: every acknowledged write is there, at the revision it was
//! acknowledged with.

use crate::harness::{Cluster, PATIENCE};
use client::range::prefix_end;
use client::{Client, Config};
use proto::etcdserverpb::{PutRequest, RangeRequest};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How long one write may take before its writer gives it up and goes on.
const WRITE_PATIENCE: Duration = Duration::from_secs(1);
/// The pause after a write that failed.
const PAUSE: Duration = Duration::from_millis(5);

/// Key and the revision it was acknowledged with. The value is the key.
pub type Acknowledged = BTreeMap<String, i64>;

/// Writers at work.
pub struct Load {
    acknowledged: Arc<Mutex<Acknowledged>>,
    count: watch::Sender<usize>,
    stop: Arc<AtomicBool>,
    writers: Vec<JoinHandle<()>>,
}

impl Load {
    /// Starts writers, each with connections of its own to all of `members`.
    /// Keys begin with `title`.
    pub fn start(cluster: &Cluster, title: &str, writers: usize, members: &[usize]) -> Load {
        let mut load = Load {
            acknowledged: Arc::default(),
            count: watch::Sender::new(0),
            stop: Arc::default(),
            writers: Vec::new(),
        };
        let endpoints: Vec<String> =
            members.iter().map(|&number| format!("127.0.0.1:{}", cluster.members[number].client_port)).collect();
        for writer in 0..writers {
            let mut config = Config::to(endpoints.clone());
            config.timeout = Some(WRITE_PATIENCE);
            let client = Client::new(config).expect("the endpoints are well-formed");
            let (acknowledged, count, stop) = (load.acknowledged.clone(), load.count.clone(), load.stop.clone());
            let prefix = format!("{title}/{writer}");
            load.writers.push(tokio::spawn(write(client, prefix, acknowledged, count, stop)));
        }
        load
    }

    /// Writes acknowledged so far.
    pub fn count(&self) -> usize {
        *self.count.borrow()
    }

    /// Waits until this many more writes were acknowledged than now.
    pub async fn goes_on(&self, more: usize) {
        let wanted = self.count() + more;
        let mut counts = self.count.subscribe();
        let reached = tokio::time::timeout(PATIENCE, counts.wait_for(|count| *count >= wanted)).await;
        assert!(reached.is_ok(), "no {more} writes were acknowledged within {PATIENCE:?}");
    }

    /// A copy of what was acknowledged so far.
    pub fn so_far(&self) -> Acknowledged {
        self.acknowledged.lock().expect("no writer panics").clone()
    }

    /// Ends the writers and says what they were promised.
    pub async fn stop(self) -> Acknowledged {
        self.stop.store(true, Ordering::Relaxed);
        for writer in self.writers {
            writer.await.expect("a writer ends in order");
        }
        std::mem::take(&mut *self.acknowledged.lock().expect("no writer panics"))
    }
}

async fn write(
    client: Client,
    prefix: String,
    acknowledged: Arc<Mutex<Acknowledged>>,
    count: watch::Sender<usize>,
    stop: Arc<AtomicBool>,
) {
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        // A key of its own for every attempt: one that failed may or may not
        // be there later, and proves nothing.
        let key = format!("{prefix}/{number:08}");
        number += 1;
        let put = PutRequest { key: key.clone().into(), value: key.clone().into(), ..PutRequest::default() };
        match client.put(put).await {
            Ok(response) => {
                let revision = response.header.expect("a put has a header").revision;
                acknowledged.lock().expect("no writer panics").insert(key, revision);
                count.send_modify(|count| *count += 1);
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// Reads all keys that begin with `title` and compares.
pub async fn expect_all(client: &Client, title: &str, acknowledged: &Acknowledged) {
    expect_since(client, title, acknowledged, 0).await;
}

/// The same for what was written after revision `seen`.
pub async fn expect_since(client: &Client, title: &str, acknowledged: &Acknowledged, seen: i64) {
    let prefix = format!("{title}/");
    let range = RangeRequest {
        key: prefix.clone().into(),
        range_end: prefix_end(prefix.as_bytes()),
        min_mod_revision: seen + 1,
        ..RangeRequest::default()
    };
    let found = client.range(range).await.expect("a range is answered");
    let found: BTreeMap<String, (String, i64)> = found
        .kvs
        .into_iter()
        .map(|kv| {
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("writers write text");
            (text(&kv.key), (text(&kv.value), kv.mod_revision))
        })
        .collect();
    for (key, revision) in acknowledged.iter().filter(|(_, revision)| **revision > seen) {
        let there = found.get(key).unwrap_or_else(|| panic!("{key}, acknowledged at revision {revision}, is lost"));
        assert_eq!(there, &(key.clone(), *revision), "{key} is not as it was acknowledged");
    }
}

//! What an applied put and a read of one key cost, on a real disk, without consensus and network.
//!
//! `cargo bench -p store --bench apply [keys]`

#![allow(clippy::disallowed_methods, reason = "a benchmark looks at the clock and tidies up after itself")]

use std::time::{Duration, Instant};

use bytes::Bytes;
use disk::{Disk, OsDisk};
use prost::Message;
use proto::etcdserverpb as pb;
use store::{Entry, EntryKind, Settings, Store};

const VALUE_BYTES: usize = 256;

fn main() {
    let keys: u64 = std::env::args().skip(1).find_map(|word| word.parse().ok()).unwrap_or(200_000);
    let root = std::env::temp_dir().join(format!("store-bench-{}", std::process::id()));
    let disk = OsDisk::new(&root).expect("a directory to write to");
    run(&disk, keys);
    std::fs::remove_dir_all(&root).expect("what was written can be removed");
}

fn run(disk: &OsDisk, keys: u64) {
    let settings = Settings::default();
    let mut store = Store::create(disk.clone(), "revisions", settings.clone()).expect("a new store");
    println!("{keys} keys of 17 bytes, values of {VALUE_BYTES}");
    for batch in [100, 1] {
        let spent = write(&mut store, keys, keys, batch, |at| at);
        report(&format!("put, new then overwritten, batches of {batch}"), spent, keys);
    }
    let spent = write(&mut store, keys, keys, 100, |at| scatter(at, keys));
    report("put, random, batches of 100", spent, keys);

    let view = store.view();
    let began = Instant::now();
    let mut bytes = 0;
    for at in 0..keys {
        let request = pb::RangeRequest { key: key(scatter(at, keys)), ..Default::default() };
        bytes += view.range(&request).expect("a key").kvs[0].len();
    }
    report(&format!("get, random ({bytes} bytes)"), began.elapsed(), keys);

    let began = Instant::now();
    let all = pb::RangeRequest { key: "\0".into(), range_end: "\0".into(), ..Default::default() };
    let count = view.range(&all).expect("all keys").kvs.len() as u64;
    report("range over everything, for each key", began.elapsed(), count);

    let began = Instant::now();
    let count = view.history(1, i64::MAX).map(|events| events.expect("history").events.len() as u64).sum();
    report("history, for each event", began.elapsed(), count);

    let began = Instant::now();
    let hash = view.hash_kv(0).expect("a hash").hash;
    report(&format!("HashKV ({hash:08x}), for each record"), began.elapsed(), count);

    let stats = store.stats();
    println!(
        "tree {} bytes a key; log {} bytes a put; {} segments",
        stats.keys_memory_bytes / stats.keys.max(1),
        stats.size_bytes / stats.puts.max(1),
        stats.segments
    );
    store.sync().expect("a sync");
    drop((view, store));
    let began = Instant::now();
    let mut store = Store::open(disk.clone(), "revisions", settings).expect("the store again");
    report("open, for each record", began.elapsed(), count);

    let revision = store.view().revision();
    let compaction = pb::InternalRaftRequest {
        compaction: Some(pb::CompactionRequest { revision, physical: false }),
        ..Default::default()
    };
    let index = store.applied().0 + 1;
    store.apply(&[entry(index, compaction)], &|_| true).expect("a compaction");
    let (began, mut given_back, mut longest) = (Instant::now(), 0, Duration::ZERO);
    while store.wants_sweep() {
        let step = Instant::now();
        given_back += store.sweep(1 << 20).expect("a sweep");
        longest = longest.max(step.elapsed());
    }
    let spent = began.elapsed();
    println!("sweep gave back {given_back} bytes in {spent:?}; longest step of 1 MiB {longest:?}");
    let segments = disk.list("revisions").expect("segments").len();
    println!("{segments} segments, {} bytes", store.stats().size_bytes);
}

/// Applies `count` puts with a view after each batch.
fn write(store: &mut Store<OsDisk>, count: u64, keys: u64, batch: u64, which: impl Fn(u64) -> u64) -> Duration {
    let value = Bytes::from(vec![b'v'; VALUE_BYTES]);
    let mut spent = Duration::ZERO;
    let mut view = store.view();
    let mut at = 0;
    while at < count {
        let first = store.applied().0 + 1;
        let entries: Vec<Entry> = (0..batch.min(count - at))
            .map(|offset| {
                let put =
                    pb::PutRequest { key: key(which(at + offset) % keys), value: value.clone(), ..Default::default() };
                entry(first + offset, pb::InternalRaftRequest { put: Some(put), ..Default::default() })
            })
            .collect();
        let began = Instant::now();
        let applied = store.apply(&entries, &|_| true).expect("an apply");
        assert_eq!(applied.outcomes.len(), entries.len());
        view = store.view();
        spent += began.elapsed();
        at += batch;
    }
    assert_eq!(view.applied(), store.applied().0);
    spent
}

fn entry(index: u64, request: pb::InternalRaftRequest) -> Entry {
    let header = Some(pb::RequestHeader { id: index, ..Default::default() });
    let data = pb::InternalRaftRequest { header, ..request }.encode_to_vec().into();
    Entry { index, term: 1, kind: EntryKind::Normal, data }
}

fn key(at: u64) -> Bytes {
    format!("key/{at:013}").into()
}

fn scatter(at: u64, keys: u64) -> u64 {
    at.wrapping_mul(0x9e37_79b9_7f4a_7c15) % keys
}

fn report(what: &str, spent: Duration, count: u64) {
    println!("{:8.0} ns  {what}", spent.as_nanos() as f64 / count.max(1) as f64);
}

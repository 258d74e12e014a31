//! What it costs Hub to find that a put concerns nobody, among watches of prefixes: `cargo bench -p member`.
#![allow(clippy::disallowed_methods, reason = "a benchmark looks at the clock")]

use bytes::Bytes;
use disk::{SimDisk, SimFaults};
use member::hub::{Hub, Settings};
use prost::Message;
use proto::etcdserverpb as pb;
use std::time::Instant;
use store::{Entry, EntryKind, Store};

const PUTS: usize = 10_000;

fn main() {
    for watches in [0, 1_000, 10_000, 100_000] {
        run(watches);
    }
}

/// A watch of a prefix, as Kubernetes' are: no two alike, of paths that begin alike.
fn watch(number: usize) -> pb::WatchCreateRequest {
    let prefix = format!("/registry/pods/ns-{number:06}/");
    let end = format!("/registry/pods/ns-{number:06}0");
    pb::WatchCreateRequest { key: prefix.into(), range_end: end.into(), ..Default::default() }
}

fn run(watches: usize) {
    let settings = store::Settings { member_id: 1, cluster_id: 2, ..Default::default() };
    let disk = SimDisk::new(1, SimFaults::default());
    let mut store = Store::create(disk, "store", settings).expect("an empty disk takes a store");
    let mut hub = Hub::new(Settings::new(1 << 40, 1 << 20), store.view());
    hub.open(1);
    let mut out = Vec::new();
    let begun = Instant::now();
    for number in 0..watches {
        hub.create(1, &watch(number));
    }
    let created = begun.elapsed();
    hub.take(&mut out);
    hub.credit(1, out.len(), 0);
    out.clear();

    let moments: Vec<_> = (0..PUTS)
        .map(|number| {
            // All over, each just before a prefix that is watched.
            let key = format!("/registry/pods/ns-{:06}-/pod", number * 7_919 % 100_000);
            let put =
                Some(pb::PutRequest { key: key.into(), value: Bytes::from_static(&[7; 256]), ..Default::default() });
            let data = pb::InternalRaftRequest { put, ..Default::default() }.encode_to_vec().into();
            let index = number as u64 + 1;
            let entry = Entry { index, term: 1, kind: EntryKind::Normal, data };
            let applied = store.apply(&[entry], &|_| false).expect("the disk is well");
            (store.view(), applied.events)
        })
        .collect();
    let begun = Instant::now();
    // The moments are kept: letting go of one is not what is measured.
    for (view, news) in &moments {
        hub.publish(view.clone(), news).expect("the disk is well");
    }
    let told = begun.elapsed();
    let begun = Instant::now();
    hub.close(1);
    let closed = begun.elapsed();
    let each = |spent: std::time::Duration, count: usize| spent.as_nanos() as f64 / 1_000.0 / count.max(1) as f64;
    println!(
        "{watches:>7} watches of prefixes: a put {:.2} µs, a watch created {:.2} µs, ended {:.2} µs",
        each(told, PUTS),
        each(created, watches),
        each(closed, watches),
    );
}

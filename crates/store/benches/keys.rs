//! What the key index costs, beside a plain `BTreeMap` (which has no views): `cargo bench -p store --bench keys`.
//!
//! One number of keys and two kinds of names, 45 bytes each: paths as Kubernetes writes them, and random bytes, of
//! which nothing can be compressed. A view is taken every hundred operations and the one before is dropped.
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock and its own memory use")]

use std::{collections::BTreeMap, hint::black_box, ops::Bound, time::Instant};

use store::{
    keys::{Head, KeyRange, Keys, Place},
    revision::Revision,
};

const OPERATIONS: usize = 1_000_000;
const VIEW_EVERY: usize = 100;

struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

fn path(chance: &mut Chance) -> [u8; 45] {
    let number = chance.next();
    let name = format!("/registry/pods/ns-{:04}/{:022x}", number % 1000, u128::from(chance.next()) << 20);
    name.as_bytes().try_into().expect("45 bytes")
}

fn random(chance: &mut Chance) -> [u8; 45] {
    std::array::from_fn(|_| chance.next() as u8)
}

fn head(main: usize) -> Head {
    Head {
        modified: Revision { main: main as i64, sub: 0 },
        created: (main / 3) as i64,
        version: (main % 500) as i64 + 1,
        place: Place { segment: (main >> 18) as u32, offset: (main << 8) as u64 & 0x3ff_ffff, size_bytes: 320 },
    }
}

/// Resident memory of this process, in bytes; 0 where there is no /proc.
fn resident_bytes() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    pages.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap_or(0) * 4096
}

fn timed(title: &str, count: usize, work: impl FnOnce()) {
    let start = Instant::now();
    work();
    let nanos = start.elapsed().as_nanos() as f64 / count as f64;
    println!("  {title:<52} {nanos:>9.0} ns");
}

fn measure_keys(names: &[[u8; 45]]) {
    println!(" store::keys");
    let mut chance = Chance(7);
    let before = resident_bytes();
    let mut keys = Keys::new();
    timed("insert", names.len(), || {
        for (at, name) in names.iter().enumerate() {
            keys.insert(name, head(at));
        }
    });
    let per_key = |bytes: usize| bytes as f64 / names.len() as f64;
    println!("  {:<52} {:>9.1}", "bytes per key, resident", per_key(resident_bytes().saturating_sub(before)));
    println!("  {:<52} {:>9.1}", "bytes per key, own estimate", per_key(keys.memory_bytes()));

    let mut view = keys.clone();
    let mut update = |title: &str, keys: &mut Keys, view_every: usize| {
        timed(title, OPERATIONS, || {
            for at in 0..OPERATIONS {
                black_box(keys.insert(&names[chance.below(names.len())], head(names.len() + at)));
                if at % view_every == 0 {
                    view = keys.clone();
                }
            }
        });
    };
    update("random update, a view every 100", &mut keys, VIEW_EVERY);
    update("random update, a view every 10", &mut keys, 10);
    update("random update, a view each time", &mut keys, 1);
    update("random update, no view", &mut keys, usize::MAX);
    drop(view);

    timed("get", OPERATIONS, || {
        for _ in 0..OPERATIONS {
            black_box(keys.get(&names[chance.below(names.len())]));
        }
    });
    timed("count between two random keys", OPERATIONS / 4, || {
        for _ in 0..OPERATIONS / 4 {
            let (a, b) = (&names[chance.below(names.len())], &names[chance.below(names.len())]);
            black_box(keys.count_live(KeyRange::Span { from: a.min(b), end: a.max(b) }));
        }
    });
    timed("scan, per key", names.len(), || {
        let mut scan = keys.scan(KeyRange::ALL);
        while let Some(found) = scan.next() {
            black_box(found);
        }
    });
    timed("scan back, per key", names.len(), || {
        let mut scan = keys.scan_back(KeyRange::ALL);
        while let Some(found) = scan.next() {
            black_box(found);
        }
    });
    let mut fresh = names.to_vec();
    fresh.truncate(OPERATIONS / 4);
    for name in &mut fresh {
        name[44] ^= 0x80;
    }
    let mut view = keys.clone();
    timed("insert of new keys, a view every 100", fresh.len(), || {
        for (at, name) in fresh.iter().enumerate() {
            keys.insert(name, head(at));
            if at % VIEW_EVERY == 0 {
                view = keys.clone();
            }
        }
    });
    drop(view);
    timed("remove", fresh.len(), || {
        for name in &fresh {
            keys.remove(name);
        }
    });

    let mut sorted: Vec<([u8; 45], Head)> = names.iter().enumerate().map(|(at, name)| (*name, head(at))).collect();
    sorted.sort_unstable_by_key(|(name, _)| *name);
    sorted.dedup_by_key(|(name, _)| *name);
    timed("bulk build, per key", names.len(), || drop(black_box(Keys::bulk(sorted))));
}

fn measure_btree(names: &[[u8; 45]]) {
    println!(" std BTreeMap<Box<[u8]>, Head>, no views");
    let mut chance = Chance(7);
    let before = resident_bytes();
    let mut map: BTreeMap<Box<[u8]>, Head> = BTreeMap::new();
    timed("insert", names.len(), || {
        for (at, name) in names.iter().enumerate() {
            map.insert(name[..].into(), head(at));
        }
    });
    let resident = resident_bytes().saturating_sub(before);
    println!("  {:<52} {:>9.1}", "bytes per key, resident", resident as f64 / names.len() as f64);
    timed("random update, no view", OPERATIONS, || {
        for at in 0..OPERATIONS {
            if let Some(place) = map.get_mut(&names[chance.below(names.len())][..]) {
                *place = head(at);
            }
        }
    });
    timed("get", OPERATIONS, || {
        for _ in 0..OPERATIONS {
            black_box(map.get(&names[chance.below(names.len())][..]));
        }
    });
    timed("count 5000 keys", 20, || {
        for _ in 0..20 {
            let from = &names[chance.below(names.len())][..];
            black_box(
                map.range::<[u8], _>((Bound::Included(from), Bound::Unbounded))
                    .take(5000)
                    .filter(|(_, head)| !head.is_tombstone())
                    .count(),
            );
        }
    });
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // `cargo test` runs benchmarks too, without this flag; a few keys are then enough to see that they work.
    let count = if arguments.iter().any(|argument| argument == "--bench") { 1_000_000 } else { 2000 };
    let named = |name: &str| arguments.iter().any(|argument| argument == name);
    for (title, make) in [("paths", path as fn(&mut Chance) -> [u8; 45]), ("random-bytes", random)] {
        for (map, measure) in [("keys", measure_keys as fn(&[[u8; 45]])), ("btree", measure_btree)] {
            if named(title) && named(map) {
                let mut chance = Chance(1);
                let names: Vec<[u8; 45]> = (0..count).map(|_| make(&mut chance)).collect();
                println!("{count} keys of 45 bytes, {title}");
                measure(&names);
                return;
            }
        }
    }
    // Each measurement has a process of its own: resident memory means nothing where others have freed some before.
    let own = std::env::current_exe().expect("a program knows where it is");
    for title in ["paths", "random-bytes"] {
        for map in ["keys", "btree"] {
            let mut child = std::process::Command::new(&own);
            let ended = child.args(&arguments).args([title, map]).status().expect("a program can start itself");
            assert!(ended.success(), "{title} {map}");
        }
    }
}

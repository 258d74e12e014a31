//! `store::keys` against a `BTreeMap`: the same random operations on both, and moments that must not change afterwards.

use std::{collections::BTreeMap, ops::Bound};

use store::{
    keys::{Head, KeyRange, Keys, Place},
    revision::Revision,
};

type Model = BTreeMap<Vec<u8>, Head>;

/// SplitMix64: a seed gives the same numbers for ever.
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

    fn one_in(&mut self, bound: usize) -> bool {
        self.below(bound) == 0
    }

    fn bytes(&mut self, len: usize, letters: &[u8]) -> Vec<u8> {
        (0..len).map(|_| letters[self.below(letters.len())]).collect()
    }

    /// A number of any width, so that columns widen.
    fn number(&mut self, bits_max: u32) -> u64 {
        let bits = self.below(bits_max as usize + 1) as u32;
        if bits == 0 { 0 } else { self.next() >> (64 - bits) }
    }

    fn head(&mut self) -> Head {
        let (created, version) =
            if self.one_in(4) { (0, 0) } else { (self.number(63) as i64, 1 + self.number(62) as i64) };
        Head {
            modified: Revision { main: self.number(63) as i64, sub: self.number(32) as u32 },
            created,
            version,
            place: Place {
                segment: self.number(32) as u32,
                offset: self.number(40),
                size_bytes: self.number(32) as u32,
            },
        }
    }
}

/// What keys look like in one run.
#[derive(Clone, Copy, Debug)]
enum Taste {
    /// A few letters: the same keys again and again, each the beginning of others.
    Short,
    /// Paths with long common beginnings.
    Paths,
    /// Any byte, most often the extremes.
    Binary,
    /// 0 to 2000 bytes, many of them alike up to the end.
    Long,
    /// Ever greater, as counters and times are.
    Ascending,
}

fn key(chance: &mut Chance, taste: Taste, step: usize) -> Vec<u8> {
    match taste {
        Taste::Short => {
            let len = chance.below(6);
            chance.bytes(len, b"ab/\0")
        }
        Taste::Paths => {
            let namespace = chance.below(20);
            let kind = ["pods", "leases", "configmaps"][chance.below(3)];
            format!("/registry/{kind}/namespace-{namespace:04}/{:06x}", chance.below(5000)).into_bytes()
        }
        Taste::Binary => {
            let len = chance.below(12);
            chance.bytes(len, &[0, 0, 1, 0x7f, 0xfe, 0xff, 0xff])
        }
        Taste::Long => {
            let len = chance.below(2001);
            let mut key = vec![b'x'; len];
            if let Some(last) = key.last_mut() {
                *last = chance.next() as u8;
            }
            if len > 0 && chance.one_in(3) {
                let at = chance.below(len);
                key[at] = chance.next() as u8;
            }
            key
        }
        Taste::Ascending => {
            let back = chance.below(30);
            format!("event/{:012}", step.saturating_sub(back)).into_bytes()
        }
    }
}

fn range<'a>(chance: &mut Chance, a: &'a [u8], b: &'a [u8]) -> KeyRange<'a> {
    match chance.below(8) {
        0 => KeyRange::One(a),
        1 => KeyRange::From(a),
        2 => KeyRange::ALL,
        3 => KeyRange::Span { from: a, end: b },
        _ => KeyRange::Span { from: a.min(b), end: a.max(b) },
    }
}

fn expected(model: &Model, range: KeyRange<'_>) -> Vec<(Vec<u8>, Head)> {
    let bounds: (Bound<&[u8]>, Bound<&[u8]>) = match range {
        _ if range.is_empty() => return Vec::new(),
        KeyRange::One(key) => (Bound::Included(key), Bound::Included(key)),
        KeyRange::Span { from, end } => (Bound::Included(from), Bound::Excluded(end)),
        KeyRange::From(from) => (Bound::Included(from), Bound::Unbounded),
    };
    model.range::<[u8], _>(bounds).map(|(key, head)| (key.clone(), *head)).collect()
}

fn check_range(keys: &Keys, model: &Model, range: KeyRange<'_>) {
    let mut expected = expected(model, range);
    let live = expected.iter().filter(|(_, head)| !head.is_tombstone()).count();
    assert_eq!(keys.count_live(range), live, "{range:?}");
    assert_eq!(keys.count(range), expected.len(), "{range:?}");
    for (key, _) in &expected {
        assert!(range.contains(key));
    }

    let mut seen = Vec::new();
    let mut scan = keys.scan(range);
    while let Some((key, head)) = scan.next() {
        seen.push((key.to_vec(), head));
    }
    assert!(scan.next().is_none(), "a finished scan stays finished");
    assert!(seen == expected, "{range:?}");

    seen.clear();
    expected.reverse();
    let mut scan = keys.scan_back(range);
    while let Some((key, head)) = scan.next() {
        seen.push((key.to_vec(), head));
    }
    assert!(scan.next().is_none(), "a finished scan stays finished");
    assert!(seen == expected, "{range:?} backwards");
}

fn check_whole(keys: &Keys, model: &Model) {
    keys.check();
    assert_eq!(keys.len(), model.len());
    assert_eq!(keys.is_empty(), model.is_empty());
    assert_eq!(keys.live(), model.values().filter(|head| !head.is_tombstone()).count());
    check_range(keys, model, KeyRange::ALL);
    for (key, head) in model {
        assert_eq!(keys.get(key), Some(*head));
    }
}

fn built(model: &Model) -> Keys {
    Keys::bulk(model.iter().map(|(key, head)| (key, *head)))
}

fn run(seed: u64, taste: Taste, steps: usize) {
    let mut chance = Chance(seed);
    let mut keys = Keys::new();
    let mut model = Model::new();
    let mut moments: Vec<(Keys, Model)> = Vec::new();
    // Growing and shrinking take turns, so that splits and joins both happen to a large tree.
    let mut shrinking = false;
    for step in 0..steps {
        if chance.one_in(steps / 6) {
            shrinking = !shrinking;
        }
        let mut name = key(&mut chance, taste, step);
        if chance.one_in(if shrinking { 2 } else { 8 })
            && let Some((near, _)) = model.range(name.clone()..).next()
        {
            name = near.clone();
        }
        if chance.one_in(if shrinking { 2 } else { 10 }) {
            assert_eq!(keys.remove(&name), model.remove(&name));
            assert_eq!(keys.get(&name), None);
        } else {
            let head = chance.head();
            assert_eq!(keys.insert(&name, head), model.insert(name.clone(), head));
            assert_eq!(keys.get(&name), Some(head));
        }
        assert_eq!(keys.len(), model.len());
        if chance.one_in(steps / 8) {
            moments.push((keys.clone(), model.clone()));
        }
        if chance.one_in(150) {
            let (a, b) = (key(&mut chance, taste, step), key(&mut chance, taste, step));
            let range = range(&mut chance, &a, &b);
            check_range(&keys, &model, range);
            assert_eq!(keys.get(&a), model.get(&a).copied());
            keys.check();
        }
    }
    moments.push((keys.clone(), model.clone()));
    for (keys, model) in &moments {
        check_whole(keys, model);
        check_whole(&built(model), model);
    }
    // The way down to nothing, with the last moments still held.
    let mut names: Vec<Vec<u8>> = model.keys().cloned().collect();
    while !names.is_empty() {
        let name = names.swap_remove(chance.below(names.len()));
        assert_eq!(keys.remove(&name), model.remove(&name));
        if names.len().is_multiple_of(64) {
            keys.check();
        }
    }
    check_whole(&keys, &model);
    assert_eq!(keys.memory_bytes(), Keys::new().memory_bytes(), "nothing is left behind");
    for (keys, model) in &moments {
        check_whole(keys, model);
    }
}

#[test]
fn short_keys() {
    for seed in 0..4 {
        run(seed, Taste::Short, 4000);
    }
}

#[test]
fn paths() {
    for seed in 0..4 {
        run(seed, Taste::Paths, 8000);
    }
}

#[test]
fn binary_keys() {
    for seed in 0..4 {
        run(seed, Taste::Binary, 6000);
    }
}

#[test]
fn long_keys() {
    for seed in 0..4 {
        run(seed, Taste::Long, 2500);
    }
}

#[test]
fn ascending_keys() {
    for seed in 0..4 {
        run(seed, Taste::Ascending, 6000);
    }
}

fn live(main: i64) -> Head {
    let place = Place { segment: 1, offset: main as u64 * 100, size_bytes: 90 };
    Head { modified: Revision { main, sub: 0 }, created: main, version: 1, place }
}

#[test]
fn an_empty_map_answers() {
    let mut keys = Keys::new();
    assert_eq!(keys.get(b""), None);
    assert_eq!(keys.remove(b"a"), None);
    assert_eq!((keys.len(), keys.live(), keys.is_empty()), (0, 0, true));
    for range in [KeyRange::ALL, KeyRange::One(b""), KeyRange::Span { from: b"a", end: b"b" }] {
        check_range(&keys, &Model::new(), range);
    }
    check_whole(&Keys::bulk::<&[u8]>([]), &Model::new());
}

#[test]
fn keys_of_megabytes_beside_small_ones() {
    let mut keys = Keys::new();
    let mut model = Model::new();
    for number in 0..200i64 {
        let mut name = format!("key-{number:04}").into_bytes();
        if number % 50 == 7 {
            name.resize(1 << 20, b'.');
        }
        keys.insert(&name, live(number));
        model.insert(name, live(number));
    }
    check_whole(&keys, &model);
    check_whole(&built(&model), &model);
    for name in model.keys() {
        assert!(keys.remove(name).is_some());
    }
    assert!(keys.is_empty());
}

#[test]
fn a_mass_delete_gives_memory_back() {
    let name = |number: i64| format!("/registry/pods/default/{number:020}").into_bytes();
    let mut keys = Keys::new();
    for number in 0..100_000 {
        keys.insert(&name(number * 7919 % 100_000), live(number));
    }
    let full = keys.memory_bytes();
    // Every key but each twentieth, so that no leaf becomes quite empty.
    for number in (0..100_000).filter(|number| number % 20 != 0) {
        assert!(keys.remove(&name(number)).is_some());
    }
    keys.check();
    assert_eq!(keys.len(), 5000);
    assert!(keys.memory_bytes() < full / 8, "{} of {full} bytes", keys.memory_bytes());
}

#[test]
fn ascending_inserts_leave_full_leaves() {
    let mut keys = Keys::new();
    let names: Vec<String> = (0..50_000).map(|number| format!("event-{number:010}")).collect();
    for name in &names {
        keys.insert(name.as_bytes(), live(1));
    }
    let tight = Keys::bulk(names.iter().map(|name| (name, live(1))));
    assert!(keys.memory_bytes() < tight.memory_bytes() * 11 / 10);
    assert_eq!(keys.count_live(KeyRange::From(b"event-0000040000")), 10_000);
}

#[test]
#[allow(clippy::disallowed_methods, reason = "that a moment crosses threads is what is tested")]
fn a_moment_may_be_read_and_dropped_on_another_thread() {
    let mut keys = Keys::bulk((0..10_000).map(|number| (format!("{number:08}"), live(number))));
    let moment = keys.clone();
    let reader = std::thread::spawn(move || {
        let mut scan = moment.scan(KeyRange::ALL);
        let mut sum = 0;
        while let Some((_, head)) = scan.next() {
            sum += head.created;
        }
        (sum, moment.len())
    });
    for number in 0..10_000 {
        keys.insert(format!("{number:08}").as_bytes(), live(number + 1));
        keys.remove(format!("{:08}", number / 2).as_bytes());
    }
    assert_eq!(reader.join().expect("the reader ends well"), (49_995_000, 10_000));
}

#[test]
#[should_panic(expected = "ascending order")]
fn a_bulk_build_refuses_unsorted_keys() {
    Keys::bulk([("b", live(1)), ("a", live(2))]);
}

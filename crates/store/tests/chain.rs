//! The hash chain of two stores that apply the same: however the entries came, whatever was compacted, swept, replayed or
//! installed meanwhile, it is one chain; and one byte makes it another.

mod support;

use disk::SimDisk;
use store::{Entry, Store};
use support::*;

const DIR: &str = "store";

/// Commands of every kind that a store knows, `count` of them behind `first`.
fn story(first: u64, count: u64) -> Vec<Entry> {
    let one = |index: u64| match index % 11 {
        3 => delete(&format!("key{}", index % 7), ""),
        5 => grant(index as i64, 60),
        7 => revoke(index as i64 - 2),
        9 => compact(index as i64 / 2),
        _ => put(&format!("key{}", index % 5), &"v".repeat(index as usize % 300)),
    };
    (first..first + count).map(|index| entry(index, one(index))).collect()
}

fn new() -> (SimDisk, Store<SimDisk>) {
    let disk = disk();
    let store = Store::create(disk.clone(), DIR, settings()).unwrap();
    (disk, store)
}

fn reopened(disk: &SimDisk, mut store: Store<SimDisk>) -> Store<SimDisk> {
    store.sync().unwrap();
    drop(store);
    Store::open(disk.clone(), DIR, settings()).unwrap()
}

#[test]
fn batches_sweeps_and_restarts_change_nothing() {
    let (disk, mut one) = new();
    let (_, mut other) = new();
    let mut swept = 0;
    for round in 0..40 {
        let entries = story(1 + round * 50, 50);
        one.apply(&entries, &|_| true).unwrap();
        for entry in &entries {
            other.apply(std::slice::from_ref(entry), &|_| false).unwrap();
        }
        assert_eq!(one.view().link(), other.view().link(), "round {round}");
        swept += one.sweep(1 << 20).unwrap();
        if round % 7 == 3 {
            one = reopened(&disk, one);
            assert_eq!(one.view().link(), other.view().link(), "round {round}, reopened");
        }
    }
    assert!(swept > 0, "something was left out of the log");
    assert_eq!(one.view().chain().base, store::chain::GENESIS);
}

#[test]
fn a_snapshot_of_ours_carries_the_chain_and_is_held_against_it() {
    let (_, mut sender) = new();
    sender.apply(&story(1, 500), &|_| true).unwrap();
    let view = sender.view();
    let plan = view.image().unwrap();
    let (image, beside) = (image_of(&view), plan.beside());
    let (disk, mut receiver) = new();
    receiver.install_with(&image[..], view.applied(), view.term(), view.conf_state(), &beside).unwrap();
    assert_eq!((receiver.view().link(), receiver.view().chain().base), (view.link(), store::chain::GENESIS));
    receiver = reopened(&disk, receiver);
    for store in [&mut sender, &mut receiver] {
        store.apply(&story(501, 300), &|_| true).unwrap();
    }
    assert_eq!(receiver.view().link(), sender.view().link());

    // Any byte of a value: nothing else would notice.
    let mut damaged = image;
    let place = damaged.windows(40).position(|bytes| bytes == [b'v'; 40]).expect("a long value");
    damaged[place] ^= 1;
    let (_, mut refuses) = new();
    let refused = refuses.install_with(&damaged[..], view.applied(), view.term(), view.conf_state(), &beside);
    assert!(refused.unwrap_err().to_string().contains("the keys have another hash than the sender says"));
    assert!(store::snapshot::check(&damaged[..], &beside).is_err());
    assert_eq!(refuses.applied().0, 0, "it is as it was");
}

#[test]
fn after_a_snapshot_of_etcd_the_chain_of_a_neighbour_is_taken_over_for_good() {
    let (_, mut all) = new();
    all.apply(&story(1, 400), &|_| true).unwrap();
    let view = all.view();
    let (disk, mut late) = new();
    // etcd says nothing of a chain.
    late.install(&image_of(&view)[..], view.applied(), view.term(), view.conf_state()).unwrap();
    assert_ne!(late.view().chain().base, store::chain::GENESIS);
    for store in [&mut all, &mut late] {
        store.apply(&story(401, 64), &|_| true).unwrap();
    }
    let (index, link) = all.view().chain().links[1];
    assert!(late.adopt_chain(store::chain::GENESIS, index, link));
    assert_eq!(late.view().link(), all.view().link());
    for round in 0..3 {
        for store in [&mut all, &mut late] {
            store.apply(&story(465 + round * 200, 200), &|_| true).unwrap();
        }
        late = reopened(&disk, late);
        assert_eq!(late.view().link(), all.view().link(), "round {round}");
        assert_eq!(late.view().chain().base, store::chain::GENESIS);
    }
}

#[test]
fn one_byte_makes_another_chain_for_ever() {
    let (_, mut one) = new();
    let (_, mut other) = new();
    one.apply(&[entry(1, put("k", "value"))], &|_| true).unwrap();
    other.apply(&[entry(1, put("k", "valuf"))], &|_| true).unwrap();
    assert_ne!(one.view().link().keys, other.view().link().keys);
    assert_eq!(one.view().link().rest, other.view().link().rest);
    for store in [&mut one, &mut other] {
        store
            .apply(&[entry(2, put("k", "the same")), entry(3, compact(3)), entry(4, delete("k", ""))], &|_| true)
            .unwrap();
    }
    assert_ne!(one.view().link().keys, other.view().link().keys, "also when what differed is gone");
}

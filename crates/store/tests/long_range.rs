//! A long range, in pieces of any size, says byte for byte what the same range says as a whole.

mod support;

use proto::etcdserverpb as pb;
use proto::etcdserverpb::request_op::Request;
use store::{Header, ReadError, Store};
use support::*;

const HEADER: Header = Header { cluster_id: 2, member_id: 1, revision: 0, raft_term: 7 };

/// Keys with several versions, lives, leases, and values that share a beginning; some deleted, the past compacted.
fn filled(chance: &mut Chance) -> Store<disk::SimDisk> {
    let mut store = Store::create(disk(), "store", settings()).unwrap();
    apply(&mut store, grant(9, 100)).unwrap();
    for step in 0..1_500 {
        let key = format!("k{:03}", chance.below(400));
        let request = match chance.below(10) {
            0 => delete(&key, ""),
            1 => {
                let put = Some(put_request(&key, "leased", 9));
                pb::InternalRaftRequest { put, ..request() }
            }
            2 => put(&key, ""),
            3 => put(&key, &"the same beginning and more".repeat(chance.below(40) as usize)),
            _ => put(&key, &format!("the same {}", chance.below(30))),
        };
        apply(&mut store, request).unwrap();
        if step == 500 {
            apply(&mut store, compact(300)).unwrap();
        }
    }
    store
}

fn random_request(chance: &mut Chance, revision: i64) -> pb::RangeRequest {
    let keys = [("k", "l"), ("k100", "k3"), ("\0", "\0"), ("k3", "\0"), ("k2", "k1"), ("k005", ""), ("zz", "")];
    let (key, end) = keys[chance.below(keys.len() as u64) as usize];
    let mut request = range_request(key, end, 0);
    request.sort_order = chance.below(3) as i32;
    request.sort_target = chance.below(5) as i32;
    request.limit = [0, 0, 1, 7, 150, 1_000][chance.below(6) as usize];
    request.keys_only = chance.one_in(3);
    request.count_only = chance.one_in(12);
    if chance.one_in(3) {
        request.revision = 200 + chance.below(revision as u64 - 150) as i64;
    }
    for bound in [
        &mut request.min_mod_revision,
        &mut request.max_mod_revision,
        &mut request.min_create_revision,
        &mut request.max_create_revision,
    ] {
        if chance.one_in(8) {
            *bound = chance.below(revision as u64) as i64;
        }
    }
    request
}

#[test]
fn pieces_together_are_the_whole() {
    let mut chance = Chance::new(11);
    let store = filled(&mut chance);
    let view = store.view();
    let (mut answered, mut refused) = (0, 0);
    for _ in 0..700 {
        let request = random_request(&mut chance, view.revision());
        let whole = match (view.range(&request), view.long_range(&request)) {
            (Ok(whole), Ok(mut long)) => {
                let expected = whole.encode(&HEADER);
                assert_eq!(long.encoded_len(&HEADER), expected.len(), "{request:?}");
                let size = [1, 100, 4_000, 1 << 20][chance.below(4) as usize];
                let mut joined = Vec::new();
                while let Some(piece) = long.next_piece(&HEADER, size).unwrap() {
                    assert!(piece.len() < size + 1_200, "a piece exceeds its size by one KeyValue at most");
                    joined.extend_from_slice(&piece);
                }
                assert!(joined == expected, "{request:?} in pieces of {size}");
                assert_eq!(long.next_piece(&HEADER, size).unwrap(), None, "the end stays the end");
                answered += 1;
                whole
            }
            (Err(ReadError::Refusal(left)), Err(ReadError::Refusal(right))) => {
                assert_eq!(left, right, "{request:?}");
                refused += 1;
                continue;
            }
            (left, right) => panic!("{request:?}: {left:?} and {right:?}"),
        };
        // What is short enough is given as a whole; nothing that is too long is.
        match view.range_within(&request, 8 << 10).unwrap() {
            Some(within) => assert_eq!(within, whole, "{request:?}"),
            None => assert!(view.count(store::keys::KeyRange::ALL) > 20),
        }
        let room = view.count(store::keys::KeyRange::ALL) * 2_000;
        assert!(view.range_within(&request, room).unwrap().is_some(), "{request:?}");
    }
    assert!(answered > 500 && refused > 10, "{answered} answered, {refused} refused");
}

#[test]
fn a_long_answer_is_of_its_moment() {
    let mut store = filled(&mut Chance::new(12));
    let view = store.view();
    let request = range_request("k", "l", 0);
    let expected = view.range(&request).unwrap().encode(&HEADER);
    let mut long = view.long_range(&request).unwrap();
    drop(view);
    let mut joined = Vec::new();
    while let Some(piece) = long.next_piece(&HEADER, 500).unwrap() {
        joined.extend_from_slice(&piece);
        // Everything is written anew, compacted and swept meanwhile.
        let all = (0..40).map(|key| put(&format!("k{:03}", (joined.len() + key) % 400), "later")).collect();
        apply_all(&mut store, all);
        let now = store.view().revision();
        apply(&mut store, compact(now)).unwrap();
        while store.wants_sweep() {
            store.sweep(64 << 10).unwrap();
        }
        store.sync().unwrap();
    }
    assert!(joined == expected, "what came later does not show");
}

/// What a txn answers that asks for this range in one of its branches.
fn asking(range: pb::RangeRequest) -> pb::TxnRequest {
    let ask = |request| vec![pb::RequestOp { request: Some(request) }];
    let nested = pb::TxnRequest { failure: ask(Request::RequestRange(range)), ..Default::default() };
    pb::TxnRequest { success: ask(Request::RequestTxn(nested)), ..Default::default() }
}

#[test]
fn what_an_answer_will_take_is_known_before_it_is_made() {
    let mut chance = Chance::new(13);
    let mut store = filled(&mut chance);
    // Some are much longer than all others: which of them are answered makes the length.
    for key in 0..20 {
        apply(&mut store, put(&format!("k{:03}", key * 19), &"long".repeat(5_000))).unwrap();
    }
    let view = store.view();
    let (mut cut, mut sorted) = (0, 0);
    for _ in 0..500 {
        let request = random_request(&mut chance, view.revision());
        let said = view.txn_answer_bytes(&asking(request.clone())).unwrap();
        let Ok(long) = view.long_range(&request) else {
            assert_eq!(said, 0, "what is refused has no answer: {request:?}");
            continue;
        };
        let answer = view.range(&request).unwrap();
        let length = answer.encode(&HEADER).len();
        let records = answer.kvs.len() + 1;
        // Of the records and not of the answer: each has some numbers more.
        assert!(said + 30 * records >= length, "{said} for {length}: {request:?}");
        let one_more = if request.sort_target != 0 && request.sort_order == 0 { 20_200 } else { 0 };
        assert!(said <= length + 60 * records + one_more, "{said} for {length}: {request:?}");

        let (held, bound) = (long.held_bytes(), view.sorted_bytes(&request));
        assert!(held <= bound, "{held} of {bound}: {request:?}");
        assert!(view.txn_sorted_bytes(&asking(request.clone())) <= bound, "{request:?}");
        sorted += usize::from(held > 0);
        if answer.more && request.sort_order != 0 && request.sort_target != 0 {
            assert!(bound <= 3 * held.max(100), "a limit bounds what is kept, too: {held} of {bound}: {request:?}");
            assert_eq!(view.txn_sorted_bytes(&asking(request.clone())), bound, "{request:?}");
            cut += 1;
        }
    }
    assert!(cut > 40 && sorted > 150, "{cut} cut, {sorted} sorted");
}

//! Keys, ranges, transactions, refusals, and what a member says of itself.

use crate::{World, connect, refused, settle};
use etcd_client::{
    CompactionOptions, Compare, CompareOp, DeleteOptions, GetOptions, PutOptions, SortOrder, SortTarget, Txn, TxnOp,
    TxnOpResponse,
};

pub async fn keys(world: World) {
    let mut c = world.client;
    c.put("kv/a", "1", None).await.unwrap();
    let second = c.put("kv/a", "2", Some(PutOptions::new().with_prev_key())).await.unwrap();
    assert_eq!(second.prev_key().unwrap().value(), b"1");
    let revision = second.header().unwrap().revision();
    c.put("kv/a", "", Some(PutOptions::new().with_ignore_value())).await.unwrap();
    for (key, value) in [("kv/b", "9"), ("kv/c", "5")] {
        c.put(key, value, None).await.unwrap();
    }
    let got = c.get("kv/a", None).await.unwrap();
    let kv = &got.kvs()[0];
    assert_eq!((kv.value(), kv.version(), kv.mod_revision()), (&b"2"[..], 3, revision + 1));
    assert_eq!(kv.create_revision(), revision - 1);
    let old = c.get("kv/a", Some(GetOptions::new().with_revision(revision - 1))).await.unwrap();
    assert_eq!(old.kvs()[0].value(), b"1");

    let names = |response: &etcd_client::GetResponse| {
        response.kvs().iter().map(|kv| kv.key_str().unwrap().to_owned()).collect::<Vec<_>>().join(" ")
    };
    let prefix = || GetOptions::new().with_prefix();
    let cases = [
        (prefix(), "kv/a kv/b kv/c"),
        (prefix().with_sort(SortTarget::Key, SortOrder::Descend), "kv/c kv/b kv/a"),
        (prefix().with_sort(SortTarget::Value, SortOrder::Ascend), "kv/a kv/c kv/b"),
        (prefix().with_limit(2), "kv/a kv/b"),
        (prefix().with_keys_only(), "kv/a kv/b kv/c"),
        (prefix().with_min_mod_revision(revision + 2), "kv/b kv/c"),
        (prefix().with_max_create_revision(revision), "kv/a"),
    ];
    for (options, wanted) in cases {
        let got = c.get("kv/", Some(options)).await.unwrap();
        assert_eq!(names(&got), wanted);
        assert_eq!(got.count(), 3);
    }
    let counted = c.get("kv/", Some(prefix().with_count_only())).await.unwrap();
    assert!(counted.count() == 3 && counted.kvs().is_empty() && !counted.more());
    let deleted = c.delete("kv/b", Some(DeleteOptions::new().with_from_key().with_prev_key())).await.unwrap();
    assert_eq!((deleted.deleted(), deleted.prev_kvs()[1].value()), (2, &b"5"[..]));

    c.compact(revision, Some(CompactionOptions::new().with_physical())).await.unwrap();
    let lost = c.get("kv/a", Some(GetOptions::new().with_revision(revision - 1))).await;
    refused(lost, "etcdserver: mvcc: required revision has been compacted");
}

pub async fn transactions(world: World) {
    let mut c = world.client;
    c.put("txn/a", "m", None).await.unwrap();
    let cases = [
        (Compare::value("txn/a", CompareOp::Equal, "m"), true),
        (Compare::value("txn/a", CompareOp::Greater, "m"), false),
        (Compare::version("txn/a", CompareOp::Equal, 1), true),
        (Compare::version("txn/none", CompareOp::Equal, 0), true),
        (Compare::mod_revision("txn/a", CompareOp::NotEqual, 0), true),
        (Compare::create_revision("txn/none", CompareOp::Greater, 0), false),
        (Compare::lease("txn/a", CompareOp::Equal, 0), true),
        (Compare::value("txn/", CompareOp::Less, "n").with_prefix(), true),
    ];
    for (number, (compare, holds)) in cases.into_iter().enumerate() {
        let txn = Txn::new().when([compare]).and_then([TxnOp::get("txn/a", None)]).or_else([]);
        let response = c.txn(txn).await.unwrap();
        assert_eq!(response.succeeded(), holds, "compare {number}");
        assert_eq!(response.op_responses().len(), usize::from(holds));
    }
    let nested = Txn::new()
        .when([Compare::version("txn/b", CompareOp::Equal, 0)])
        .and_then([TxnOp::put("txn/c", "then", None)])
        .or_else([TxnOp::put("txn/c", "else", None)]);
    let whole = Txn::new().and_then([
        TxnOp::put("txn/b", "1", None),
        TxnOp::get("txn/b", None),
        TxnOp::delete("txn/a", None),
        TxnOp::txn(nested),
    ]);
    let response = c.txn(whole).await.unwrap();
    let revision = response.header().unwrap().revision();
    let TxnOpResponse::Get(read) = &response.op_responses()[1] else { panic!("a get is answered with a get") };
    assert_eq!(read.kvs()[0].mod_revision(), revision);
    let nested = c.get("txn/c", None).await.unwrap();
    assert_eq!((nested.kvs()[0].value(), nested.kvs()[0].mod_revision()), (&b"then"[..], revision));
}

pub async fn refusals(world: World) {
    let mut c = world.client;
    refused(c.put("", "1", None).await, "etcdserver: key is not provided");
    refused(c.put("no", "1", Some(PutOptions::new().with_lease(77))).await, "etcdserver: requested lease not found");
    refused(c.lease_revoke(77).await, "etcdserver: requested lease not found");
    let future = GetOptions::new().with_revision(1 << 40);
    refused(c.get("no", Some(future)).await, "etcdserver: mvcc: required revision is a future revision");
    let twice = Txn::new().and_then([TxnOp::put("no", "1", None), TxnOp::put("no", "2", None)]);
    refused(c.txn(twice).await, "etcdserver: duplicate key given in txn request");
    refused(c.put("no", vec![b'x'; 1_700_000], None).await, "etcdserver: request is too large");
    assert_eq!(c.get("no", None).await.unwrap().count(), 0);
}

pub async fn maintenance(world: World) {
    let mut c = world.client.clone();
    let revision = c.put("maintenance/a", "1", None).await.unwrap().header().unwrap().revision();
    let members = c.member_list().await.unwrap();
    assert_eq!(members.members().len(), world.endpoints.len());
    settle(&world).await;
    let (mut hashes, mut leaders, mut ids) = (Vec::new(), Vec::new(), Vec::new());
    for endpoint in &world.endpoints {
        let mut single = connect(std::slice::from_ref(endpoint)).await;
        let status = single.status().await.unwrap();
        assert!(!status.version().is_empty() && status.db_size() > 0 && status.raft_term() > 0 && !status.is_learner());
        leaders.push(status.leader());
        ids.push(status.header().unwrap().member_id());
        hashes.push(single.hash_kv(revision).await.unwrap().hash());
    }
    assert!(hashes.windows(2).all(|pair| pair[0] == pair[1]), "hashes differ: {hashes:?}");
    assert!(leaders.windows(2).all(|pair| pair[0] == pair[1]), "leaders differ: {leaders:?}");
    let mut known: Vec<u64> = members.members().iter().map(|member| member.id()).collect();
    known.sort_unstable();
    ids.sort_unstable();
    assert_eq!(ids, known);
}

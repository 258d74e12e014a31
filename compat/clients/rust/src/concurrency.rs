//! The server's own Lock and Election services.

use crate::World;
use etcd_client::{Compare, CompareOp, LockOptions, ProclaimOptions, ResignOptions, Txn, TxnOp};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

pub async fn locks(world: World) {
    const CONTENDERS: usize = 4;
    const TURNS: usize = 5;
    let inside = Arc::new(AtomicUsize::new(0));
    let mut contenders = Vec::new();
    for _ in 0..CONTENDERS {
        let (mut c, inside) = (world.client.clone(), inside.clone());
        contenders.push(tokio::spawn(async move {
            let lease = c.lease_grant(30, None).await.unwrap().id();
            for _ in 0..TURNS {
                let held = c.lock("lock", Some(LockOptions::new().with_lease(lease))).await.unwrap();
                assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two hold the lock");
                // A fenced write: only while the lock's key is there.
                let owned = Compare::create_revision(held.key(), CompareOp::Greater, 0);
                let write = Txn::new().when([owned]).and_then([TxnOp::put("fenced", "1", None)]);
                assert!(c.txn(write).await.unwrap().succeeded());
                inside.fetch_sub(1, Ordering::SeqCst);
                c.unlock(held.key()).await.unwrap();
            }
            c.lease_revoke(lease).await.unwrap();
        }));
    }
    for contender in contenders {
        contender.await.unwrap();
    }
    let fenced = world.client.kv_client().get("fenced", None).await.unwrap();
    assert_eq!(fenced.kvs()[0].version(), (CONTENDERS * TURNS) as i64);
}

pub async fn elections(world: World) {
    let mut c = world.client;
    let lease = c.lease_grant(30, None).await.unwrap().id();
    let own = c.campaign("election", "one", lease).await.unwrap();
    let key = own.leader().unwrap().clone();
    let mut seen = c.observe("election").await.unwrap();
    let next = async |seen: &mut etcd_client::ObserveStream| {
        let response = seen.message().await.unwrap().unwrap();
        response.kv().unwrap().value_str().unwrap().to_owned()
    };
    assert_eq!(next(&mut seen).await, "one");
    c.proclaim("again", Some(ProclaimOptions::new().with_leader(key.clone()))).await.unwrap();
    assert_eq!(next(&mut seen).await, "again");
    assert_eq!(c.leader("election").await.unwrap().kv().unwrap().value(), b"again");
    let mut other = c.clone();
    let waiting = tokio::spawn(async move {
        let lease = other.lease_grant(30, None).await.unwrap().id();
        other.campaign("election", "two", lease).await.unwrap().take_leader().unwrap()
    });
    c.resign(Some(ResignOptions::new().with_leader(key))).await.unwrap();
    let second = waiting.await.unwrap();
    while next(&mut seen).await != "two" {}
    c.resign(Some(ResignOptions::new().with_leader(second))).await.unwrap();
}

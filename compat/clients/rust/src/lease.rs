//! Leases: granted, renewed, looked at, run out, revoked.

use crate::{World, watch};
use etcd_client::{LeaseGrantOptions, LeaseTimeToLiveOptions, PutOptions, WatchFilterType, WatchOptions};

pub async fn leases(world: World) {
    let mut c = world.client;
    let kept = c.lease_grant(2, Some(LeaseGrantOptions::new().with_id(4711))).await.unwrap();
    assert_eq!((kept.id(), kept.ttl()), (4711, 2));
    let brief = c.lease_grant(1, None).await.unwrap().id();
    let gone = WatchOptions::new().with_prefix().with_filters([WatchFilterType::NoPut]);
    let mut gone = c.watch("lease/", Some(gone)).await.unwrap();
    for (key, lease) in [("lease/b", brief), ("lease/a", brief), ("lease/kept", kept.id())] {
        c.put(key, "1", Some(PutOptions::new().with_lease(lease))).await.unwrap();
    }
    let (mut keeper, mut renewals) = c.lease_keep_alive(kept.id()).await.unwrap();
    let mut renew = async || {
        keeper.keep_alive().await.unwrap();
        let renewal = renewals.message().await.unwrap().unwrap();
        assert_eq!((renewal.id(), renewal.ttl()), (4711, 2));
    };
    renew().await;
    // Without renewals the other runs out: both keys in one revision, in order.
    assert_eq!(watch::events(&mut gone, 2).await, "DELETE lease/a=, DELETE lease/b=");
    renew().await;
    assert_eq!(c.lease_time_to_live(brief, None).await.unwrap().ttl(), -1);
    let left = c.lease_time_to_live(4711, Some(LeaseTimeToLiveOptions::new().with_keys())).await.unwrap();
    assert_eq!((left.granted_ttl(), left.keys()), (2, &[b"lease/kept".to_vec()][..]));
    assert!(c.leases().await.unwrap().leases().iter().any(|lease| lease.id() == 4711));
    c.lease_revoke(4711).await.unwrap();
    assert_eq!(watch::events(&mut gone, 1).await, "DELETE lease/kept=");
    // Whoever renews what is gone is told so by a time of nothing.
    keeper.keep_alive().await.unwrap();
    assert_eq!(renewals.message().await.unwrap().unwrap().ttl(), 0);
}

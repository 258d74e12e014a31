"""Leases: granted, renewed, looked at, run out, revoked."""

import aetcd
import watch
from aetcd import rpc
from world import refused, same

NOT_FOUND = "etcdserver: requested lease not found"


async def leases(world):
    c = world.client
    kept = await c.lease(20, lease_id=4711)
    same((kept.id, kept.ttl), (4711, 20), "the granted lease")
    try:
        await c.lease(20, lease_id=4711)
        raise AssertionError("one lease is granted twice")
    except aetcd.DuplicateLeaseError:
        pass
    brief = await c.lease(1)
    gone = await c.watch_prefix(b"lease/", kind=aetcd.EventKind.DELETE)
    seen = aiter(gone)
    for key, lease in [(b"lease/b", brief), (b"lease/a", brief), (b"lease/kept", kept)]:
        await c.put(key, b"1", lease=lease)
    same((await c.get(b"lease/kept")).lease, 4711, "the lease of a key")
    renewal = await kept.refresh()
    same((renewal.ID, renewal.TTL), (4711, 20), "a renewal")

    # Without renewals the other runs out: both keys in one revision, in order.
    first = await anext(seen)
    await kept.refresh()
    second = await anext(seen)
    same([watch.told(one) for one in (first, second)], ["DELETE lease/a=", "DELETE lease/b="], "what a lease takes with it")
    same(first.kv.mod_revision, second.kv.mod_revision, "the revision of the end of a lease")
    same(await brief.remaining_ttl(), -1, "the time of a lease that is gone")

    same(await kept.granted_ttl(), 20, "the granted time")
    assert 0 < await kept.remaining_ttl() <= 20, "what is left of twenty seconds"
    same(list(await kept.keys()), [b"lease/kept"], "the keys of the lease")
    listed = await c.leasestub.LeaseLeases(rpc.LeaseLeasesRequest())
    assert 4711 in [lease.ID for lease in listed.leases], "the list holds the lease"

    # A put without the lease takes the key from it; with ignore_lease it stays.
    await c.kvstub.Put(rpc.PutRequest(key=b"lease/kept", value=b"2", ignore_lease=True))
    same((await c.get(b"lease/kept")).lease, 4711, "the lease after a put that ignores it")
    await c.put(b"lease/free", b"1", lease=kept)
    await c.put(b"lease/free", b"2")
    await kept.revoke()
    same(await watch.events(seen, 1), ["DELETE lease/kept="], "what the revocation takes")
    same((await c.get(b"lease/free")).value, b"2", "a key that was freed of the lease")
    await refused(kept.revoke(), "NOT_FOUND", NOT_FOUND)
    # Whoever renews what is gone is told so by a time of nothing.
    same((await kept.refresh()).TTL, 0, "the renewal of what is gone")
    await gone.cancel()

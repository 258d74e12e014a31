package main

import (
	"context"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
)

// Granted, attached, renewed, revoked, run out.
func leases(ctx context.Context, w *world) {
	c := w.client
	kept, err := c.Grant(ctx, 2)
	check(err)
	same(kept.TTL, 2, "the granted time")
	brief, err := c.Grant(ctx, 1)
	check(err)
	responses := watch(ctx, c, "lease/", clientv3.WithPrefix(), clientv3.WithFilterPut())
	for _, key := range []string{"lease/b", "lease/a"} {
		_, err = c.Put(ctx, key, "1", clientv3.WithLease(brief.ID))
		check(err)
	}
	_, err = c.Put(ctx, "lease/kept", "1", clientv3.WithLease(kept.ID))
	check(err)

	renewals, err := c.KeepAlive(ctx, kept.ID)
	check(err)
	started := time.Now()
	for number := 0; number < 4; number++ {
		select {
		case renewal, open := <-renewals:
			must(open && renewal.TTL == 2 && renewal.ID == kept.ID, "a renewal: %v", renewal)
		case <-ctx.Done():
			panic(failure("the lease is not renewed"))
		}
	}
	must(time.Since(started) > 1500*time.Millisecond, "four renewals come at once")

	// Without renewals the other one has run out: both keys in one revision, in order.
	gone := next(ctx, responses)
	must(len(gone.Events) == 2 && string(gone.Events[0].Kv.Key) == "lease/a" && string(gone.Events[1].Kv.Key) == "lease/b",
		"a lease that ends takes its keys: %v", gone.Events)
	ended, err := c.TimeToLive(ctx, brief.ID)
	check(err)
	same(ended.TTL, -1, "the time of a lease that is gone")

	left, err := c.TimeToLive(ctx, kept.ID, clientv3.WithAttachedKeys())
	check(err)
	must(left.GrantedTTL == 2 && left.TTL >= 0 && left.TTL <= 2, "what is left: %v", left)
	must(len(left.Keys) == 1 && string(left.Keys[0]) == "lease/kept", "the attached keys: %v", left.Keys)
	all, err := c.Leases(ctx)
	check(err)
	found := false
	for _, lease := range all.Leases {
		found = found || lease.ID == kept.ID
	}
	must(found, "the list of leases holds %x", kept.ID)
	once, err := c.KeepAliveOnce(ctx, kept.ID)
	check(err)
	same(once.TTL, 2, "the time after one renewal")

	_, err = c.Revoke(ctx, kept.ID)
	check(err)
	revoked := next(ctx, responses)
	must(len(revoked.Events) == 1 && string(revoked.Events[0].Kv.Key) == "lease/kept", "revoked: %v", revoked.Events)
	for range renewals {
		// Ends by itself: the server answers renewals of what is gone with no time.
	}
	_, err = c.Revoke(ctx, kept.ID)
	refused(err, rpctypes.ErrLeaseNotFound)
}

// A session is a lease that is renewed until it is closed or lost.
func sessions(ctx context.Context, w *world) {
	session, err := concurrency.NewSession(w.client, concurrency.WithTTL(5))
	check(err)
	_, err = w.client.Put(ctx, "session/a", "1", clientv3.WithLease(session.Lease()))
	check(err)
	check(session.Close())
	got, err := w.client.Get(ctx, "session/a")
	check(err)
	same(got.Count, 0, "the number of keys of a closed session")

	lost, err := concurrency.NewSession(w.client, concurrency.WithTTL(1))
	check(err)
	_, err = w.client.Revoke(ctx, lost.Lease())
	check(err)
	select {
	case <-lost.Done():
	case <-ctx.Done():
		panic(failure("a session does not notice that its lease is gone"))
	}

	lease, err := w.client.Grant(ctx, 60)
	check(err)
	own, err := concurrency.NewSession(w.client, concurrency.WithLease(lease.ID))
	check(err)
	same(own.Lease(), lease.ID, "the lease of a session that was given one")
	own.Orphan()
	left, err := w.client.TimeToLive(ctx, lease.ID)
	check(err)
	must(left.TTL > 0, "an orphaned session leaves its lease")
	_, err = w.client.Revoke(ctx, lease.ID)
	check(err)
}

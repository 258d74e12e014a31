package main

import (
	"context"
	"fmt"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/kubernetes"
	"go.etcd.io/etcd/client/v3/leasing"
	"go.etcd.io/etcd/client/v3/mirror"
	"go.etcd.io/etcd/client/v3/namespace"
	"go.etcd.io/etcd/client/v3/naming/endpoints"
	"go.etcd.io/etcd/client/v3/ordering"
	"go.uber.org/zap"
)

// A prefix that its user does not see.
func namespaces(ctx context.Context, w *world) {
	c := w.dial(w.endpoints...)
	defer c.Close()
	c.KV = namespace.NewKV(c.KV, "namespace/")
	c.Watcher = namespace.NewWatcher(c.Watcher, "namespace/")
	c.Lease = namespace.NewLease(c.Lease, "namespace/")
	responses := watch(ctx, c, "a", clientv3.WithPrefix())
	lease, err := c.Grant(ctx, 60)
	check(err)
	_, err = c.Put(ctx, "a", "1", clientv3.WithLease(lease.ID))
	check(err)
	same(events(ctx, responses, 1), "PUT a=1", "the event inside")
	outside, err := w.client.Get(ctx, "namespace/a")
	check(err)
	same(outside.Count, 1, "the number of keys outside")
	inside, err := c.Txn(ctx).If(clientv3.Compare(clientv3.Value("a"), "=", "1")).Then(clientv3.OpGet("", clientv3.WithFromKey())).Commit()
	check(err)
	must(inside.Succeeded && string(inside.Responses[0].GetResponseRange().Kvs[0].Key) == "a", "inside: %v", inside)
	left, err := c.TimeToLive(ctx, lease.ID, clientv3.WithAttachedKeys())
	check(err)
	must(len(left.Keys) == 1 && string(left.Keys[0]) == "a", "the attached keys inside: %v", left.Keys)
	_, err = c.Revoke(ctx, lease.ID)
	check(err)
}

// A copy of what is there, then of what comes.
func mirrors(ctx context.Context, w *world) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	const many = 30
	for number := 0; number < many; number++ {
		_, err := w.client.Put(ctx, fmt.Sprintf("mirror/%02d", number), fmt.Sprint(number))
		check(err)
	}
	syncer := mirror.NewSyncer(w.client, "mirror/", 0)
	base, broken := syncer.SyncBase(ctx)
	copied := 0
	for response := range base {
		copied += len(response.Kvs)
	}
	for err := range broken {
		check(err)
	}
	same(copied, many, "the number of copied keys")
	updates := syncer.SyncUpdates(ctx)
	_, err := w.client.Put(ctx, "mirror/new", "x")
	check(err)
	same(events(ctx, updates, 1), "PUT mirror/new=x", "the update")
}

// A client that never goes back in time, whichever member answers.
func orderings(ctx context.Context, w *world) {
	c := w.dial(w.endpoints...)
	defer c.Close()
	ordered := ordering.NewKV(c.KV, ordering.NewOrderViolationSwitchEndpointClosure(c))
	last := int64(0)
	for number := 0; number < 20; number++ {
		_, err := w.client.Put(ctx, "ordering/a", fmt.Sprint(number))
		check(err)
		_, err = ordered.Get(ctx, "ordering/b")
		check(err)
		got, err := ordered.Get(ctx, "ordering/a", clientv3.WithSerializable())
		check(err)
		must(got.Header.Revision >= last, "revision %d after %d", got.Header.Revision, last)
		last = got.Header.Revision
	}
}

// A cache that is told before what it holds changes.
func leasingCache(ctx context.Context, w *world) {
	one, closeOne, err := leasing.NewKV(w.client, "leasing/")
	check(err)
	defer closeOne()
	two, closeTwo, err := leasing.NewKV(w.client, "leasing/")
	check(err)
	defer closeTwo()
	for number := 0; number < 3; number++ {
		value := fmt.Sprint(number)
		_, err = one.Put(ctx, "leased", value)
		check(err)
		for _, kv := range []clientv3.KV{one, two, one} {
			got, err := kv.Get(ctx, "leased")
			check(err)
			same(string(got.Kvs[0].Value), value, "the leased value")
		}
		txn, err := two.Txn(ctx).If(clientv3.Compare(clientv3.Value("leased"), "=", value)).Then(clientv3.OpPut("leased", value+"!")).Commit()
		check(err)
		must(txn.Succeeded, "a transaction past the cache")
		got, err := one.Get(ctx, "leased")
		check(err)
		same(string(got.Kvs[0].Value), value+"!", "the value after another's transaction")
	}
	_, err = two.Delete(ctx, "leased")
	check(err)
	got, err := one.Get(ctx, "leased")
	check(err)
	same(got.Count, 0, "the number of keys that are left")
}

// Services by name, as gRPC's resolver takes them.
func namings(ctx context.Context, w *world) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	manager, err := endpoints.NewManager(w.client, "naming/service")
	check(err)
	updates, err := manager.NewWatchChannel(ctx)
	check(err)
	check(manager.AddEndpoint(ctx, "naming/service/one", endpoints.Endpoint{Addr: "127.0.0.1:1", Metadata: "meta"}))
	update := <-updates
	must(len(update) == 1 && update[0].Op == endpoints.Add && update[0].Endpoint.Addr == "127.0.0.1:1", "added: %v", update)
	w.settle(ctx) // the list is a local read
	list, err := manager.List(ctx)
	check(err)
	same(list["naming/service/one"].Addr, "127.0.0.1:1", "the listed address")
	check(manager.DeleteEndpoint(ctx, "naming/service/one"))
	update = <-updates
	must(len(update) == 1 && update[0].Op == endpoints.Delete, "deleted: %v", update)
}

// What Kubernetes does.
func kubernetesInterface(ctx context.Context, w *world) {
	c, err := kubernetes.New(clientv3.Config{Endpoints: w.endpoints, Logger: zap.NewNop()})
	check(err)
	defer c.Close()
	put, err := c.Kubernetes.OptimisticPut(ctx, "kubernetes/a", []byte("1"), 0, kubernetes.PutOptions{})
	check(err)
	must(put.Succeeded, "created")
	again, err := c.Kubernetes.OptimisticPut(ctx, "kubernetes/a", []byte("2"), 0, kubernetes.PutOptions{GetOnFailure: true})
	check(err)
	must(!again.Succeeded && string(again.KV.Value) == "1", "created twice: %v", again)
	got, err := c.Kubernetes.Get(ctx, "kubernetes/a", kubernetes.GetOptions{})
	check(err)
	same(got.KV.ModRevision, put.Revision, "the revision of what was put")
	changed, err := c.Kubernetes.OptimisticPut(ctx, "kubernetes/a", []byte("3"), got.KV.ModRevision, kubernetes.PutOptions{})
	check(err)
	must(changed.Succeeded, "changed")
	_, err = c.Kubernetes.OptimisticPut(ctx, "kubernetes/b", []byte("1"), 0, kubernetes.PutOptions{})
	check(err)
	page, err := c.Kubernetes.List(ctx, "kubernetes/", kubernetes.ListOptions{Limit: 1})
	check(err)
	must(len(page.Kvs) == 1 && page.Count == 2, "a page: %v", page)
	rest, err := c.Kubernetes.List(ctx, "kubernetes/", kubernetes.ListOptions{Revision: page.Revision, Continue: string(page.Kvs[0].Key) + "\x00"})
	check(err)
	must(len(rest.Kvs) == 1 && string(rest.Kvs[0].Key) == "kubernetes/b", "the rest: %v", rest)
	count, err := c.Kubernetes.Count(ctx, "kubernetes/", kubernetes.CountOptions{})
	check(err)
	same(count, 2, "the count")
	deleted, err := c.Kubernetes.OptimisticDelete(ctx, "kubernetes/a", got.KV.ModRevision, kubernetes.DeleteOptions{GetOnFailure: true})
	check(err)
	must(!deleted.Succeeded, "an old revision deletes nothing")
	deleted, err = c.Kubernetes.OptimisticDelete(ctx, "kubernetes/a", changed.Revision, kubernetes.DeleteOptions{})
	check(err)
	must(deleted.Succeeded, "deleted")
	_, err = c.Kubernetes.List(ctx, "kubernetes/", kubernetes.ListOptions{Revision: deleted.Revision + 1000})
	refused(err, rpctypes.ErrFutureRev)
}

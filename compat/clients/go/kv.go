package main

import (
	"context"
	"fmt"
	"strings"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Put, get and delete with every option that does not range.
func keyValue(ctx context.Context, w *world) {
	c := w.client
	first, err := c.Put(ctx, "kv/a", "1")
	check(err)
	must(first.PrevKv == nil, "a put without WithPrevKV tells the previous value")
	second, err := c.Put(ctx, "kv/a", "2", clientv3.WithPrevKV())
	check(err)
	same(string(second.PrevKv.Value), "1", "the previous value")
	same(second.Header.Revision, first.Header.Revision+1, "the next revision")

	lease, err := c.Grant(ctx, 60)
	check(err)
	_, err = c.Put(ctx, "kv/a", "3", clientv3.WithLease(lease.ID))
	check(err)
	_, err = c.Put(ctx, "kv/a", "4", clientv3.WithIgnoreLease())
	check(err)
	kept, err := c.Get(ctx, "kv/a")
	check(err)
	same(kept.Kvs[0].Lease, int64(lease.ID), "the lease after WithIgnoreLease")
	same(string(kept.Kvs[0].Value), "4", "the value after WithIgnoreLease")
	_, err = c.Put(ctx, "kv/a", "", clientv3.WithIgnoreValue())
	check(err)
	got, err := c.Get(ctx, "kv/a")
	check(err)
	same(string(got.Kvs[0].Value), "4", "the value after WithIgnoreValue")
	same(got.Kvs[0].Lease, 0, "the lease after a put without one")
	same(got.Kvs[0].Version, 5, "the version")
	same(got.Kvs[0].CreateRevision, first.Header.Revision, "the create revision")
	same(got.Kvs[0].ModRevision, first.Header.Revision+4, "the mod revision")

	old, err := c.Get(ctx, "kv/a", clientv3.WithRev(first.Header.Revision))
	check(err)
	same(string(old.Kvs[0].Value), "1", "the value at its first revision")
	w.settle(ctx)
	local, err := c.Get(ctx, "kv/a", clientv3.WithSerializable())
	check(err)
	must(len(local.Kvs) == 1, "a serializable read finds the key")

	deleted, err := c.Delete(ctx, "kv/a", clientv3.WithPrevKV())
	check(err)
	same(deleted.Deleted, 1, "the number of deleted keys")
	same(string(deleted.PrevKvs[0].Value), "4", "the deleted value")
	nothing, err := c.Delete(ctx, "kv/a", clientv3.WithPrevKV())
	check(err)
	same(nothing.Deleted, 0, "the number of keys deleted a second time")
	same(nothing.Header.Revision, deleted.Header.Revision, "the revision after deleting nothing")
	_, err = c.Revoke(ctx, lease.ID)
	check(err)

	reply, err := c.Do(ctx, clientv3.OpPut("kv/b", "x"))
	check(err)
	must(reply.Put() != nil, "Do answers a put with a put")
	empty, err := c.Put(ctx, "kv/empty", "")
	check(err)
	got, err = c.Get(ctx, "kv/empty")
	check(err)
	must(len(got.Kvs) == 1 && len(got.Kvs[0].Value) == 0, "an empty value is kept")
	same(got.Header.Revision, empty.Header.Revision, "the revision of a read")
}

func keys(response *clientv3.GetResponse) string {
	var names []string
	for _, kv := range response.Kvs {
		names = append(names, strings.TrimPrefix(string(kv.Key), "range/"))
	}
	return strings.Join(names, " ")
}

// Gets of many keys: bounds, limits, orders, filters.
func ranges(ctx context.Context, w *world) {
	c := w.client
	var revisions []int64
	for _, pair := range []string{"a=5", "b=4", "c=3", "d=2", "e=1", "b=9"} {
		name, value, _ := strings.Cut(pair, "=")
		put, err := c.Put(ctx, "range/"+name, value)
		check(err)
		revisions = append(revisions, put.Header.Revision)
	}
	cases := []struct {
		key     string
		options []clientv3.OpOption
		wanted  string
	}{
		{"range/", []clientv3.OpOption{clientv3.WithPrefix()}, "a b c d e"},
		{"range/b", []clientv3.OpOption{clientv3.WithRange("range/d")}, "b c"},
		{"range/d", []clientv3.OpOption{clientv3.WithFromKey(), clientv3.WithLimit(2)}, "d e"},
		{"range/d", []clientv3.OpOption{clientv3.WithRange("range/b")}, ""},
		{"range/", []clientv3.OpOption{clientv3.WithPrefix(), clientv3.WithLimit(2)}, "a b"},
		{"range/", []clientv3.OpOption{clientv3.WithPrefix(), clientv3.WithSort(clientv3.SortByKey, clientv3.SortDescend)}, "e d c b a"},
		{"range/", []clientv3.OpOption{clientv3.WithPrefix(), clientv3.WithSort(clientv3.SortByValue, clientv3.SortAscend)}, "e d c a b"},
		{"range/", []clientv3.OpOption{clientv3.WithPrefix(), clientv3.WithSort(clientv3.SortByModRevision, clientv3.SortAscend)}, "a c d e b"},
		{"range/", []clientv3.OpOption{clientv3.WithPrefix(), clientv3.WithSort(clientv3.SortByCreateRevision, clientv3.SortDescend)}, "e d c b a"},
		{"range/", []clientv3.OpOption{clientv3.WithPrefix(), clientv3.WithSort(clientv3.SortByVersion, clientv3.SortDescend), clientv3.WithLimit(1)}, "b"},
		{"range/", []clientv3.OpOption{clientv3.WithPrefix(), clientv3.WithMinModRev(revisions[3])}, "b d e"},
		{"range/", []clientv3.OpOption{clientv3.WithPrefix(), clientv3.WithMaxModRev(revisions[3])}, "a c d"},
		{"range/", []clientv3.OpOption{clientv3.WithPrefix(), clientv3.WithMinCreateRev(revisions[2]), clientv3.WithMaxCreateRev(revisions[3])}, "c d"},
		{"range/", append(clientv3.WithFirstKey(), clientv3.WithPrefix()), "a"},
		{"range/", append(clientv3.WithLastKey(), clientv3.WithPrefix()), "e"},
		{"range/", append(clientv3.WithFirstCreate(), clientv3.WithPrefix()), "a"},
		{"range/", append(clientv3.WithLastCreate(), clientv3.WithPrefix()), "e"},
		{"range/", append(clientv3.WithFirstRev(), clientv3.WithPrefix()), "a"},
		{"range/", append(clientv3.WithLastRev(), clientv3.WithPrefix()), "b"},
		{"range/", []clientv3.OpOption{clientv3.WithPrefix(), clientv3.WithRev(revisions[1])}, "a b"},
	}
	for number, one := range cases {
		response, err := c.Get(ctx, one.key, one.options...)
		check(err)
		same(keys(response), one.wanted, fmt.Sprintf("the answer of case %d", number))
	}

	limited, err := c.Get(ctx, "range/", clientv3.WithPrefix(), clientv3.WithLimit(2))
	check(err)
	must(limited.More && limited.Count == 5, "two of five: more %v, count %d", limited.More, limited.Count)
	whole, err := c.Get(ctx, "range/", clientv3.WithPrefix(), clientv3.WithLimit(5))
	check(err)
	must(!whole.More && whole.Count == 5, "five of five: more %v, count %d", whole.More, whole.Count)
	counted, err := c.Get(ctx, "range/", clientv3.WithPrefix(), clientv3.WithCountOnly())
	check(err)
	must(counted.Count == 5 && len(counted.Kvs) == 0 && !counted.More, "a count is only a count: %v", counted)
	named, err := c.Get(ctx, "range/", clientv3.WithPrefix(), clientv3.WithKeysOnly())
	check(err)
	for _, kv := range named.Kvs {
		must(len(kv.Value) == 0 && kv.ModRevision > 0, "keys only: %v", kv)
	}

	deleted, err := c.Delete(ctx, "range/b", clientv3.WithRange("range/d"), clientv3.WithPrevKV())
	check(err)
	must(deleted.Deleted == 2 && string(deleted.PrevKvs[0].Value) == "9", "two deleted: %v", deleted)
	rest, err := c.Delete(ctx, "range/", clientv3.WithPrefix())
	check(err)
	must(rest.Deleted == 3 && len(rest.PrevKvs) == 0, "three deleted: %v", rest)
}

// What the server must refuse, with the error that the client knows.
func refusals(ctx context.Context, w *world) {
	c := w.client
	put, err := c.Put(ctx, "no/key", "1")
	check(err)
	_, err = c.Put(ctx, "", "1")
	refused(err, rpctypes.ErrEmptyKey)
	_, err = c.Get(ctx, "no/key", clientv3.WithRev(put.Header.Revision+1000))
	refused(err, rpctypes.ErrFutureRev)
	_, err = c.Put(ctx, "no/key", "1", clientv3.WithLease(12345))
	refused(err, rpctypes.ErrLeaseNotFound)
	_, err = c.Put(ctx, "no/such", "", clientv3.WithIgnoreValue())
	refused(err, rpctypes.ErrKeyNotFound)
	_, err = c.Txn(ctx).Then(clientv3.OpPut("no/key", "1"), clientv3.OpPut("no/key", "2")).Commit()
	refused(err, rpctypes.ErrDuplicateKey)
	var many []clientv3.Op
	for number := 0; number < 129; number++ {
		many = append(many, clientv3.OpPut(fmt.Sprintf("no/%d", number), ""))
	}
	_, err = c.Txn(ctx).Then(many...).Commit()
	refused(err, rpctypes.ErrTooManyOps)
	_, err = c.Put(ctx, "no/key", strings.Repeat("x", 1600*1024))
	refused(err, rpctypes.ErrRequestTooLarge)
	_, err = c.Compact(ctx, put.Header.Revision+1000)
	refused(err, rpctypes.ErrFutureRev)
	_, err = c.Revoke(ctx, 12345)
	refused(err, rpctypes.ErrLeaseNotFound)
	_, err = c.KeepAliveOnce(ctx, 12345)
	refused(err, rpctypes.ErrLeaseNotFound)
	got, err := c.Get(ctx, "no/", clientv3.WithPrefix())
	check(err)
	must(got.Count == 1 && got.Header.Revision == put.Header.Revision, "what was refused left no trace: %v", got)
}

// History ends where it is told to.
func compaction(ctx context.Context, w *world) {
	c := w.client
	first, err := c.Put(ctx, "compact/a", "1")
	check(err)
	second, err := c.Put(ctx, "compact/a", "2")
	check(err)
	third, err := c.Put(ctx, "compact/a", "3")
	check(err)
	_, err = c.Compact(ctx, second.Header.Revision, clientv3.WithCompactPhysical())
	check(err)
	_, err = c.Get(ctx, "compact/a", clientv3.WithRev(first.Header.Revision))
	refused(err, rpctypes.ErrCompacted)
	at, err := c.Get(ctx, "compact/a", clientv3.WithRev(second.Header.Revision))
	check(err)
	same(string(at.Kvs[0].Value), "2", "the value at the compacted revision")
	_, err = c.Compact(ctx, second.Header.Revision)
	refused(err, rpctypes.ErrCompacted)
	now, err := c.Get(ctx, "compact/a")
	check(err)
	same(now.Header.Revision, third.Header.Revision, "the revision after compaction")
}

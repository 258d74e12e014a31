package main

import (
	"context"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Compares of every kind, branches, nesting.
func transactions(ctx context.Context, w *world) {
	c := w.client
	lease, err := c.Grant(ctx, 60)
	check(err)
	put, err := c.Put(ctx, "txn/a", "m", clientv3.WithLease(lease.ID))
	check(err)
	_, err = c.Put(ctx, "txn/b", "n")
	check(err)
	rev := put.Header.Revision
	cases := []struct {
		compare clientv3.Cmp
		holds   bool
	}{
		{clientv3.Compare(clientv3.Value("txn/a"), "=", "m"), true},
		{clientv3.Compare(clientv3.Value("txn/a"), "!=", "m"), false},
		{clientv3.Compare(clientv3.Value("txn/a"), "<", "n"), true},
		{clientv3.Compare(clientv3.Value("txn/a"), ">", "n"), false},
		{clientv3.Compare(clientv3.Value("txn/none"), "!=", "m"), false},
		{clientv3.Compare(clientv3.Version("txn/a"), "=", 1), true},
		{clientv3.Compare(clientv3.Version("txn/none"), "=", 0), true},
		{clientv3.Compare(clientv3.CreateRevision("txn/a"), "=", rev), true},
		{clientv3.Compare(clientv3.CreateRevision("txn/a"), "<", rev), false},
		{clientv3.Compare(clientv3.ModRevision("txn/a"), ">", rev-1), true},
		{clientv3.Compare(clientv3.ModRevision("txn/none"), "=", 0), true},
		{clientv3.Compare(clientv3.LeaseValue("txn/a"), "=", lease.ID), true},
		{clientv3.Compare(clientv3.LeaseValue("txn/b"), "=", lease.ID), false},
		{clientv3.Compare(clientv3.Value("txn/"), ">", "l").WithPrefix(), true},
		{clientv3.Compare(clientv3.Value("txn/"), "=", "m").WithPrefix(), false},
		{clientv3.Compare(clientv3.Version("txn/a"), "=", 1).WithRange("txn/c"), true},
	}
	for number, one := range cases {
		response, err := c.Txn(ctx).If(one.compare).
			Then(clientv3.OpGet("txn/a")).Else(clientv3.OpGet("txn/a"), clientv3.OpGet("txn/b")).Commit()
		check(err)
		must(response.Succeeded == one.holds, "compare %d gives %v", number, response.Succeeded)
		wanted := 1
		if !one.holds {
			wanted = 2
		}
		same(len(response.Responses), wanted, "the number of answers in the branch taken")
	}

	// Writes of one transaction share a revision; its reads see its writes.
	whole, err := c.Txn(ctx).
		If(clientv3.Compare(clientv3.Version("txn/a"), ">", 0), clientv3.Compare(clientv3.Version("txn/none"), "=", 0)).
		Then(
			clientv3.OpPut("txn/c", "1"),
			clientv3.OpGet("txn/c"),
			clientv3.OpDelete("txn/b", clientv3.WithPrevKV()),
			clientv3.OpGet("txn/", clientv3.WithPrefix(), clientv3.WithCountOnly()),
			clientv3.OpTxn(
				[]clientv3.Cmp{clientv3.Compare(clientv3.Version("txn/c"), "=", 0)},
				[]clientv3.Op{clientv3.OpPut("txn/nested", "then")},
				[]clientv3.Op{clientv3.OpPut("txn/nested", "else")}),
		).Commit()
	check(err)
	must(whole.Succeeded, "the transaction takes its first branch")
	read := whole.Responses[1].GetResponseRange()
	must(string(read.Kvs[0].Value) == "1" && read.Kvs[0].ModRevision == whole.Header.Revision, "it sees its own put: %v", read)
	same(string(whole.Responses[2].GetResponseDeleteRange().PrevKvs[0].Value), "n", "what it deleted")
	same(whole.Responses[3].GetResponseRange().Count, 2, "the count between its writes")
	must(whole.Responses[4].GetResponseTxn().Succeeded, "nested compares look at the state before")
	nested, err := c.Get(ctx, "txn/nested")
	check(err)
	must(string(nested.Kvs[0].Value) == "then" && nested.Kvs[0].ModRevision == whole.Header.Revision, "nested: %v", nested.Kvs)

	reply, err := c.Do(ctx, clientv3.OpTxn(nil, []clientv3.Op{clientv3.OpGet("txn/a")}, nil))
	check(err)
	must(reply.Txn().Succeeded, "no compare holds")
	_, err = c.Revoke(ctx, lease.ID)
	check(err)
}

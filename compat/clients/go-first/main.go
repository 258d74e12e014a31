// The first release of the official Go client for 3.5, as Kubernetes 1.22 and
// 1.23 have it, against three members.
//
// It names `#initially=[…]` as the host of every request. The program beside
// it asks for everything that a client can; this one shows that they meet.
package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
)

const patience = 40 * time.Second

type failure string

// Ends the part unless both are the same.
func same(got, wanted any, what string) {
	if got != wanted {
		panic(failure(fmt.Sprintf("%s is %v and should be %v", what, got, wanted)))
	}
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(failure(err.Error()))
	}
	return value
}

func keyValue(ctx context.Context, client *clientv3.Client) {
	first := must(client.Put(ctx, "first/a", "1")).Header.Revision
	must(client.Put(ctx, "first/a", "2"))
	got := must(client.Get(ctx, "first/", clientv3.WithPrefix()))
	same(string(got.Kvs[0].Value), "2", "the value")
	past := must(client.Get(ctx, "first/a", clientv3.WithRev(first)))
	same(string(past.Kvs[0].Value), "1", "the value before")
	is := clientv3.Compare(clientv3.Value("first/a"), "=", "2")
	txn := must(client.Txn(ctx).If(is).Then(clientv3.OpDelete("first/a")).Else(clientv3.OpGet("first/a")).Commit())
	same(txn.Succeeded, true, "the comparison")
	same(must(client.Get(ctx, "first/a")).Count, int64(0), "the count")
}

func watching(ctx context.Context, client *clientv3.Client) {
	first := must(client.Put(ctx, "first/w", "0")).Header.Revision
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	events := client.Watch(clientv3.WithRequireLeader(ctx), "first/w", clientv3.WithRev(first))
	must(client.Put(ctx, "first/w", "1"))
	for next := 0; next < 2; {
		response, open := <-events
		same(open, true, "that the watch goes on")
		same(response.Err(), nil, "the failure")
		for _, event := range response.Events {
			same(string(event.Kv.Value), fmt.Sprint(next), "the event")
			next++
		}
	}
}

func leases(ctx context.Context, client *clientv3.Client) {
	session := must(concurrency.NewSession(client, concurrency.WithTTL(5)))
	mutex := concurrency.NewMutex(session, "first/lock")
	same(mutex.Lock(ctx), nil, "the lock's failure")
	left := must(client.TimeToLive(ctx, session.Lease(), clientv3.WithAttachedKeys()))
	same(string(left.Keys[0]), mutex.Key(), "the lease's key")
	same(session.Close(), nil, "the end's failure")
	same(must(client.Get(ctx, mutex.Key())).Count, int64(0), "the count")
}

func members(ctx context.Context, client *clientv3.Client) {
	same(len(must(client.MemberList(ctx)).Members), 3, "the number of members")
	for _, endpoint := range client.Endpoints() {
		status := must(client.Status(ctx, endpoint))
		same(status.Leader != 0, true, "that somebody leads")
	}
}

func main() {
	endpoints := strings.Split(os.Getenv("COMPAT_ENDPOINTS"), ",")
	client, err := clientv3.New(clientv3.Config{Endpoints: endpoints, DialTimeout: 5 * time.Second})
	if err != nil {
		fmt.Println("FAILED connect:", err)
		os.Exit(1)
	}
	defer client.Close()
	failed := false
	for _, part := range []struct {
		name string
		run  func(context.Context, *clientv3.Client)
	}{{"kv", keyValue}, {"watch", watching}, {"lease", leases}, {"members", members}} {
		func() {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			defer func() {
				if why := recover(); why != nil {
					failed = true
					fmt.Printf("FAILED %s: %v\n", part.name, why)
				}
			}()
			part.run(ctx, client)
			fmt.Println("ok", part.name)
		}()
	}
	if failed {
		os.Exit(1)
	}
}

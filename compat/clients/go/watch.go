package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// The next response, which must come.
func next(ctx context.Context, responses clientv3.WatchChan) clientv3.WatchResponse {
	select {
	case response, open := <-responses:
		must(open, "the watch ended")
		return response
	case <-ctx.Done():
		panic(failure(where() + ": the watch says nothing"))
	}
}

// The next `count` events, each as "PUT key=value<previous".
func events(ctx context.Context, responses clientv3.WatchChan, count int) string {
	var told []string
	for len(told) < count {
		response := next(ctx, responses)
		check(response.Err())
		for _, event := range response.Events {
			words := fmt.Sprintf("%s %s=%s", event.Type, event.Kv.Key, event.Kv.Value)
			if event.PrevKv != nil {
				words += "<" + string(event.PrevKv.Value)
			}
			told = append(told, words)
		}
	}
	return strings.Join(told, ", ")
}

// Opens a watch and waits until the server has it.
func watch(ctx context.Context, c *clientv3.Client, key string, options ...clientv3.OpOption) clientv3.WatchChan {
	responses := c.Watch(ctx, key, append(options, clientv3.WithCreatedNotify())...)
	must(next(ctx, responses).Created, "the first response tells that the watch is there")
	return responses
}

// Live events: keys, ranges, previous values, filters, one response a revision.
func watching(ctx context.Context, w *world) {
	c := w.client
	ctx, cancel := context.WithCancel(ctx)
	one := watch(ctx, c, "watch/a")
	all := watch(ctx, c, "watch/", clientv3.WithPrefix(), clientv3.WithPrevKV())
	noPut := watch(ctx, c, "watch/", clientv3.WithPrefix(), clientv3.WithFilterPut())
	noDelete := watch(ctx, c, "watch/", clientv3.WithPrefix(), clientv3.WithFilterDelete())
	from := watch(ctx, c, "watch/b", clientv3.WithRange("watch/c"))

	_, err := c.Put(ctx, "watch/a", "1")
	check(err)
	_, err = c.Put(ctx, "watch/b", "2")
	check(err)
	_, err = c.Put(ctx, "watch/a", "3")
	check(err)
	_, err = c.Delete(ctx, "watch/a")
	check(err)
	_, err = c.Txn(ctx).Then(clientv3.OpPut("watch/x", "5"), clientv3.OpDelete("watch/b"), clientv3.OpPut("watch/y", "6")).Commit()
	check(err)

	same(events(ctx, one, 3), "PUT watch/a=1, PUT watch/a=3, DELETE watch/a=", "the events of one key")
	same(events(ctx, all, 4), "PUT watch/a=1, PUT watch/b=2, PUT watch/a=3<1, DELETE watch/a=<3", "the events with previous values")
	whole := next(ctx, all)
	same(len(whole.Events), 3, "the number of events of one revision in one response")
	for _, event := range whole.Events {
		same(event.Kv.ModRevision, whole.Header.Revision, "the revision of an event")
	}
	must(whole.Events[0].IsCreate() && !whole.Events[0].IsModify(), "a created key: %v", whole.Events[0])
	same(events(ctx, noPut, 2), "DELETE watch/a=, DELETE watch/b=", "the events without puts")
	same(events(ctx, noDelete, 5), "PUT watch/a=1, PUT watch/b=2, PUT watch/a=3, PUT watch/x=5, PUT watch/y=6", "the events without deletions")
	same(events(ctx, from, 2), "PUT watch/b=2, DELETE watch/b=", "the events of a range")

	cancel()
	for _, responses := range []clientv3.WatchChan{one, all, noPut, noDelete, from} {
		for range responses {
		}
	}
}

// From the past, from a compacted past, from the future.
func watchHistory(ctx context.Context, w *world) {
	c := w.client
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var revisions []int64
	for number := 0; number < 5; number++ {
		put, err := c.Put(ctx, "history/a", fmt.Sprint(number))
		check(err)
		revisions = append(revisions, put.Header.Revision)
	}
	past := watch(ctx, c, "history/a", clientv3.WithRev(revisions[2]))
	future := watch(ctx, c, "history/a", clientv3.WithRev(revisions[4]+2))
	same(events(ctx, past, 3), "PUT history/a=2, PUT history/a=3, PUT history/a=4", "the events from the past")

	_, err := c.Compact(ctx, revisions[3])
	check(err)
	w.settle(ctx)
	at := watch(ctx, c, "history/a", clientv3.WithRev(revisions[3]), clientv3.WithPrevKV())
	same(events(ctx, at, 2), "PUT history/a=3, PUT history/a=4<3", "the events from the compacted revision on")
	lost := c.Watch(ctx, "history/a", clientv3.WithRev(revisions[1]))
	end := next(ctx, lost)
	must(end.Canceled, "a watch from before the compaction ends")
	same(end.CompactRevision, revisions[3], "the compacted revision")
	refused(end.Err(), rpctypes.ErrCompacted)
	_, open := <-lost
	must(!open, "a cancelled watch's channel is closed")

	for number := 5; number < 8; number++ {
		_, err := c.Put(ctx, "history/a", fmt.Sprint(number))
		check(err)
	}
	same(events(ctx, past, 3), "PUT history/a=5, PUT history/a=6, PUT history/a=7", "the events after catching up")
	same(events(ctx, future, 2), "PUT history/a=6, PUT history/a=7", "the events from the future")
}

// A revision larger than a message may be comes in pieces, put together by
// the client.
func watchFragments(ctx context.Context, w *world) {
	c, err := clientv3.New(clientv3.Config{Endpoints: w.endpoints, MaxCallRecvMsgSize: 3 << 20, Logger: zap.NewNop()})
	check(err)
	defer c.Close()
	value := strings.Repeat("x", 700<<10)
	for number := 0; number < 6; number++ {
		_, err := c.Put(ctx, fmt.Sprintf("fragment/%d", number), value)
		check(err)
	}
	w.settle(ctx)
	responses := watch(ctx, c, "fragment/", clientv3.WithPrefix(), clientv3.WithPrevKV(), clientv3.WithFragment())
	_, err = c.Delete(ctx, "fragment/", clientv3.WithPrefix())
	check(err)
	response := next(ctx, responses)
	check(response.Err())
	same(len(response.Events), 6, "the number of events put together")
	for number, event := range response.Events {
		same(string(event.Kv.Key), fmt.Sprintf("fragment/%d", number), "the key of an event")
		same(len(event.PrevKv.Value), len(value), "the length of a previous value")
	}
}

// Progress, asked for and by itself, never before the events it covers.
func watchProgress(ctx context.Context, w *world) {
	c := w.client
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	asked := watch(ctx, c, "progress/a")
	put, err := c.Put(ctx, "progress/a", "1")
	check(err)
	same(events(ctx, asked, 1), "PUT progress/a=1", "the event before progress")
	var told clientv3.WatchResponse
	for !told.IsProgressNotify() {
		// A request is dropped while a watcher catches up.
		check(c.RequestProgress(ctx))
		select {
		case told = <-asked:
		case <-time.After(200 * time.Millisecond):
		}
		must(ctx.Err() == nil, "no progress on request")
	}
	must(told.Header.Revision >= put.Header.Revision, "progress at %d after %d", told.Header.Revision, put.Header.Revision)

	quiet := watch(ctx, c, "progress/quiet", clientv3.WithProgressNotify())
	elsewhere, err := c.Put(ctx, "progress/elsewhere", "1")
	check(err)
	for {
		response := next(ctx, quiet)
		must(response.IsProgressNotify() && len(response.Events) == 0, "only progress: %v", response)
		if response.Header.Revision >= elsewhere.Header.Revision {
			break
		}
	}
}

package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
)

// One client, three members: each of them answers.
func balancing(ctx context.Context, w *world) {
	c := w.dial(w.endpoints...)
	defer c.Close()
	answered := map[uint64]int{}
	for len(answered) < len(w.endpoints) {
		got, err := c.Get(ctx, "balance/a", clientv3.WithSerializable())
		check(err)
		answered[got.Header.MemberId]++
	}
	// A client that knows one member learns of the others.
	one := w.dial(w.endpoints[0])
	defer one.Close()
	check(one.Sync(ctx))
	known := one.Endpoints()
	same(len(known), len(w.endpoints), "the number of endpoints after Sync")
	list, err := c.MemberList(ctx)
	check(err)
	for _, member := range list.Members {
		must(answered[member.ID] > 0, "member %x answers nobody", member.ID)
		must(!member.IsLearner && len(member.ClientURLs) == 1, "a member: %v", member)
	}
}

// The index of the member that leads, by its own word.
func leader(ctx context.Context, w *world) int {
	for {
		for number, endpoint := range w.endpoints {
			status, err := w.client.Status(ctx, endpoint)
			if err == nil && status.Leader == status.Header.MemberId {
				return number
			}
		}
		must(ctx.Err() == nil, "nobody leads")
	}
}

// Status, hashes, alarms, a change of leader.
func maintenance(ctx context.Context, w *world) {
	c := w.client
	put, err := c.Put(ctx, "maintenance/a", "1")
	check(err)
	w.settle(ctx)
	var hashes []uint32
	leaders := map[uint64]bool{}
	ids := map[int]uint64{}
	for number, endpoint := range w.endpoints {
		status, err := c.Status(ctx, endpoint)
		check(err)
		must(status.Version != "" && status.DbSize > 0 && status.RaftTerm > 0 && status.RaftIndex > 0, "a status: %v", status)
		must(status.Header.Revision >= put.Header.Revision && !status.IsLearner, "a status: %v", status)
		leaders[status.Leader] = true
		ids[number] = status.Header.MemberId
		hash, err := c.HashKV(ctx, endpoint, put.Header.Revision)
		check(err)
		hashes = append(hashes, hash.Hash)
	}
	same(len(leaders), 1, "the number of leaders")
	for _, hash := range hashes {
		same(hash, hashes[0], "the hash of a member")
	}
	alarms, err := c.AlarmList(ctx)
	check(err)
	same(len(alarms.Alarms), 0, "the number of alarms")

	old := leader(ctx, w)
	next := (old + 1) % len(w.endpoints)
	follower := w.dial(w.endpoints[next])
	defer follower.Close()
	_, err = follower.MoveLeader(ctx, ids[next])
	refused(err, rpctypes.ErrNotLeader)
	own := w.dial(w.endpoints[old])
	defer own.Close()
	_, err = own.MoveLeader(ctx, ids[next])
	check(err)
	same(leader(ctx, w), next, "the leader after the move")
	_, err = c.Put(ctx, "maintenance/a", "2")
	check(err)
}

// The leader is killed under a watch and a contended mutex; then the majority.
func losses(ctx context.Context, w *world) {
	const numbers, contenders, turns = 40, 3, 4
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	seen := watch(ctx, w.client, "loss/number")
	first := leader(ctx, w)
	killed := make(chan struct{})

	done := make(chan any, 1)
	go func() {
		defer func() { done <- recover() }()
		together(1+contenders, func(worker int) {
			if worker < contenders {
				contend(ctx, w, worker, turns, killed)
				return
			}
			for number := 0; number < numbers; number++ {
				if number == numbers/4 {
					kill(w.pids[first])
					close(killed)
				}
				again(ctx, func(ctx context.Context) error {
					_, err := w.client.Put(ctx, "loss/number", fmt.Sprint(number))
					return err
				})
			}
		})
	}()

	// Every number, in order; a retry may repeat one, nothing may be missing.
	wanted, revision := 0, int64(0)
	for wanted < numbers {
		response := next(ctx, seen)
		check(response.Err())
		for _, event := range response.Events {
			must(event.Kv.ModRevision > revision, "revision %d after %d", event.Kv.ModRevision, revision)
			revision = event.Kv.ModRevision
			switch value := string(event.Kv.Value); value {
			case fmt.Sprint(wanted):
				wanted++
			case fmt.Sprint(wanted - 1):
			default:
				must(false, "the watch tells %s and should tell %d", value, wanted)
			}
		}
	}
	if reason := <-done; reason != nil {
		panic(reason)
	}

	// The majority goes: who asked for a leader is told, others wait on.
	last := (first + 1) % len(w.endpoints)
	second := (first + 2) % len(w.endpoints)
	alone := w.dial(w.endpoints[last])
	defer alone.Close()
	demanding := watch(clientv3.WithRequireLeader(ctx), alone, "loss/number")
	patient := watch(ctx, alone, "loss/number")
	_, err := alone.Get(ctx, "loss/number") // then this member has the last number
	check(err)
	kill(w.pids[second])
	response := next(ctx, demanding)
	refused(response.Err(), rpctypes.ErrNoLeader)
	select {
	case response := <-patient:
		must(false, "a watch without the demand ends: %v", response)
	default:
	}
	got, err := alone.Get(ctx, "loss/number", clientv3.WithSerializable())
	check(err)
	same(string(got.Kvs[0].Value), fmt.Sprint(numbers-1), "what the last member holds")
	brief, stop := context.WithTimeout(ctx, 500*time.Millisecond)
	defer stop()
	_, err = alone.Get(brief, "loss/number")
	must(err != nil, "a linearizable read without a majority is answered")
	_, err = alone.Put(clientv3.WithRequireLeader(ctx), "loss/number", "nobody hears")
	refused(err, rpctypes.ErrNoLeader)
}

// Takes turns in a lock, before and after the leader is gone. Who is inside
// writes its name and must find nobody else's.
func contend(ctx context.Context, w *world, worker, turns int, killed chan struct{}) {
	own, err := concurrency.NewSession(w.client, concurrency.WithTTL(20))
	check(err)
	defer own.Close()
	for turn := 0; turn < turns; turn++ {
		mutex := concurrency.NewMutex(own, "loss/lock")
		again(ctx, mutex.Lock)
		name := fmt.Sprintf("%d/%d", worker, turn)
		again(ctx, func(ctx context.Context) error {
			fenced, err := w.client.Txn(ctx).If(mutex.IsOwner(), clientv3.Compare(clientv3.Version("loss/inside"), "=", 0)).
				Then(clientv3.OpPut("loss/inside", name)).Else(clientv3.OpGet("loss/inside")).Commit()
			if err == nil && !fenced.Succeeded {
				found := fenced.Responses[0].GetResponseRange().Kvs
				must(len(found) == 1 && string(found[0].Value) == name, "%s holds the lock and finds %v inside", name, found)
			}
			return err
		})
		if turn == 0 && worker == 1 {
			select { // the lock is held while the leader dies
			case <-killed:
			case <-ctx.Done():
			}
		}
		again(ctx, func(ctx context.Context) error {
			_, err := w.client.Delete(ctx, "loss/inside")
			return err
		})
		again(ctx, mutex.Unlock)
	}
}

// Until it succeeds, each try for at most a second and a half.
func again(ctx context.Context, attempt func(ctx context.Context) error) {
	for {
		brief, stop := context.WithTimeout(ctx, 1500*time.Millisecond)
		err := attempt(brief)
		stop()
		if err == nil {
			return
		}
		must(ctx.Err() == nil, "in vain: %v", err)
	}
}

func kill(pid int) {
	process, err := os.FindProcess(pid)
	check(err)
	check(process.Kill())
}

package main

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
)

func session(w *world) *concurrency.Session {
	session, err := concurrency.NewSession(w.client, concurrency.WithTTL(15))
	check(err)
	return session
}

// Runs this in several goroutines; the first failure is the part's.
func together(count int, run func(number int)) {
	var wait sync.WaitGroup
	broken := make(chan any, count)
	for number := 0; number < count; number++ {
		wait.Add(1)
		go func() {
			defer wait.Done()
			defer func() {
				if reason := recover(); reason != nil {
					broken <- reason
				}
			}()
			run(number)
		}()
	}
	wait.Wait()
	select {
	case reason := <-broken:
		panic(reason)
	default:
	}
}

// One at a time, also among many.
func mutexes(ctx context.Context, w *world) {
	const contenders, turns = 5, 6
	var inside atomic.Int32
	together(contenders, func(int) {
		own := session(w)
		defer own.Close()
		for turn := 0; turn < turns; turn++ {
			mutex := concurrency.NewMutex(own, "mutex/lock")
			check(mutex.Lock(ctx))
			must(inside.Add(1) == 1, "two hold the lock")
			got, err := w.client.Get(ctx, "mutex/count")
			check(err)
			count := 0
			if got.Count == 1 {
				count, err = strconv.Atoi(string(got.Kvs[0].Value))
				check(err)
			}
			fenced, err := w.client.Txn(ctx).If(mutex.IsOwner()).Then(clientv3.OpPut("mutex/count", strconv.Itoa(count+1))).Commit()
			check(err)
			must(fenced.Succeeded, "the holder owns the lock")
			inside.Add(-1)
			check(mutex.Unlock(ctx))
		}
	})
	got, err := w.client.Get(ctx, "mutex/count")
	check(err)
	same(string(got.Kvs[0].Value), strconv.Itoa(contenders*turns), "the number of turns")

	first, second := session(w), session(w)
	defer second.Close()
	held, waiting := concurrency.NewMutex(first, "mutex/try"), concurrency.NewMutex(second, "mutex/try")
	check(held.Lock(ctx))
	refused(waiting.TryLock(ctx), concurrency.ErrLocked)
	must(held.Key() != "" && held.Header().Revision > 0, "a lock has a key")
	// The end of the session is the end of the lock.
	check(first.Close())
	check(waiting.Lock(ctx))
	check(waiting.Unlock(ctx))
	locker := concurrency.NewLocker(second, "mutex/locker")
	locker.Lock()
	locker.Unlock() //nolint: the point is that both come back
}

// Candidates take turns, in the order in which they came.
func elections(ctx context.Context, w *world) {
	const candidates = 3
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	watcher := session(w)
	defer watcher.Close()
	observer := concurrency.NewElection(watcher, "election/")
	_, err := observer.Leader(ctx)
	refused(err, concurrency.ErrElectionNoLeader)
	seen := observer.Observe(ctx)

	var own []*concurrency.Election
	for number := 0; number < candidates; number++ {
		candidate := session(w)
		defer candidate.Close()
		own = append(own, concurrency.NewElection(candidate, "election/"))
	}
	check(own[0].Campaign(ctx, "candidate0"))
	queue := make(chan int, candidates)
	var wait sync.WaitGroup
	for number := 1; number < candidates; number++ {
		wait.Add(1)
		go func() {
			defer wait.Done()
			if own[number].Campaign(ctx, fmt.Sprintf("candidate%d", number)) == nil {
				queue <- number
			}
		}()
	}
	expect := func(value string) {
		for {
			select {
			case response, open := <-seen:
				must(open, "the observation ended before %s", value)
				if string(response.Kvs[0].Value) == value {
					return
				}
			case <-ctx.Done():
				panic(failure("nobody sees " + value))
			}
		}
	}
	expect("candidate0")
	check(own[0].Proclaim(ctx, "proclaimed"))
	expect("proclaimed")
	leader, err := observer.Leader(ctx)
	check(err)
	same(string(leader.Kvs[0].Value), "proclaimed", "the leader")
	resumed := concurrency.ResumeElection(watcher, "election/", own[0].Key(), own[0].Rev())
	check(resumed.Proclaim(ctx, "resumed"))
	expect("resumed")
	check(own[0].Resign(ctx))
	for turn := 1; turn < candidates; turn++ {
		select {
		case number := <-queue:
			expect(fmt.Sprintf("candidate%d", number))
			check(own[number].Resign(ctx))
		case <-ctx.Done():
			panic(failure("nobody follows"))
		}
	}
	wait.Wait()
	_, err = observer.Leader(ctx)
	refused(err, concurrency.ErrElectionNoLeader)
}

// Money moves between accounts; none is made, none is lost.
func softwareTransactions(ctx context.Context, w *world) {
	const accounts, start = 4, 100
	account := func(number int) string { return fmt.Sprintf("stm/%d", number) }
	total := func() int {
		sum := 0
		for number := 0; number < accounts; number++ {
			got, err := w.client.Get(ctx, account(number))
			check(err)
			amount, err := strconv.Atoi(string(got.Kvs[0].Value))
			check(err)
			sum += amount
		}
		return sum
	}
	levels := []concurrency.Isolation{concurrency.SerializableSnapshot, concurrency.Serializable, concurrency.RepeatableReads}
	for _, level := range levels {
		for number := 0; number < accounts; number++ {
			_, err := w.client.Put(ctx, account(number), strconv.Itoa(start))
			check(err)
		}
		together(4, func(worker int) {
			for turn := 0; turn < 5; turn++ {
				from, to := account((worker+turn)%accounts), account((worker+2*turn+1)%accounts)
				if from == to {
					continue
				}
				_, err := concurrency.NewSTM(w.client, func(stm concurrency.STM) error {
					have, err := strconv.Atoi(stm.Get(from))
					if err != nil {
						return err
					}
					other, err := strconv.Atoi(stm.Get(to))
					if err != nil {
						return err
					}
					stm.Put(from, strconv.Itoa(have-7))
					stm.Put(to, strconv.Itoa(other+7))
					return nil
				}, concurrency.WithIsolation(level), concurrency.WithAbortContext(ctx), concurrency.WithPrefetch(from, to))
				check(err)
			}
		})
		same(total(), accounts*start, fmt.Sprintf("the money after isolation level %d", level))
	}

	response, err := concurrency.NewSTM(w.client, func(stm concurrency.STM) error {
		stm.Put("stm/committed", stm.Get(account(0))+"!")
		stm.Del(account(1))
		must(stm.Get("stm/committed") != "" && stm.Rev(account(0)) > 0, "a transaction reads its own writes")
		return nil
	}, concurrency.WithIsolation(concurrency.ReadCommitted), concurrency.WithAbortContext(ctx))
	check(err)
	must(response.Succeeded, "read committed commits")
	got, err := w.client.Get(ctx, account(1))
	check(err)
	same(got.Count, 0, "the number of deleted accounts that are there")
}

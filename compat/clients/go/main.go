// The official Go client, against three members.
//
// Every part asserts what it sees and leaves the cluster usable for the next
// one; the last part kills members. Knows of no server: what holds, holds for
// etcd and for whatever stands in its place.
package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// How long one part may take; the longest needs about five seconds.
const patience = 40 * time.Second

// What every part is given.
type world struct {
	endpoints []string
	pids      []int
	client    *clientv3.Client
}

// What a failed assertion panics with, so that the other parts still run.
type failure string

type part struct {
	name string
	run  func(ctx context.Context, w *world)
}

func main() {
	parts := []part{
		{"kv", keyValue},
		{"ranges", ranges},
		{"txn", transactions},
		{"refusals", refusals},
		{"compaction", compaction},
		{"watch", watching},
		{"watch-history", watchHistory},
		{"watch-fragments", watchFragments},
		{"watch-progress", watchProgress},
		{"lease", leases},
		{"session", sessions},
		{"mutex", mutexes},
		{"election", elections},
		{"stm", softwareTransactions},
		{"namespace", namespaces},
		{"mirror", mirrors},
		{"ordering", orderings},
		{"leasing", leasingCache},
		{"naming", namings},
		{"kubernetes", kubernetesInterface},
		{"balance", balancing},
		{"maintenance", maintenance},
		{"loss", losses}, // kills members: nothing may follow
	}
	w := fromEnvironment()
	defer w.client.Close()
	failed := 0
	for _, p := range parts {
		started := time.Now()
		if err := w.attempt(p); err != nil {
			fmt.Printf("FAILED %s: %v\n", p.name, err)
			failed++
			continue
		}
		fmt.Printf("ok %s (%d ms)\n", p.name, time.Since(started).Milliseconds())
	}
	if failed > 0 {
		fmt.Printf("%d of %d parts failed\n", failed, len(parts))
		os.Exit(1)
	}
}

func fromEnvironment() *world {
	w := &world{endpoints: strings.Split(os.Getenv("COMPAT_ENDPOINTS"), ",")}
	for _, text := range strings.Split(os.Getenv("COMPAT_PIDS"), ",") {
		pid, err := strconv.Atoi(text)
		if err != nil {
			fmt.Println("COMPAT_ENDPOINTS and COMPAT_PIDS name the members; see compat/clients/README.md")
			os.Exit(2)
		}
		w.pids = append(w.pids, pid)
	}
	w.client = w.dial(w.endpoints...)
	return w
}

// A client of these endpoints that says nothing itself.
func (w *world) dial(endpoints ...string) *clientv3.Client {
	client, err := clientv3.New(clientv3.Config{
		Endpoints:            endpoints,
		DialTimeout:          5 * time.Second,
		DialKeepAliveTime:    2 * time.Second,
		DialKeepAliveTimeout: 2 * time.Second,
		Logger:               zap.NewNop(),
	})
	check(err)
	return client
}

// Waits until every member has applied all that was answered so far: what is
// read locally, or watched, may otherwise be behind.
func (w *world) settle(ctx context.Context) {
	for _, endpoint := range w.endpoints {
		single := w.dial(endpoint)
		_, err := single.Get(ctx, "settled")
		check(err)
		check(single.Close())
	}
}

func (w *world) attempt(p part) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	defer func() {
		if broken := recover(); broken != nil {
			words, ours := broken.(failure)
			if !ours {
				panic(broken)
			}
			err = fmt.Errorf("%s", string(words))
		}
	}()
	p.run(ctx, w)
	return nil
}

// Ends the part unless there is no error.
func check(err error) {
	if err != nil {
		panic(failure(fmt.Sprintf("%s: unexpected error: %v", where(), err)))
	}
}

// Ends the part unless this holds.
func must(holds bool, words string, values ...any) {
	if !holds {
		panic(failure(where() + ": " + fmt.Sprintf(words, values...)))
	}
}

// Ends the part unless both are the same.
func same[T comparable](got, wanted T, what string) {
	if got != wanted {
		panic(failure(fmt.Sprintf("%s: %s is %v and should be %v", where(), what, got, wanted)))
	}
}

// Ends the part unless the call failed with this error.
func refused(err, wanted error) {
	if err == nil || err.Error() != wanted.Error() {
		panic(failure(fmt.Sprintf("%s: the error is %v and should be %v", where(), err, wanted)))
	}
}

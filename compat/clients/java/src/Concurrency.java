import io.etcd.jetcd.ByteSequence;
import io.etcd.jetcd.Client;
import io.etcd.jetcd.Election;
import io.etcd.jetcd.KV;
import io.etcd.jetcd.election.CampaignResponse;
import io.etcd.jetcd.election.LeaderKey;
import io.etcd.jetcd.election.LeaderResponse;
import io.etcd.jetcd.op.Cmp;
import io.etcd.jetcd.op.CmpTarget;
import io.etcd.jetcd.op.Op;
import io.etcd.jetcd.options.GetOption;
import io.etcd.jetcd.options.PutOption;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.atomic.AtomicInteger;

/** The server's own Lock and Election services. */
final class Concurrency {
    private static final int TURNS = 4;

    private Concurrency() {
    }

    static void locks(World world) throws Exception {
        AtomicInteger inside = new AtomicInteger();
        List<CompletableFuture<Void>> contenders = new ArrayList<>();
        for (String endpoint : world.endpoints) {
            contenders.add(CompletableFuture.runAsync(() -> {
                try (Client own = World.clientOf(List.of(endpoint))) {
                    contend(own, inside);
                } catch (Exception error) {
                    throw new IllegalStateException(error);
                }
            }));
        }
        for (CompletableFuture<Void> contender : contenders) {
            World.of(contender);
        }
        KV c = world.client.getKVClient();
        long version = World.of(c.get(World.bytes("fenced"))).getKvs().get(0).getVersion();
        World.same(version, (long) world.endpoints.size() * TURNS, "the number of fenced writes");

        // A holder whose lease ends holds nothing any more.
        long lease = World.of(world.client.getLeaseClient().grant(30)).getID();
        ByteSequence held = World.of(world.client.getLockClient().lock(World.bytes("lock"), lease)).getKey();
        World.same(World.of(c.get(held)).getKvs().get(0).getLease(), lease, "the lease of the lock's key");
        World.of(world.client.getLeaseClient().revoke(lease));
        World.same(World.of(c.get(held)).getCount(), 0L, "the lock's key without its lease");
    }

    private static void contend(Client own, AtomicInteger inside) throws Exception {
        long lease = World.of(own.getLeaseClient().grant(30)).getID();
        for (int turn = 0; turn < TURNS; turn++) {
            ByteSequence key = World.of(own.getLockClient().lock(World.bytes("lock"), lease)).getKey();
            World.same(inside.incrementAndGet(), 1, "the number of those who hold the lock");
            // A fenced write: only while the lock's key is there.
            Cmp owned = new Cmp(key, Cmp.Op.GREATER, CmpTarget.createRevision(0));
            Op write = Op.put(World.bytes("fenced"), World.bytes("1"), PutOption.DEFAULT);
            World.must(World.of(own.getKVClient().txn().If(owned).Then(write).commit()).isSucceeded(), "a fenced write");
            inside.decrementAndGet();
            World.of(own.getLockClient().unlock(key));
        }
        World.of(own.getLeaseClient().revoke(lease));
    }

    static void elections(World world) throws Exception {
        Election election = world.client.getElectionClient();
        ByteSequence name = World.bytes("election");
        long lease = World.of(world.client.getLeaseClient().grant(30)).getID();
        long second = World.of(world.client.getLeaseClient().grant(30)).getID();
        LeaderKey first = World.of(election.campaign(name, lease, World.bytes("one"))).getLeader();
        World.same(first.getLease(), lease, "the lease of who leads");
        BlockingQueue<String> seen = new LinkedBlockingQueue<>();
        election.observe(name, new Election.Listener() {
            @Override
            public void onNext(LeaderResponse response) {
                seen.add(World.text(response.getKv().getValue()));
            }

            @Override
            public void onError(Throwable error) {
                seen.add(error.toString());
            }

            @Override
            public void onCompleted() {
                seen.add("completed");
            }
        });
        World.same(seen.take(), "one", "who leads");
        World.of(election.proclaim(first, World.bytes("again")));
        World.same(seen.take(), "again", "what it proclaims");
        World.same(World.text(World.of(election.leader(name)).getKv().getValue()), "again", "who leads when asked");
        CompletableFuture<CampaignResponse> waiting = election.campaign(name, second, World.bytes("two"));
        // The second has its key and waits for the first's to go.
        KV c = world.client.getKVClient();
        GetOption candidates = GetOption.builder().isPrefix(true).withCountOnly(true).build();
        while (World.of(c.get(World.bytes("election/"), candidates)).getCount() < 2) {
            World.must(!waiting.isDone(), "two lead");
        }
        World.of(election.resign(first));
        LeaderKey next = World.of(waiting).getLeader();
        World.same(seen.take(), "two", "who leads after that");
        World.of(election.resign(next));
        World.same(World.of(c.get(World.bytes("election/"), candidates)).getCount(), 0L, "what is left of the election");
    }
}

import io.etcd.jetcd.ByteSequence;
import io.etcd.jetcd.Client;
import io.etcd.jetcd.KV;
import io.etcd.jetcd.KeyValue;
import io.etcd.jetcd.kv.TxnResponse;
import io.etcd.jetcd.maintenance.StatusResponse;
import io.etcd.jetcd.op.Cmp;
import io.etcd.jetcd.op.CmpTarget;
import io.etcd.jetcd.op.Op;
import io.etcd.jetcd.options.GetOption;
import io.etcd.jetcd.options.LeaseOption;
import io.etcd.jetcd.options.PutOption;
import io.etcd.jetcd.options.TxnOption;
import io.etcd.jetcd.options.WatchOption;
import io.etcd.jetcd.watch.WatchEvent;
import io.etcd.jetcd.watch.WatchResponse;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.Supplier;

/** The leader is killed under a writer, a lease and a watch of its own. */
final class Loss {
    private static final int NUMBERS = 30;
    private static final ByteSequence NUMBER = World.bytes("loss/number");
    /** How long one try may take, in milliseconds. */
    private static final int TRY = 1500;

    private Loss() {
    }

    static void leaderDies(World world) throws Exception {
        int place = world.leader();
        StatusResponse first = world.status(place);
        long leader = first.getHeader().getMemberId();
        Client c = world.client;
        World.of(c.getKVClient().put(NUMBER, World.bytes("-1")));
        long lease = World.of(c.getLeaseClient().grant(20)).getID();
        Leases.put(c.getKVClient(), "loss/leased", lease);
        Seen seen = watchAt(c, leader);
        CompletableFuture<Void> writing = CompletableFuture.runAsync(() -> write(world, place));

        // Every number once and in order.
        int wanted = 0;
        long revision = 0;
        long member = leader;
        while (wanted < NUMBERS) {
            // The client tells of the loss, and watches on with another member.
            if (!(seen.told.take() instanceof WatchResponse response)) {
                continue;
            }
            member = response.getHeader().getMemberId();
            for (WatchEvent event : response.getEvents()) {
                KeyValue kv = event.getKeyValue();
                World.must(kv.getModRevision() > revision, "revision " + kv.getModRevision() + " after " + revision);
                revision = kv.getModRevision();
                World.same(Integer.parseInt(World.text(kv.getValue())), wanted, "the number that the watch tells");
                wanted += 1;
            }
        }
        World.of(writing);
        World.must(member != leader, "the watch went to another member");
        int next = (place + 1) % world.endpoints.size();
        StatusResponse status = again(() -> c.getMaintenanceClient().statusMember(world.endpoints.get(next)));
        World.must(status.getLeader() != leader && status.getRaftTerm() > first.getRaftTerm(), "another leads: " + status);
        // The lease lives on with the new leader, and so does its key.
        World.same(again(() -> c.getLeaseClient().keepAliveOnce(lease)).getTTL(), 20L, "a renewal by the new leader");
        LeaseOption keys = LeaseOption.builder().withAttachedKeys().build();
        World.same(again(() -> c.getLeaseClient().timeToLive(lease, keys)).getKeys(), List.of(World.bytes("loss/leased")), "its keys");
    }

    /** A watch whose stream is at this member: the client takes one after the other. */
    private static Seen watchAt(Client client, long member) throws Exception {
        while (true) {
            Seen seen = new Seen(client.getWatchClient(), "loss/number", WatchOption.builder());
            if (seen.member == member) {
                return seen;
            }
            seen.close();
        }
    }

    private static void write(World world, int leader) {
        for (int number = 0; number < NUMBERS; number++) {
            if (number == NUMBERS / 3) {
                World.must(ProcessHandle.of(world.pids.get(leader)).orElseThrow().destroyForcibly(), "the leader is killed");
            }
            int next = number;
            TxnResponse response = again(() -> count(world.client.getKVClient(), next));
            if (!response.isSucceeded()) {
                KeyValue there = response.getGetResponses().get(0).getKvs().get(0);
                World.same(Integer.parseInt(World.text(there.getValue())), number, "the number that an earlier try wrote");
            }
        }
    }

    /**
     * Writes a number behind the one before it. A try whose answer was lost may
     * have done it, or do it late: then the number is there, and nothing
     * happens. So the client itself may try again as well.
     */
    private static CompletableFuture<TxnResponse> count(KV client, int number) {
        Cmp before = new Cmp(NUMBER, Cmp.Op.EQUAL, CmpTarget.value(World.bytes(String.valueOf(number - 1))));
        Op put = Op.put(NUMBER, World.bytes(String.valueOf(number)), PutOption.DEFAULT);
        TxnOption retried = TxnOption.builder().withAutoRetry().build();
        return client.txn(retried).If(before).Then(put).Else(Op.get(NUMBER, GetOption.DEFAULT)).commit();
    }

    /** Until it succeeds. */
    private static <T> T again(Supplier<CompletableFuture<T>> attempt) {
        while (true) {
            CompletableFuture<T> call = attempt.get();
            try {
                return call.get(TRY, TimeUnit.MILLISECONDS);
            } catch (ExecutionException | TimeoutException error) {
                call.cancel(true);
            } catch (InterruptedException error) {
                throw new IllegalStateException(error);
            }
        }
    }
}

import static io.etcd.jetcd.common.exception.ErrorCode.NOT_FOUND;

import io.etcd.jetcd.KV;
import io.etcd.jetcd.Lease;
import io.etcd.jetcd.common.exception.EtcdException;
import io.etcd.jetcd.lease.LeaseKeepAliveResponse;
import io.etcd.jetcd.lease.LeaseTimeToLiveResponse;
import io.etcd.jetcd.options.LeaseOption;
import io.etcd.jetcd.options.PutOption;
import io.etcd.jetcd.options.WatchOption;
import io.etcd.jetcd.support.CloseableClient;
import io.etcd.jetcd.watch.WatchResponse;
import io.grpc.stub.StreamObserver;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;

/** Leases: granted, renewed, looked at, run out, revoked. */
final class Leases {
    private static final String GONE = "etcdserver: requested lease not found";

    private Leases() {
    }

    static void leases(World world) throws Exception {
        KV c = world.client.getKVClient();
        Lease leases = world.client.getLeaseClient();
        long kept = World.of(leases.grant(5)).getID();
        long brief = World.of(leases.grant(1)).getID();
        try (Seen gone = new Seen(world.client.getWatchClient(), "lease/", WatchOption.builder().isPrefix(true).withNoPut(true))) {
            put(c, "lease/b", brief);
            put(c, "lease/a", brief);
            put(c, "lease/kept", kept);
            World.same(World.of(c.get(World.bytes("lease/kept"))).getKvs().get(0).getLease(), kept, "the lease of a key");
            BlockingQueue<Object> renewals = new LinkedBlockingQueue<>();
            try (CloseableClient keeper = leases.keepAlive(kept, listener(renewals))) {
                // The client renews by itself: at once, and every third of the time.
                for (int number = 0; number < 2; number++) {
                    Object renewal = renewals.take();
                    World.must(renewal instanceof LeaseKeepAliveResponse answer && answer.getTTL() == 5 && answer.getID() == kept,
                        "a renewal: " + renewal);
                }
                // Without renewals the other runs out: both keys in one revision, in order.
                WatchResponse both = gone.next();
                List<String> keys = both.getEvents().stream().map(event -> World.text(event.getKeyValue().getKey())).toList();
                World.same(keys, List.of("lease/a", "lease/b"), "what a lease takes with it");

                LeaseTimeToLiveResponse left = World.of(leases.timeToLive(kept, LeaseOption.builder().withAttachedKeys().build()));
                World.must(left.getGrantedTTL() == 5 && left.getTTL() >= 0 && left.getTTL() <= 5, "what is left: " + left);
                World.same(left.getKeys(), List.of(World.bytes("lease/kept")), "the keys of the lease");

                // A put without the lease takes the key from it.
                put(c, "lease/free", kept);
                World.of(c.put(World.bytes("lease/free"), World.bytes("2")));
                World.of(leases.revoke(kept));
                World.same(gone.take(1), "DELETE lease/kept=", "what the revocation takes");
                World.same(World.of(c.get(World.bytes("lease/free"))).getCount(), 1L, "a key that was freed of the lease");
                // Whoever renews what is gone is told.
                Object last = renewals.take();
                while (last instanceof LeaseKeepAliveResponse) {
                    last = renewals.take();
                }
                World.must(last instanceof EtcdException error && error.getErrorCode() == NOT_FOUND, "the end of renewals: " + last);
            }
            World.same(World.of(leases.timeToLive(brief, LeaseOption.DEFAULT)).getTTL(), -1L, "the time of a lease that is gone");
            World.refused(leases.keepAliveOnce(brief), NOT_FOUND, GONE);
            World.refused(leases.revoke(kept), NOT_FOUND, GONE);
        }
    }

    static void put(KV client, String key, long lease) throws Exception {
        World.of(client.put(World.bytes(key), World.bytes("1"), PutOption.builder().withLeaseId(lease).build()));
    }

    private static StreamObserver<LeaseKeepAliveResponse> listener(BlockingQueue<Object> told) {
        return new StreamObserver<>() {
            @Override
            public void onNext(LeaseKeepAliveResponse response) {
                told.add(response);
            }

            @Override
            public void onError(Throwable error) {
                told.add(error);
            }

            @Override
            public void onCompleted() {
                told.add("completed");
            }
        };
    }
}

import java.util.List;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/**
 * Java's jetcd, against three members.
 *
 * Every part asserts what it sees and leaves the cluster usable for the next
 * one; the last part kills a member. Knows of no server: what holds, holds for
 * etcd and for whatever stands in its place.
 */
public final class Main {
    /** How long one part may take, in seconds; the longest needs about five. */
    private static final int PATIENCE = 40;

    private interface Code {
        void run(World world) throws Exception;
    }

    private record Part(String name, Code code) {
    }

    private static final List<Part> PARTS = List.of(
        new Part("kv", Keys::keys),
        new Part("ranges", Keys::ranges),
        new Part("txn", Transactions::branches),
        new Part("refusals", Keys::refusals),
        new Part("compaction", Keys::compaction),
        new Part("namespace", Keys::namespaces),
        new Part("watch", Watches::live),
        new Part("watch-history", Watches::history),
        new Part("watch-refused", Watches::refused),
        new Part("lease", Leases::leases),
        new Part("lock", Concurrency::locks),
        new Part("election", Concurrency::elections),
        new Part("maintenance", Maintenance::members),
        new Part("loss", Loss::leaderDies)); // kills a member: nothing may follow

    public static void main(String[] arguments) {
        World world = World.fromEnvironment();
        ExecutorService runner = Executors.newCachedThreadPool();
        int failed = 0;
        for (Part part : PARTS) {
            long started = System.nanoTime();
            try {
                runner.submit(() -> {
                    part.code.run(world);
                    return null;
                }).get(PATIENCE, TimeUnit.SECONDS);
                System.out.printf("ok %s (%d ms)%n", part.name, (System.nanoTime() - started) / 1_000_000);
            } catch (ExecutionException error) {
                failed += 1;
                System.out.printf("FAILED %s: %s%n", part.name, error.getCause());
                error.getCause().printStackTrace(System.out);
            } catch (InterruptedException | TimeoutException error) {
                failed += 1;
                System.out.printf("FAILED %s: not done after %d s%n", part.name, PATIENCE);
            }
        }
        if (failed > 0) {
            System.out.printf("%d of %d parts failed%n", failed, PARTS.size());
        }
        // What a failed part left running must not keep the process.
        System.exit(failed > 0 ? 1 : 0);
    }
}

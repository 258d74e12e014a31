import io.etcd.jetcd.ByteSequence;
import io.etcd.jetcd.Client;
import io.etcd.jetcd.common.exception.ErrorCode;
import io.etcd.jetcd.common.exception.EtcdException;
import io.etcd.jetcd.common.exception.EtcdExceptionFactory;
import io.etcd.jetcd.maintenance.StatusResponse;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;

/** What every part is given, and the assertions that it makes. */
final class World {
    /** How long one answer may take, in seconds. */
    private static final int PATIENCE = 20;

    final List<String> endpoints;
    final List<Long> pids;
    final Client client;

    private World(List<String> endpoints, List<Long> pids) {
        this.endpoints = endpoints;
        this.pids = pids;
        this.client = clientOf(endpoints);
    }

    static World fromEnvironment() {
        List<Long> pids = listed("COMPAT_PIDS").stream().map(Long::valueOf).toList();
        List<String> endpoints = listed("COMPAT_ENDPOINTS").stream().map(endpoint -> "http://" + endpoint).toList();
        must(endpoints.size() == 3 && pids.size() == 3, "see compat/clients/README.md");
        return new World(endpoints, pids);
    }

    private static List<String> listed(String name) {
        String text = System.getenv().getOrDefault(name, "");
        return Arrays.stream(text.split(",")).filter(one -> !one.isEmpty()).toList();
    }

    /** A client whose calls go to these endpoints in turn. */
    static Client clientOf(List<String> endpoints) {
        return Client.builder().endpoints(endpoints.toArray(String[]::new)).connectTimeout(Duration.ofSeconds(5)).build();
    }

    /**
     * Waits until every member has applied all that was answered so far: what
     * is watched, or read locally, may otherwise be behind.
     */
    void settle() throws Exception {
        for (String endpoint : endpoints) {
            try (Client single = clientOf(List.of(endpoint))) {
                of(single.getKVClient().get(bytes("settled")));
            }
        }
    }

    /** What the member with this place says of itself. */
    StatusResponse status(int place) throws Exception {
        return of(client.getMaintenanceClient().statusMember(endpoints.get(place)));
    }

    /** The place of the member that leads, by its own word. */
    int leader() throws Exception {
        while (true) {
            for (int place = 0; place < endpoints.size(); place++) {
                StatusResponse status = status(place);
                if (status.getLeader() == status.getHeader().getMemberId()) {
                    return place;
                }
            }
        }
    }

    static ByteSequence bytes(String text) {
        return ByteSequence.from(text, StandardCharsets.UTF_8);
    }

    static String text(ByteSequence bytes) {
        return bytes.toString(StandardCharsets.UTF_8);
    }

    /** The answer; what the call failed with is thrown. */
    static <T> T of(CompletableFuture<T> call) throws Exception {
        try {
            return call.get(PATIENCE, TimeUnit.SECONDS);
        } catch (ExecutionException error) {
            throw EtcdExceptionFactory.toEtcdException(error.getCause());
        }
    }

    /** Ends the part unless this holds. */
    static void must(boolean holds, String words) {
        if (!holds) {
            throw new AssertionError(words);
        }
    }

    /** Ends the part unless both are the same. */
    static void same(Object got, Object wanted, String what) {
        must(Objects.equals(got, wanted), what + " is " + got + " and should be " + wanted);
    }

    /** Ends the part unless the call fails with this code and these words. */
    static void refused(CompletableFuture<?> call, ErrorCode code, String words) throws Exception {
        Object answer;
        try {
            answer = of(call);
        } catch (EtcdException error) {
            same(error.getErrorCode(), code, "the code of \"" + error.getMessage() + "\"");
            must(error.getMessage().endsWith(words), "the error is \"" + error.getMessage() + "\" and should be \"" + words + "\"");
            return;
        }
        throw new AssertionError("there is no error and should be \"" + words + "\", but " + answer);
    }
}

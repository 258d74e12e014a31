import io.etcd.jetcd.KeyValue;
import io.etcd.jetcd.Watch;
import io.etcd.jetcd.options.WatchOption;
import io.etcd.jetcd.watch.WatchEvent;
import io.etcd.jetcd.watch.WatchResponse;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;

/** A watch that exists, and what it hears, to be awaited. */
final class Seen implements Watch.Listener, AutoCloseable {
    /** Responses and errors in their order. */
    final BlockingQueue<Object> told = new LinkedBlockingQueue<>();
    private final Watch.Watcher watcher;
    /** Events of the last response that nobody has taken yet. */
    private final List<WatchEvent> events = new ArrayList<>();
    /** The member at which the watch began. */
    final long member;

    Seen(Watch client, String key, WatchOption.Builder option) throws Exception {
        watcher = client.watch(World.bytes(key), option.withCreateNotify(true).build(), this);
        WatchResponse created = next();
        World.must(created.isCreatedNotify(), "the first response tells that the watch exists");
        member = created.getHeader().getMemberId();
    }

    @Override
    public void onNext(WatchResponse response) {
        told.add(response);
    }

    @Override
    public void onError(Throwable error) {
        told.add(error);
    }

    @Override
    public void onCompleted() {
        // The end is what the caller asked for, or comes with an error.
    }

    @Override
    public void close() {
        watcher.close();
    }

    void requestProgress() {
        watcher.requestProgress();
    }

    /** The next response; an error ends the part. */
    WatchResponse next() throws InterruptedException {
        if (told.take() instanceof WatchResponse response) {
            return response;
        }
        throw new AssertionError("the watch ends");
    }

    /** The next event, of as many responses as it takes. */
    WatchEvent event() throws InterruptedException {
        while (events.isEmpty()) {
            events.addAll(next().getEvents());
        }
        return events.remove(0);
    }

    /** The next events, each as "PUT key=value<previous", with commas between. */
    String take(int count) throws InterruptedException {
        List<String> words = new ArrayList<>();
        for (int number = 0; number < count; number++) {
            WatchEvent event = event();
            KeyValue kv = event.getKeyValue();
            String previous = World.text(event.getPrevKV().getValue());
            words.add(event.getEventType() + " " + World.text(kv.getKey()) + "=" + World.text(kv.getValue())
                + (previous.isEmpty() ? "" : "<" + previous));
        }
        return String.join(", ", words);
    }
}

import io.etcd.jetcd.KV;
import io.etcd.jetcd.Watch;
import io.etcd.jetcd.common.exception.CompactedException;
import io.etcd.jetcd.kv.PutResponse;
import io.etcd.jetcd.op.Op;
import io.etcd.jetcd.options.PutOption;
import io.etcd.jetcd.options.WatchOption;
import io.etcd.jetcd.watch.WatchResponse;

/** Watches: live, filtered, from the past, cancelled, refused, progress. */
final class Watches {
    private Watches() {
    }

    private static WatchOption.Builder prefix() {
        return WatchOption.builder().isPrefix(true);
    }

    static void live(World world) throws Exception {
        KV c = world.client.getKVClient();
        Watch watch = world.client.getWatchClient();
        try (Seen all = new Seen(watch, "watch/", prefix().withPrevKV(true));
            Seen deletions = new Seen(watch, "watch/", prefix().withNoPut(true));
            Seen puts = new Seen(watch, "watch/a", WatchOption.builder().withNoDelete(true));
            Seen range = new Seen(watch, "watch/b", WatchOption.builder().withRange(World.bytes("watch/c")))) {
            for (String[] put : new String[][] {{"watch/a", "1"}, {"watch/b", "2"}, {"watch/a", "3"}}) {
                World.of(c.put(World.bytes(put[0]), World.bytes(put[1])));
            }
            World.of(c.delete(World.bytes("watch/a")));
            World.same(all.take(4), "PUT watch/a=1, PUT watch/b=2, PUT watch/a=3<1, DELETE watch/a=<3", "the events");
            World.same(deletions.take(1), "DELETE watch/a=", "the deletions");
            World.same(puts.take(2), "PUT watch/a=1, PUT watch/a=3", "the puts");
            World.same(range.take(1), "PUT watch/b=2", "the events of a range");

            // What one transaction changed comes in one response.
            Op x = Op.put(World.bytes("watch/x"), World.bytes("1"), PutOption.DEFAULT);
            Op y = Op.put(World.bytes("watch/y"), World.bytes("1"), PutOption.DEFAULT);
            long revision = World.of(c.txn().Then(x, y).commit()).getHeader().getRevision();
            WatchResponse both = all.next();
            World.same(both.getEvents().size(), 2, "the number of events of a transaction");
            World.must(both.getEvents().stream().allMatch(event -> event.getKeyValue().getModRevision() == revision),
                "the events of a transaction have its revision");

            // A watch that is cancelled hears no more.
            deletions.close();
            World.of(c.delete(World.bytes("watch/b")));
            World.same(all.take(1), "DELETE watch/b=<2", "the event after a cancellation");
            World.must(deletions.told.isEmpty(), "a cancelled watch hears nothing");
        }
    }

    static void history(World world) throws Exception {
        KV c = world.client.getKVClient();
        long first = 0;
        for (String value : new String[] {"1", "2", "3"}) {
            PutResponse put = World.of(c.put(World.bytes("history/a"), World.bytes(value)));
            first = first == 0 ? put.getHeader().getRevision() : first;
        }
        WatchOption.Builder past = WatchOption.builder().withRevision(first + 1).withPrevKV(true);
        try (Seen seen = new Seen(world.client.getWatchClient(), "history/a", past);
            Seen told = new Seen(world.client.getWatchClient(), "history/", prefix().withProgressNotify(true))) {
            World.same(seen.take(2), "PUT history/a=2<1, PUT history/a=3<2", "the events of the past");
            // Unasked for, every half second: nothing happened up to this revision.
            WatchResponse notice = told.next();
            World.must(notice.isProgressNotify() && notice.getHeader().getRevision() >= first + 2, "a notice of progress: " + notice);
            // And when asked; a request may go under while the watch catches up.
            long put = World.of(c.put(World.bytes("history/b"), World.bytes("1"))).getHeader().getRevision();
            World.same(told.take(1), "PUT history/b=1", "the event before the notice");
            told.requestProgress();
            WatchResponse answer = told.next();
            World.must(answer.getEvents().isEmpty() && answer.getHeader().getRevision() >= put, "an answer: " + answer);
        }
    }

    static void refused(World world) throws Exception {
        KV c = world.client.getKVClient();
        long first = World.of(c.put(World.bytes("refused/a"), World.bytes("1"))).getHeader().getRevision();
        long second = World.of(c.put(World.bytes("refused/a"), World.bytes("2"))).getHeader().getRevision();
        World.of(c.compact(second));
        world.settle();
        Watch watch = world.client.getWatchClient();
        try (Seen alive = new Seen(watch, "refused/a", WatchOption.builder());
            Seen lost = new Seen(watch, "refused/a", WatchOption.builder().withRevision(first))) {
            Object error = lost.told.take();
            World.must(error instanceof CompactedException, "a compacted past ends the watch: " + error);
            World.same(((CompactedException) error).getCompactedRevision(), second, "the compacted revision");
            World.of(c.put(World.bytes("refused/a"), World.bytes("3")));
            World.same(alive.take(1), "PUT refused/a=3", "the event of another watch");
        }
    }
}

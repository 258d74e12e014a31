import static io.etcd.jetcd.common.exception.ErrorCode.INVALID_ARGUMENT;
import static io.etcd.jetcd.common.exception.ErrorCode.NOT_FOUND;
import static io.etcd.jetcd.common.exception.ErrorCode.OUT_OF_RANGE;

import io.etcd.jetcd.ByteSequence;
import io.etcd.jetcd.Client;
import io.etcd.jetcd.KV;
import io.etcd.jetcd.KeyValue;
import io.etcd.jetcd.kv.DeleteResponse;
import io.etcd.jetcd.kv.GetResponse;
import io.etcd.jetcd.kv.PutResponse;
import io.etcd.jetcd.op.Op;
import io.etcd.jetcd.options.CompactOption;
import io.etcd.jetcd.options.DeleteOption;
import io.etcd.jetcd.options.GetOption;
import io.etcd.jetcd.options.GetOption.SortOrder;
import io.etcd.jetcd.options.GetOption.SortTarget;
import io.etcd.jetcd.options.PutOption;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/** Keys, ranges, refusals, compaction, namespaces. */
final class Keys {
    private static final String FUTURE = "etcdserver: mvcc: required revision is a future revision";
    private static final String COMPACTED = "etcdserver: mvcc: required revision has been compacted";

    private Keys() {
    }

    static void keys(World world) throws Exception {
        KV c = world.client.getKVClient();
        ByteSequence a = World.bytes("kv/a");
        World.same(World.of(c.get(World.bytes("kv/none"))).getCount(), 0L, "the count of a key that is not there");
        PutResponse first = World.of(c.put(a, World.bytes("1")));
        World.must(!first.hasPrevKv(), "a previous value that nobody asked for");
        PutResponse second = World.of(c.put(a, World.bytes("2"), PutOption.builder().withPrevKV().build()));
        World.same(World.text(second.getPrevKv().getValue()), "1", "the previous value");
        long revision = second.getHeader().getRevision();
        World.same(revision, first.getHeader().getRevision() + 1, "the next revision");
        KeyValue got = World.of(c.get(a)).getKvs().get(0);
        World.same(List.of(got.getVersion(), got.getCreateRevision(), got.getModRevision(), got.getLease()),
            List.of(2L, revision - 1, revision, 0L), "version, revisions, lease");
        GetResponse past = World.of(c.get(a, GetOption.builder().withRevision(revision - 1).build()));
        World.same(World.text(past.getKvs().get(0).getValue()), "1", "what was there");
        GetResponse local = World.of(c.get(a, GetOption.builder().withSerializable(true).build()));
        World.must(local.getHeader().getMemberId() != 0 && local.getHeader().getClusterId() != 0, "a header has ids");

        // Bytes that are no text, and no bytes at all.
        ByteSequence wild = ByteSequence.from(new byte[] {'k', 'v', '/', 0, (byte) 0xff});
        World.of(c.put(wild, ByteSequence.from(new byte[] {(byte) 0xfe, 0})));
        World.same(World.of(c.get(wild)).getKvs().get(0).getValue(), ByteSequence.from(new byte[] {(byte) 0xfe, 0}), "wild bytes");
        World.of(c.put(World.bytes("kv/empty"), ByteSequence.EMPTY));
        World.must(World.of(c.get(World.bytes("kv/empty"))).getKvs().get(0).getValue().isEmpty(), "an empty value");

        DeleteResponse deleted = World.of(c.delete(a, DeleteOption.builder().withPrevKV(true).build()));
        World.same(World.text(deleted.getPrevKvs().get(0).getValue()), "2", "what was deleted");
        World.same(World.of(c.delete(a)).getDeleted(), 0L, "a deletion of nothing");
        DeleteResponse rest = World.of(c.delete(World.bytes("kv/"), DeleteOption.builder().isPrefix(true).withPrevKV(true).build()));
        World.same(rest.getPrevKvs().stream().map(KeyValue::getKey).toList(), List.of(wild, World.bytes("kv/empty")), "the deleted keys");
    }

    static void ranges(World world) throws Exception {
        KV c = world.client.getKVClient();
        long[] revisions = new long[4];
        String[][] puts = {{"a", "3"}, {"b", "1"}, {"c", "2"}, {"a", "3"}};
        for (int number = 0; number < puts.length; number++) {
            PutResponse put = World.of(c.put(World.bytes("range/" + puts[number][0]), World.bytes(puts[number][1])));
            revisions[number] = put.getHeader().getRevision();
        }
        Map<GetOption.Builder, String> cases = new LinkedHashMap<>();
        cases.put(all(), "a b c");
        cases.put(all().withSortField(SortTarget.KEY).withSortOrder(SortOrder.DESCEND), "c b a");
        cases.put(all().withSortField(SortTarget.VALUE).withSortOrder(SortOrder.ASCEND), "b c a");
        cases.put(all().withSortField(SortTarget.CREATE).withSortOrder(SortOrder.DESCEND), "c b a");
        cases.put(all().withSortField(SortTarget.MOD).withSortOrder(SortOrder.ASCEND), "b c a");
        cases.put(all().withSortField(SortTarget.VERSION).withSortOrder(SortOrder.DESCEND).withLimit(1), "a");
        cases.put(all().withLimit(2), "a b");
        cases.put(all().withKeysOnly(true), "a b c");
        cases.put(all().withMinModRevision(revisions[2]), "a c");
        cases.put(all().withMaxModRevision(revisions[2]), "b c");
        cases.put(all().withMinCreateRevision(revisions[1]), "b c");
        cases.put(all().withMaxCreateRevision(revisions[1]), "a b");
        for (Map.Entry<GetOption.Builder, String> one : cases.entrySet()) {
            GetResponse got = World.of(c.get(World.bytes("range/"), one.getKey().build()));
            World.same(names(got), one.getValue(), "the range for " + one.getValue());
            World.same(got.getCount(), 3L, "its count");
        }
        GetResponse page = World.of(c.get(World.bytes("range/"), all().withLimit(2).build()));
        World.must(page.isMore(), "there is more behind a page");
        GetResponse bare = World.of(c.get(World.bytes("range/"), all().withKeysOnly(true).build()));
        World.must(bare.getKvs().stream().allMatch(kv -> kv.getValue().isEmpty()), "keys only");
        GetResponse counted = World.of(c.get(World.bytes("range/"), all().withCountOnly(true).build()));
        World.must(counted.getCount() == 3 && counted.getKvs().isEmpty() && !counted.isMore(), "a count alone");
        GetResponse old = World.of(c.get(World.bytes("range/"), all().withRevision(revisions[1]).build()));
        World.same(names(old), "a b", "the range as it was");
        GetOption half = GetOption.builder().withRange(World.bytes("range/c")).build();
        World.same(names(World.of(c.get(World.bytes("range/b"), half))), "b", "a half-open range");
        DeleteOption from = DeleteOption.builder().withRange(World.bytes("range/d")).build();
        World.same(World.of(c.delete(World.bytes("range/b"), from)).getDeleted(), 2L, "the deleted range");
    }

    private static GetOption.Builder all() {
        return GetOption.builder().isPrefix(true);
    }

    private static String names(GetResponse response) {
        return response.getKvs().stream().map(kv -> World.text(kv.getKey()).substring(6)).collect(Collectors.joining(" "));
    }

    static void refusals(World world) throws Exception {
        KV c = world.client.getKVClient();
        ByteSequence no = World.bytes("no");
        ByteSequence one = World.bytes("1");
        GetOption all = GetOption.builder().isPrefix(true).build();
        long before = World.of(c.get(no, all)).getHeader().getRevision();
        World.refused(c.put(ByteSequence.EMPTY, one), INVALID_ARGUMENT, "etcdserver: key is not provided");
        PutOption leased = PutOption.builder().withLeaseId(77).build();
        World.refused(c.put(no, one, leased), NOT_FOUND, "etcdserver: requested lease not found");
        World.refused(world.client.getLeaseClient().revoke(77), NOT_FOUND, "etcdserver: requested lease not found");
        World.refused(c.get(no, GetOption.builder().withRevision(1L << 40).build()), OUT_OF_RANGE, FUTURE);
        World.refused(c.put(no, ByteSequence.from(new byte[1_700_000])), INVALID_ARGUMENT, "etcdserver: request is too large");
        Op put = Op.put(no, one, PutOption.DEFAULT);
        World.refused(c.txn().Then(put, put).commit(), INVALID_ARGUMENT, "etcdserver: duplicate key given in txn request");
        Op[] many = IntStream.range(0, 129).mapToObj(number -> Op.put(World.bytes("no/" + number), one, PutOption.DEFAULT))
            .toArray(Op[]::new);
        World.refused(c.txn().Then(many).commit(), INVALID_ARGUMENT, "etcdserver: too many operations in txn request");
        GetResponse after = World.of(c.get(no, all));
        World.same(List.of(after.getCount(), after.getHeader().getRevision()), List.of(0L, before), "what refused requests leave");
    }

    static void compaction(World world) throws Exception {
        KV c = world.client.getKVClient();
        ByteSequence a = World.bytes("compaction/a");
        World.of(c.put(a, World.bytes("1")));
        long revision = World.of(c.put(a, World.bytes("2"))).getHeader().getRevision();
        World.of(c.compact(revision, CompactOption.builder().withCompactPhysical(true).build()));
        World.refused(c.get(a, GetOption.builder().withRevision(revision - 1).build()), OUT_OF_RANGE, COMPACTED);
        World.refused(c.compact(revision), OUT_OF_RANGE, COMPACTED);
        World.refused(c.compact(revision + 1000), OUT_OF_RANGE, FUTURE);
        GetResponse at = World.of(c.get(a, GetOption.builder().withRevision(revision).build()));
        World.same(World.text(at.getKvs().get(0).getValue()), "2", "the value at the compacted revision");
    }

    /** The client puts a prefix before every key, and takes it away again. */
    static void namespaces(World world) throws Exception {
        KV c = world.client.getKVClient();
        String[] endpoints = world.endpoints.toArray(String[]::new);
        try (Client own = Client.builder().endpoints(endpoints).namespace(World.bytes("space/")).build()) {
            KV inside = own.getKVClient();
            World.of(inside.put(World.bytes("a"), World.bytes("1")));
            World.same(World.of(c.get(World.bytes("space/a"))).getCount(), 1L, "the key with its prefix");
            GetResponse got = World.of(inside.get(World.bytes("a"), GetOption.builder().isPrefix(true).build()));
            World.same(World.text(got.getKvs().get(0).getKey()), "a", "the key without it");
            World.of(inside.delete(World.bytes("a")));
        }
        World.same(World.of(c.get(World.bytes("space/a"))).getCount(), 0L, "what is left of it");
    }
}

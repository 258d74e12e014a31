import io.etcd.jetcd.ByteSequence;
import io.etcd.jetcd.KV;
import io.etcd.jetcd.KeyValue;
import io.etcd.jetcd.kv.TxnResponse;
import io.etcd.jetcd.op.Cmp;
import io.etcd.jetcd.op.CmpTarget;
import io.etcd.jetcd.op.Op;
import io.etcd.jetcd.options.DeleteOption;
import io.etcd.jetcd.options.GetOption;
import io.etcd.jetcd.options.PutOption;
import java.util.List;

/** Transactions: comparisons, both branches, one inside another. */
final class Transactions {
    private Transactions() {
    }

    private record Case(Cmp compare, boolean holds) {
    }

    static void branches(World world) throws Exception {
        KV c = world.client.getKVClient();
        ByteSequence a = World.bytes("txn/a");
        ByteSequence none = World.bytes("txn/none");
        World.of(c.put(a, World.bytes("m")));
        List<Case> cases = List.of(
            new Case(new Cmp(a, Cmp.Op.EQUAL, CmpTarget.value(World.bytes("m"))), true),
            new Case(new Cmp(a, Cmp.Op.GREATER, CmpTarget.value(World.bytes("m"))), false),
            new Case(new Cmp(a, Cmp.Op.LESS, CmpTarget.value(World.bytes("n"))), true),
            new Case(new Cmp(a, Cmp.Op.EQUAL, CmpTarget.version(1)), true),
            new Case(new Cmp(none, Cmp.Op.EQUAL, CmpTarget.version(0)), true),
            new Case(new Cmp(a, Cmp.Op.NOT_EQUAL, CmpTarget.modRevision(0)), true),
            new Case(new Cmp(none, Cmp.Op.GREATER, CmpTarget.createRevision(0)), false));
        for (Case one : cases) {
            Op read = Op.get(a, GetOption.DEFAULT);
            TxnResponse response = World.of(c.txn().If(one.compare).Then(read).commit());
            World.same(response.isSucceeded(), one.holds, "comparison " + cases.indexOf(one));
            World.same(response.getGetResponses().size(), one.holds ? 1 : 0, "the number of answers");
        }

        // Comparisons of the nested one are made before anything is written.
        Op inner = Op.txn(
            new Cmp[] {new Cmp(World.bytes("txn/b"), Cmp.Op.EQUAL, CmpTarget.version(0))},
            new Op[] {put("txn/c", "then")},
            new Op[] {put("txn/c", "else")});
        Op deletion = Op.delete(a, DeleteOption.builder().withPrevKV(true).build());
        Op read = Op.get(World.bytes("txn/b"), GetOption.DEFAULT);
        TxnResponse whole = World.of(c.txn().Then(put("txn/b", "1"), read, deletion, inner).commit());
        long revision = whole.getHeader().getRevision();
        World.must(whole.isSucceeded(), "a transaction without comparisons succeeds");
        World.same(whole.getGetResponses().get(0).getKvs().get(0).getModRevision(), revision, "a read of what it put");
        World.same(World.text(whole.getDeleteResponses().get(0).getPrevKvs().get(0).getValue()), "m", "what it deleted");
        World.must(whole.getTxnResponses().get(0).isSucceeded(), "the nested transaction succeeds");
        KeyValue nested = World.of(c.get(World.bytes("txn/c"))).getKvs().get(0);
        World.same(List.of(World.text(nested.getValue()), nested.getModRevision()), List.of("then", revision), "what it put");

        // Two comparisons: both must hold; else the other branch, whole.
        Cmp holds = new Cmp(World.bytes("txn/b"), Cmp.Op.EQUAL, CmpTarget.version(1));
        Cmp fails = new Cmp(World.bytes("txn/b"), Cmp.Op.EQUAL, CmpTarget.version(7));
        TxnResponse other = World.of(c.txn().If(holds, fails).Then(put("txn/b", "no"))
            .Else(read, Op.delete(World.bytes("txn/c"), DeleteOption.DEFAULT)).commit());
        World.must(!other.isSucceeded(), "one of two comparisons fails");
        World.same(World.text(other.getGetResponses().get(0).getKvs().get(0).getValue()), "1", "the branch of failure reads");
        World.same(other.getDeleteResponses().get(0).getDeleted(), 1L, "the branch of failure deletes");
    }

    private static Op put(String key, String value) {
        return Op.put(World.bytes(key), World.bytes(value), PutOption.DEFAULT);
    }
}

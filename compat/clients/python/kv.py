"""Keys, ranges, transactions, refusals, compaction."""

import aetcd
from aetcd import rpc
from aetcd.utils import prefix_range_end
from world import refused, same

FUTURE = "etcdserver: mvcc: required revision is a future revision"
COMPACTED = "etcdserver: mvcc: required revision has been compacted"


async def keys(world):
    c = world.client
    same(await c.get(b"kv/none"), None, "a key that is not there")
    first = await c.put(b"kv/a", b"1")
    same(first.prev_kv, None, "a previous value that nobody asked for")
    second = await c.put(b"kv/a", b"2", prev_kv=True)
    same(second.prev_kv.value, b"1", "the previous value")
    same(second.header.revision, first.header.revision + 1, "the next revision")
    got = await c.get(b"kv/a")
    same((got.value, got.version, got.lease), (b"2", 2, 0), "what was put")
    same((got.create_revision, got.mod_revision), (first.header.revision, second.header.revision), "its revisions")
    # Bytes that are no text, and no bytes at all.
    await c.put(b"kv/\x00\xff", b"\xfe\x00")
    same((await c.get(b"kv/\x00\xff")).value, b"\xfe\x00", "bytes that are no text")
    await c.put(b"kv/empty", b"")
    same((await c.get(b"kv/empty", serializable=True)).value, b"", "an empty value")

    # What the client has no argument for, by its own messages.
    kept = await c.kvstub.Put(rpc.PutRequest(key=b"kv/a", ignore_value=True, prev_kv=True))
    same(kept.prev_kv.version, 2, "the version before a put that ignores the value")
    got = await c.get(b"kv/a")
    same((got.value, got.version), (b"2", 3), "a put that ignores the value")
    past = await c.kvstub.Range(rpc.RangeRequest(key=b"kv/a", revision=first.header.revision))
    same((past.kvs[0].value, past.count), (b"1", 1), "what was there")

    same(await c.replace(b"kv/a", b"1", b"9"), False, "a replacement of what is not there")
    same(await c.replace(b"kv/a", b"2", b"9"), True, "a replacement")
    deleted = await c.delete(b"kv/a", prev_kv=True)
    same((deleted.deleted, deleted.prev_kv.value), (1, b"9"), "a deletion")
    same(await c.delete(b"kv/a"), None, "a deletion of nothing")
    whole = await c.delete_prefix(b"kv/", prev_kv=True)
    same([kv.key for kv in whole], [b"kv/\x00\xff", b"kv/empty"], "the deleted keys")
    same(bool(await c.delete_range(b"kv/", b"kv0")), False, "a range with nothing in it")


async def ranges(world):
    c = world.client
    revisions = []
    for key, value in [(b"range/a", b"3"), (b"range/b", b"1"), (b"range/c", b"2"), (b"range/a", b"3")]:
        revisions.append((await c.put(key, value)).header.revision)

    def named(kvs):
        return b" ".join(kv.key.removeprefix(b"range/") for kv in kvs)

    cases = [
        (None, "key", b"a b c"),
        ("ascend", "key", b"a b c"),
        ("descend", "key", b"c b a"),
        ("ascend", "value", b"b c a"),
        ("ascend", "create", b"a b c"),
        ("ascend", "mod", b"b c a"),
    ]
    for order, target, wanted in cases:
        got = await c.get_prefix(b"range/", sort_order=order, sort_target=target)
        same(named(got), wanted, f"{order} by {target}")
        same((got.count, got.more), (3, False), "the count")
    # Keys with one version may come in any order behind the one with two.
    got = await c.get_prefix(b"range/", sort_order="descend", sort_target="version")
    same(got[0].key, b"range/a", "the key with the most versions")
    bare = await c.get_prefix(b"range/", keys_only=True)
    same([(kv.value, kv.version) for kv in bare], [(b"", 2), (b"", 1), (b"", 1)], "keys only")
    same(named(await c.get_range(b"range/b", b"range/c")), b"b", "a half-open range")
    assert len(await c.get_all(keys_only=True)) >= 3, "all keys hold these three"

    async def asked(**options):
        return await c.kvstub.Range(rpc.RangeRequest(key=b"range/", range_end=prefix_range_end(b"range/"), **options))

    page = await asked(limit=2)
    same((named(page.kvs), page.more, page.count), (b"a b", True, 3), "a page")
    page = await asked(limit=3)
    same((named(page.kvs), page.more), (b"a b c", False), "the last page")
    counted = await asked(count_only=True)
    same((len(counted.kvs), counted.count, counted.more), (0, 3, False), "a count alone")
    for options, wanted in [
        ({"min_mod_revision": revisions[2]}, b"a c"),
        ({"max_mod_revision": revisions[2]}, b"b c"),
        ({"min_create_revision": revisions[1]}, b"b c"),
        ({"max_create_revision": revisions[1]}, b"a b"),
        ({"revision": revisions[1]}, b"a b"),
    ]:
        same(named((await asked(**options)).kvs), wanted, f"the range with {options}")


async def transactions(world):
    c = world.client
    t = c.transactions
    await c.put(b"txn/a", b"m")
    cases = [
        (lambda: t.value(b"txn/a") == b"m", True),
        (lambda: t.value(b"txn/a") > b"m", False),
        (lambda: t.value(b"txn/a") < b"n", True),
        (lambda: t.version(b"txn/a") == 1, True),
        (lambda: t.version(b"txn/none") == 0, True),
        (lambda: t.mod(b"txn/a") != 0, True),
        (lambda: t.create(b"txn/none") > 0, False),
        (lambda: t.value(b"txn/", prefix_range_end(b"txn/")) == b"m", True),
    ]
    for number, (compare, holds) in enumerate(cases):
        then = [t.get(b"txn/a")]
        succeeded, answers = await c.transaction(compare=[compare()], success=then, failure=[])
        same((succeeded, len(answers)), (holds, int(holds)), f"comparison {number}")

    inner = t.txn(compare=[t.version(b"txn/b") == 0], success=[t.put(b"txn/c", b"then")], failure=[t.put(b"txn/c", b"else")])
    succeeded, answers = await c.transaction(
        compare=[],
        success=[t.put(b"txn/b", b"1"), t.get(b"txn/b"), t.delete(b"txn/a", prev_kv=True), inner],
        failure=[],
    )
    same(succeeded, True, "a transaction without comparisons")
    put, read, deletion, nested = answers
    revision = put.response_put.header.revision
    same((read[0][0], read[0][1].mod_revision), (b"1", revision), "a read of what the transaction put")
    same(deletion.response_delete_range.prev_kvs[0].value, b"m", "what the transaction deleted")
    # Comparisons of the nested one are made before anything is written.
    same(nested.response_txn.succeeded, True, "the nested transaction")
    got = await c.get(b"txn/c")
    same((got.value, got.mod_revision), (b"then", revision), "what the nested transaction put")
    failed, answers = await c.transaction(
        compare=[t.version(b"txn/b") == 7], success=[t.delete(b"txn/b")], failure=[t.get(b"txn/b"), t.get(b"txn/none")]
    )
    same((failed, answers[0][0][0], answers[1]), (False, b"1", []), "the branch of failure")
    # A transaction that only reads makes no revision.
    same((await c.get(b"txn/b")).header.revision, revision, "the revision after reading")


async def refusals(world):
    c = world.client
    before = (await c.get_prefix(b"no")).header.revision
    invalid = aetcd.InvalidArgumentError
    await refused(c.put(b"", b"1"), "INVALID_ARGUMENT", "etcdserver: key is not provided", invalid)
    await refused(c.put(b"no", b"1", lease=77), "NOT_FOUND", "etcdserver: requested lease not found")
    await refused(c.revoke_lease(77), "NOT_FOUND", "etcdserver: requested lease not found")
    await refused(c.put(b"no", b"x" * 1_700_000), "INVALID_ARGUMENT", "etcdserver: request is too large", invalid)
    twice = [c.transactions.put(b"no", b"1"), c.transactions.put(b"no", b"2")]
    words = "etcdserver: duplicate key given in txn request"
    await refused(c.transaction(compare=[], success=twice, failure=[]), "INVALID_ARGUMENT", words, invalid)
    many = [c.transactions.put(b"no/%d" % number, b"1") for number in range(129)]
    words = "etcdserver: too many operations in txn request"
    await refused(c.transaction(compare=[], success=many, failure=[]), "INVALID_ARGUMENT", words, invalid)
    future = rpc.RangeRequest(key=b"no", revision=1 << 40)
    await refused(c.kvstub.Range(future), "OUT_OF_RANGE", FUTURE)
    given = rpc.PutRequest(key=b"no", value=b"1", ignore_value=True)
    await refused(c.kvstub.Put(given), "INVALID_ARGUMENT", "etcdserver: value is provided")
    absent = rpc.PutRequest(key=b"no", ignore_value=True)
    await refused(c.kvstub.Put(absent), "INVALID_ARGUMENT", "etcdserver: key not found")
    got = await c.get_prefix(b"no")
    same((len(got), got.header.revision), (0, before), "what refused requests leave")


async def compaction(world):
    c = world.client
    first = (await c.put(b"compaction/a", b"1")).header.revision
    second = (await c.put(b"compaction/a", b"2")).header.revision
    await c.compact(second, physical=True)
    await refused(c.kvstub.Range(rpc.RangeRequest(key=b"compaction/a", revision=first)), "OUT_OF_RANGE", COMPACTED)
    await refused(c.compact(second), "OUT_OF_RANGE", COMPACTED)
    await refused(c.compact(second + 1000), "OUT_OF_RANGE", FUTURE)
    at = await c.kvstub.Range(rpc.RangeRequest(key=b"compaction/a", revision=second))
    same(at.kvs[0].value, b"2", "the value at the compacted revision")

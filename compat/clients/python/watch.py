"""Watches: live, filtered, from the past, cancelled, progress."""

import asyncio

import aetcd
from aetcd import rpc
from aetcd.utils import prefix_range_end
from world import same


def told(event):
    """An event as "PUT key=value<previous"."""
    previous = f"<{event.prev_kv.value.decode()}" if event.prev_kv and event.prev_kv.key else ""
    return f"{event.kind} {event.kv.key.decode()}={event.kv.value.decode()}{previous}"


async def events(iterator, count):
    """The next `count` events."""
    return [told(await anext(iterator)) for _ in range(count)]


async def live(world):
    c = world.client
    everything = await c.watch_prefix(b"watch/", prev_kv=True)
    deletions = await c.watch_prefix(b"watch/", kind=aetcd.EventKind.DELETE)
    puts = await c.watch(b"watch/a", kind=aetcd.EventKind.PUT)
    seen, gone, put = aiter(everything), aiter(deletions), aiter(puts)
    for key, value in [(b"watch/a", b"1"), (b"watch/b", b"2"), (b"watch/a", b"3")]:
        await c.put(key, value)
    await c.delete(b"watch/a")
    wanted = ["PUT watch/a=1", "PUT watch/b=2", "PUT watch/a=3<1", "DELETE watch/a=<3"]
    same(await events(seen, 4), wanted, "the events")
    same(await events(gone, 1), ["DELETE watch/a="], "the deletions")
    same(await events(put, 2), ["PUT watch/a=1", "PUT watch/a=3"], "the puts")

    # What one transaction changed comes together, with one revision.
    t = c.transactions
    await c.transaction(compare=[], success=[t.put(b"watch/x", b"1"), t.put(b"watch/y", b"1")], failure=[])
    first, second = await anext(seen), await anext(seen)
    same((told(first), told(second)), ("PUT watch/x=1", "PUT watch/y=1"), "the events of a transaction")
    same(first.kv.mod_revision, second.kv.mod_revision, "the revision of a transaction")

    # A watch that is cancelled hears no more; others of the stream do.
    await deletions.cancel()
    await c.delete(b"watch/b")
    same(await events(seen, 1), ["DELETE watch/b=<2"], "the event after a cancellation")
    same([event async for event in gone], [], "what a cancelled watch hears")

    next_revision = (await c.get_prefix(b"watch/")).header.revision + 1
    once = asyncio.create_task(c.watch_once(b"watch/once", timeout=10, start_revision=next_revision))
    await c.put(b"watch/once", b"1")
    same(told(await once), "PUT watch/once=1", "the one event")
    await everything.cancel()
    await puts.cancel()


async def history(world):
    c = world.client
    revisions = [(await c.put(b"history/a", value)).header.revision for value in (b"1", b"2", b"3")]
    past = await c.watch(b"history/a", start_revision=revisions[1], prev_kv=True)
    seen = aiter(past)
    same(await events(seen, 2), ["PUT history/a=2<1", "PUT history/a=3<2"], "the events of the past")
    await c.compact(revisions[2])
    await world.settle()
    lost = aiter(await c.watch(b"history/a", start_revision=revisions[0]))
    try:
        event = await anext(lost)
        raise AssertionError(f"a compacted past is told: {told(event)}")
    except aetcd.RevisionCompactedError as error:
        same(error.compacted_revision, revisions[2], "the compacted revision")
    # The other watch of the stream goes on.
    await c.put(b"history/a", b"4")
    same(await events(seen, 1), ["PUT history/a=4<3"], "the event after a refused watch")
    await past.cancel()


async def progress(world):
    """The client hides what the stream says of itself: by its stub."""
    c = world.client
    asked = asyncio.Queue()

    async def requests():
        while True:
            yield await asked.get()

    put = await c.put(b"progress/a", b"1")
    call = rpc.WatchStub(c.channel).Watch(requests())
    stream = aiter(call)
    create = rpc.WatchCreateRequest(key=b"progress/", range_end=prefix_range_end(b"progress/"), progress_notify=True, watch_id=7)
    await asked.put(rpc.WatchRequest(create_request=create))
    created = await anext(stream)
    same((created.created, created.watch_id, created.canceled), (True, 7, False), "the answer of a new watch")
    # A second watch with the same id is refused, and the stream lives on.
    await asked.put(rpc.WatchRequest(create_request=create))
    twice = await anext(stream)
    same((twice.created, twice.canceled, twice.watch_id), (True, True, -1), "the answer of an id in use")
    same(twice.cancel_reason, "mvcc: duplicate watch ID provided on the WatchStream", "its reason")
    # Unasked for, every half second: nothing happened up to this revision.
    told_so = await anext(stream)
    same((len(told_so.events), told_so.watch_id), (0, 7), "a notice of progress")
    assert told_so.header.revision >= put.header.revision, "progress falls behind what was answered"
    await asked.put(rpc.WatchRequest(cancel_request=rpc.WatchCancelRequest(watch_id=7)))
    while not (last := await anext(stream)).canceled:
        same(len(last.events), 0, "the number of events")
    same((last.watch_id, last.cancel_reason), (7, ""), "a cancellation that was asked for")
    assert call.cancel(), "the stream was alive"

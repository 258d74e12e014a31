"""The leader, to which this client speaks, is killed under a writer and a watcher."""

import asyncio
import os
import signal

import aetcd
from world import client_of, same

NUMBERS = 30
# How long one try may take.
TRY = 1.5


async def leader_dies(world):
    first = await world.leader()
    turned = world.endpoints[first:] + world.endpoints[:first]
    async with client_of(turned) as c:
        lease = await c.lease(30)
        await c.put(b"loss/number", b"-1")
        start = (await c.put(b"loss/leased", b"1", lease=lease)).header
        spoken_to = start.member_id

        async def write():
            for number in range(NUMBERS):
                if number == NUMBERS // 3:
                    os.kill(world.pids[first], signal.SIGKILL)
                await again(c, lambda: count(c, number))

        writer = asyncio.create_task(write())
        # Every number once and in order. The client ends watches with their
        # connection: it watches on from where it was.
        wanted, revision, broken = 0, start.revision, 0
        while wanted < NUMBERS:
            try:
                async for event in await asyncio.wait_for(c.watch(b"loss/number", start_revision=revision + 1), TRY):
                    assert event.kv.mod_revision > revision, f"revision {event.kv.mod_revision} after {revision}"
                    revision = event.kv.mod_revision
                    same(int(event.kv.value), wanted, "the number that the watch tells")
                    wanted += 1
                    if wanted == NUMBERS:
                        break
            except (aetcd.ClientError, asyncio.TimeoutError):
                broken += 1
        await writer
        assert broken > 0, "the watch was at the member that was killed"
        last = await c.get(b"loss/number")
        assert last.header.member_id != spoken_to, "another member answers"
        assert last.header.raft_term > start.raft_term, "another leads"
        # The lease lives on with the new leader.
        same((await again(c, lease.refresh)).TTL, 30, "a renewal by the new leader")
        same((await c.get(b"loss/leased")).lease, lease.id, "the key of a lease")


async def count(client, number):
    """Writes a number behind the one before it. A try whose answer was lost may
    have done it, or do it late: then the number is there, and nothing happens."""
    t = client.transactions
    written, answers = await client.transaction(
        compare=[t.value(b"loss/number") == b"%d" % (number - 1)],
        success=[t.put(b"loss/number", b"%d" % number)],
        failure=[t.get(b"loss/number")],
    )
    if not written:
        same(int(answers[0][0][0]), number, "the number that an earlier try wrote")


async def again(client, attempt):
    """Until it succeeds."""
    while True:
        try:
            return await asyncio.wait_for(attempt(), TRY)
        except (aetcd.ClientError, asyncio.TimeoutError):
            await client.channel.channel_ready()

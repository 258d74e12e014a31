"""The client's own lock: a key that only one can create, under a lease."""

import asyncio

from world import client_of, same

CONTENDERS = 3
TURNS = 3


async def locks(world):
    inside = 0

    async def contend(number):
        nonlocal inside
        # Each has its own connection, to another member first.
        turned = world.endpoints[number:] + world.endpoints[:number]
        async with client_of(turned) as c:
            for _ in range(TURNS):
                lock = c.lock(b"mutex", ttl=20)
                same(await lock.acquire(timeout=30), True, "a lock that was waited for")
                inside += 1
                same(inside, 1, "the number of those who hold the lock")
                same(await lock.is_acquired(), True, "the word of who holds it")
                assert await lock.refresh(), "the lease of the lock is renewed"
                t = c.transactions
                fenced, _ = await c.transaction(
                    compare=[t.create(b"mutex") == lock.revision], success=[t.put(b"fenced", b"1")], failure=[]
                )
                same(fenced, True, "a write that only the holder may do")
                inside -= 1
                same(await lock.release(), True, "a release")

    await asyncio.gather(*(contend(number) for number in range(CONTENDERS)))
    same((await world.client.get(b"fenced")).version, CONTENDERS * TURNS, "the number of fenced writes")
    # Who comes too late, and stays too short, goes away without it.
    held, other = world.client.lock(b"mutex", ttl=20), world.client.lock(b"mutex", ttl=20)
    async with held:
        same(await other.acquire(timeout=0), False, "a lock that another holds")
        same(await other.release(), False, "a release by another")

"""Python's aetcd, against three members.

Every part asserts what it sees and leaves the cluster usable for the next
one; the last part kills a member. Knows of no server: what holds, holds for
etcd and for whatever stands in its place.
"""

import asyncio
import sys
import time
import traceback

import concurrency
import kv
import lease
import loss
import maintenance
import watch
from world import World

# How long one part may take; the longest needs about five seconds.
PATIENCE = 40

PARTS = [
    ("kv", kv.keys),
    ("ranges", kv.ranges),
    ("txn", kv.transactions),
    ("refusals", kv.refusals),
    ("compaction", kv.compaction),
    ("watch", watch.live),
    ("watch-history", watch.history),
    ("watch-progress", watch.progress),
    ("lease", lease.leases),
    ("mutex", concurrency.locks),
    ("maintenance", maintenance.members),
    ("loss", loss.leader_dies),  # kills a member: nothing may follow
]


async def main():
    world = World.from_environment()
    failed = 0
    for name, part in PARTS:
        started = time.monotonic()
        try:
            await asyncio.wait_for(part(world), PATIENCE)
            print(f"ok {name} ({(time.monotonic() - started) * 1000:.0f} ms)", flush=True)
        except Exception as error:
            failed += 1
            print(f"FAILED {name}: {type(error).__name__}: {error}", flush=True)
            traceback.print_exc()
    await world.client.close()
    if failed > 0:
        print(f"{failed} of {len(PARTS)} parts failed", flush=True)
        sys.exit(1)


asyncio.run(main())

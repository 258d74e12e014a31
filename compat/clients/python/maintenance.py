"""What members say of themselves and of each other."""

from aetcd import rpc
from world import client_of, refused, same


async def members(world):
    c = world.client
    revision = (await c.put(b"maintenance/a", b"1")).header.revision
    listed = [member async for member in c.members()]
    same(len(listed), len(world.endpoints), "the number of members")
    urls = sorted(url for member in listed for url in member.client_urls)
    same(urls, sorted("http://" + endpoint for endpoint in world.endpoints), "the client URLs")
    same(sorted(member.name for member in listed), ["m0", "m1", "m2"], "the names")
    same([alarm async for alarm in c.list_alarms()], [], "the alarms")
    await world.settle()
    hashes, leaders, ids = set(), set(), set()
    for endpoint in world.endpoints:
        async with client_of([endpoint]) as single:
            status = await single.status()
            assert status.version and status.db_size > 0 and status.raft_term > 0 and status.raft_index > 0, vars(status)
            leaders.add(status.leader.id)
            ids.add((await single.get(b"maintenance/a", serializable=True)).header.member_id)
            hashed = await single.maintenancestub.HashKV(rpc.HashKVRequest(revision=revision))
            hashes.add((hashed.hash, hashed.compact_revision))
            assert await single.hash() > 0, "a hash of all"
    same((len(hashes), len(leaders)), (1, 1), "the number of hashes and of leaders")
    same(ids, {member.id for member in listed}, "the ids")

    # Leadership moves to who is told, by nobody but the leader.
    old = await world.leader()
    target = (old + 1) % len(world.endpoints)
    async with client_of([world.endpoints[target]]) as follower, client_of([world.endpoints[old]]) as leading:
        status = await follower.maintenancestub.Status(rpc.StatusRequest())
        move = rpc.MoveLeaderRequest(targetID=status.header.member_id)
        await refused(follower.maintenancestub.MoveLeader(move), "FAILED_PRECONDITION", "etcdserver: not leader")
        await leading.maintenancestub.MoveLeader(move)
    same(await world.leader(), target, "the leader after the move")
    await c.put(b"maintenance/a", b"2")

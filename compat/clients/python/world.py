"""What every part is given, and the assertions that it makes."""

import os
from dataclasses import dataclass

import aetcd
from aetcd import rpc

# Reconnect soon, and notice a silent member.
OPTIONS = {
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.min_reconnect_backoff_ms": 100,
    "grpc.max_reconnect_backoff_ms": 500,
    "grpc.keepalive_time_ms": 2000,
    "grpc.keepalive_timeout_ms": 2000,
}


@dataclass
class World:
    endpoints: list
    pids: list
    client: aetcd.Client

    @staticmethod
    def from_environment():
        def listed(name):
            return [one for one in os.environ.get(name, "").split(",") if one]

        endpoints = listed("COMPAT_ENDPOINTS")
        pids = [int(pid) for pid in listed("COMPAT_PIDS")]
        assert len(endpoints) == len(pids) == 3, "see compat/clients/README.md"
        return World(endpoints, pids, client_of(endpoints))

    async def settle(self):
        """Waits until every member has applied all that was answered so far:
        what is watched, or read locally, may otherwise be behind."""
        for endpoint in self.endpoints:
            async with client_of([endpoint]) as single:
                await single.get(b"settled")

    async def leader(self):
        """The place of the member that leads, by its own word."""
        while True:
            for place, endpoint in enumerate(self.endpoints):
                async with client_of([endpoint]) as single:
                    status = await single.maintenancestub.Status(rpc.StatusRequest())
                    if status.leader == status.header.member_id:
                        return place


def client_of(endpoints):
    """A client that speaks to the first of these that answers. aetcd takes one
    host and one port, and gRPC understands several addresses in their place; as
    the host of a request it names all of them."""
    host, port = ("ipv4:" + ",".join(endpoints)).rsplit(":", 1)
    return aetcd.Client(host, int(port), options=OPTIONS)


def same(got, wanted, what):
    """Ends the part unless both are the same."""
    assert got == wanted, f"{what} is {got!r} and should be {wanted!r}"


async def refused(call, code, words, kind=aetcd.ClientError):
    """Ends the part unless the call fails with this gRPC code and these words,
    and with the exception that the client has for them."""
    try:
        answer = await call
    except (aetcd.ClientError, rpc.AioRpcError) as error:
        cause = error.__cause__ if isinstance(error, aetcd.ClientError) else error
        same((cause.code().name, cause.details()), (code, words), "the refusal")
        if isinstance(error, aetcd.ClientError):
            same(type(error), kind, "the exception")
        return
    raise AssertionError(f"there is no error and should be {words!r}, but {answer!r}")

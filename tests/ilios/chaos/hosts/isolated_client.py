"""A client of a node that is cut off from its peers: ``python -m ... DIRECTORY``.

The node stays reachable for it. Prints the seconds until it publishes again, or nothing
where network namespaces cannot be made.
"""

import asyncio
import signal
import sys
import time
from pathlib import Path

from bus import streams
from bus.connection import Connection, connect
from bus.errors import BusUnavailable
from bus.publisher import Publisher
from ilios.chaos.hosts.network import Network, open_network
from ilios.chaos.hosts.nodes import NodeCluster
from tests import events


async def run(network: Network, directory: Path) -> float:
    """Return the seconds."""
    hosts = [network.add(f"node{number}") for number in range(1, 4)]
    nodes = NodeCluster(hosts, directory, {})
    await nodes.start()
    try:
        await nodes.wait_until_ready()
        url = nodes.operator_url.read_text().strip()
        async with connect(url, name="tests") as connection:
            await streams.ensure(connection.jetstream)
            await nodes.wait_until_whole()
            return await measure(nodes, connection)
    finally:
        await nodes.end(signal.SIGKILL)


async def measure(nodes: NodeCluster, connection: Connection) -> float:
    """Isolate the node of the connection, and publish until it is stored."""
    await Publisher(connection).publish(events.submitted(1))
    (own,) = (one for one in nodes.nodes if one.place.host in connection.address)
    own.host.set_reachable([one.host for one in nodes.nodes if one is not own], False)  # noqa: FBT003
    began, number = time.monotonic(), 1
    while True:
        number += 1
        try:
            await Publisher(connection).publish(events.submitted(number), within=1.0)
        except BusUnavailable:
            continue
        if own.place.host not in connection.address:
            return time.monotonic() - began


if __name__ == "__main__":
    opened = open_network()
    if opened.apart:
        print(asyncio.run(run(opened, Path(sys.argv[1]))))

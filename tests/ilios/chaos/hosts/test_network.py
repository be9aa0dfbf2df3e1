"""Hosts in namespaces of their own are cut off as told; needs root."""

import asyncio
import sys

import pytest

from ilios.chaos.processes import ROOT

CODE = """
import socket, subprocess, sys
from ilios.chaos.hosts.network import open_network

network = open_network()
if not network.apart:
    print("not apart")
    sys.exit()

first, second = network.add("one"), network.add("two")

def asks(host):
    code = ("import socket\\ndoor = socket.socket()\\ndoor.settimeout(0.3)\\n"
            f"try: door.connect(('{second.address}', 9))\\n"
            "except ConnectionRefusedError: print('reached', end='')\\n"
            "except OSError: print('cut', end='')")
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                          preexec_fn=host and host.enter).stdout

print(asks(first), asks(None))
second.set_connected(False)
print(asks(first), asks(None))
second.set_connected(True)
first.set_reachable([second], False)
print(asks(first), asks(None))
network.heal()
print(asks(first), asks(None))
"""


async def test_a_host_is_cut_off_from_all_or_from_some_and_connected_again() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        CODE,
        cwd=ROOT,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0
    if output == b"not apart\n":
        pytest.skip("this user may not make network namespaces")
    assert output.decode().splitlines() == [
        "reached reached",
        "cut cut",
        "cut reached",
        "reached reached",
    ]

"""The blob store alone: puts and reads of small documents in a directory, some at once."""

import asyncio
import itertools
import os
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from bench.rows import fsync_ms
from ilios.blobs.local import LocalBlobs

AT_ONCE = (1, 8, 16)

Step = Callable[[int], Awaitable[object]]


async def measure(documents: int = 400, kilobytes: int = 20, rounds: int = 3) -> None:
    """Put and read documents of so many KB, 1, 8 and 16 at once; print the time and CPU of each.

    The sizes are those of a result with its Markdown: stored one after the other, and together.
    """
    data, numbers = os.urandom(1024 * kilobytes), itertools.count(documents)
    print(f"fsync p50 {fsync_ms():.2f} ms; {documents} documents of {kilobytes} KB")
    with tempfile.TemporaryDirectory(prefix="ilios-bench-") as name:
        async with LocalBlobs.open(Path(name)) as blobs:

            async def put(_: int) -> None:
                await blobs.put_bytes(f"originals/default/{next(numbers)}", data)

            async def put_two(_: int) -> None:
                number = next(numbers)
                await blobs.put_bytes(f"results/default/{number}", data)
                await blobs.put_bytes(f"markdown/default/{number}", data)

            async def put_with_derived(_: int) -> None:
                number = next(numbers)
                keys = f"results/default/{number}", f"markdown/default/{number}"
                await blobs.put_with_derived(keys[0], data, keys[1], data)

            async def read(number: int) -> None:
                async for _ in blobs.read(f"originals/default/{number}"):
                    pass

            for number in range(documents):
                await blobs.put_bytes(f"originals/default/{number}", data)
            steps: dict[str, Step] = {
                "put": put,
                "put result, put Markdown": put_two,
                "put result with Markdown": put_with_derived,
                "read": read,
            }
            for _, at_once, (what, step) in itertools.product(
                range(rounds), AT_ONCE, steps.items()
            ):
                await _measure_step(what, step, documents, at_once)


async def _measure_step(what: str, step: Step, documents: int, at_once: int) -> None:
    numbers = iter(range(documents))

    async def work() -> None:
        for number in numbers:
            await step(number)

    began, cpu = time.perf_counter(), time.process_time()
    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(work())
    took, used = time.perf_counter() - began, time.process_time() - cpu
    print(
        f"{what:26}{at_once:3} at once {documents / took:7.0f}/s"
        f"{1000 * took * at_once / documents:8.2f} ms, CPU {1_000_000 * used / documents:5.0f} us"
    )

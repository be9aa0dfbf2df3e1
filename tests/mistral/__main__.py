"""``python -m tests.mistral``: the fake as a process, for benchmarks. It prints its URL."""

import argparse
import asyncio
import signal

from tests.mistral.rules import Rules
from tests.mistral.server import fake_mistral


async def _serve(arguments: argparse.Namespace) -> None:
    rules = Rules(latency=arguments.delay_ms / 1000, looks_inside=not arguments.blind)
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with fake_mistral(rules) as fake:
        print(fake.url, flush=True)
        await stop.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser("python -m tests.mistral", description="A fake Mistral API.")
    parser.add_argument("--delay-ms", type=float, default=0.0, help="of each OCR call")
    parser.add_argument("--blind", action="store_true", help="open no document: each is one page")
    asyncio.run(_serve(parser.parse_args()))

"""``python -m tests.mistral``: the fake as a process of its own, for benchmarks and demos.

The first line it prints is its URL.
"""

import argparse
import asyncio
import signal
from typing import get_args

from tests.mistral.faults import TRANSIENT, Endpoint, Fault, Kind
from tests.mistral.rules import Layout, Rules
from tests.mistral.server import KEY, fake_mistral


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m tests.mistral", description="A fake Mistral API.")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--key", default=KEY, help="the API key it accepts (%(default)s)")
    parser.add_argument("--delay-ms", type=float, default=0.0, help="of each OCR call")
    parser.add_argument("--faults", type=float, default=0.0, help="share of requests that fail")
    parser.add_argument(
        "--kinds",
        nargs="+",
        choices=get_args(Kind),
        default=TRANSIENT,
        metavar="KIND",
        help=f"how they fail: {', '.join(get_args(Kind))}",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the faults")
    parser.add_argument("--max-concurrent", type=int, default=0, help="0 is no limit")
    parser.add_argument("--pages-per-minute", type=int, default=0, help="0 is no limit")
    parser.add_argument("--calls-per-minute", type=int, default=0, help="0 is no limit")
    parser.add_argument("--page-budget", type=int, default=0, help="then 402; 0 is no limit")
    parser.add_argument("--retry-after", type=float, help="seconds every 429 says to wait")
    parser.add_argument("--batch-seconds", type=float, default=10.0, help="how long a job takes")
    parser.add_argument("--share-uploads", action="store_true", help="same bytes, same file id")
    parser.add_argument(
        "--blind", action="store_true", help="open no document: each is one page, whatever it is"
    )
    parser.add_argument("--images", type=int, default=0, help="on each page")
    parser.add_argument("--tables", type=int, default=0, help="on each page")
    return parser.parse_args()


async def _serve(arguments: argparse.Namespace) -> None:
    rules = Rules(
        latency=arguments.delay_ms / 1000,
        max_concurrent=arguments.max_concurrent,
        pages_per_minute=arguments.pages_per_minute,
        calls_per_minute=arguments.calls_per_minute,
        page_budget=arguments.page_budget,
        retry_after=arguments.retry_after,
        batch_seconds=arguments.batch_seconds,
        share_uploads=arguments.share_uploads,
        looks_inside=not arguments.blind,
        layout=Layout(images=arguments.images, tables=arguments.tables),
    )
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with fake_mistral(
        rules, port=arguments.port, key=arguments.key, seed=arguments.seed
    ) as fake:
        if arguments.faults:
            faults = [Fault(kind, arguments.retry_after) for kind in arguments.kinds]
            for endpoint in get_args(Endpoint):
                fake.faults.fail_share(endpoint, arguments.faults, faults)
        print(fake.url, flush=True)
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(_serve(_arguments()))

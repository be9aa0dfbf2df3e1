"""``python -m bench pipeline|convert|memory|...``: runs one measurement and prints it.

The options of a command are the parameters of its function.
"""

import argparse
import asyncio
import inspect
from collections.abc import Callable, Coroutine
from typing import Any, get_args

from bench import (
    batches,
    blobs,
    clean,
    clouds,
    connections,
    convert,
    corpus,
    eta,
    first_page,
    formats,
    full_volume,
    history,
    hostile,
    listeners,
    lists,
    log_memory,
    long_documents,
    long_runs,
    metrics,
    moves,
    pipeline,
    quality,
    scale,
    side_by_side,
    start,
    starvation,
    uploads,
    word,
)

MEASURES: dict[str, Callable[..., Coroutine[Any, Any, None]]] = {
    "pipeline": pipeline.measure,
    "side-by-side": side_by_side.measure,
    "blobs": blobs.measure,
    "clouds": clouds.measure,
    "convert": convert.measure,
    "cost": convert.measure_cost,
    "clean": clean.measure,
    "memory": uploads.measure_memory,
    "quality": quality.measure,
    "corpus": corpus.measure_corpus,
    "batches": batches.measure,
    "download": batches.measure_download,
    "s3": uploads.measure_s3,
    "hostile": hostile.measure,
    "connections": connections.measure,
    "listeners": listeners.measure,
    "fullvolume": full_volume.measure,
    "growth": long_runs.measure_growth,
    "history": history.measure_history,
    "lists": lists.measure,
    "log-memory": log_memory.measure,
    "soak": long_runs.measure_soak,
    "start": start.measure,
    "starvation": starvation.measure,
    "long": long_documents.measure,
    "bombs": corpus.measure_bombs,
    "metrics": metrics.measure,
    "moves": moves.measure,
    "scale": scale.measure,
    "eta": eta.measure,
    "first-page": first_page.measure,
    "page-cost": first_page.measure_cost,
    "formats": formats.measure,
    "word": word.measure,
}


def main() -> None:
    """Run one measurement."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, measure in MEASURES.items():
        help_ = (inspect.getdoc(measure) or "").partition("\n")[0]
        command = commands.add_parser(name, help=help_, description=inspect.getdoc(measure))
        for parameter in inspect.signature(measure).parameters.values():
            _add_option(command, parameter)
    options = vars(parser.parse_args())
    asyncio.run(MEASURES[options.pop("command")](**options))


def _add_option(command: argparse.ArgumentParser, parameter: inspect.Parameter) -> None:
    flag, default, type_ = (
        f"--{parameter.name.replace('_', '-')}",
        parameter.default,
        parameter.annotation,
    )
    if default is inspect.Parameter.empty:
        command.add_argument(parameter.name, type=type_)
    elif type_ is bool:
        command.add_argument(flag, action="store_true")
    elif choices := [one for one in get_args(type_) if isinstance(one, str)]:
        command.add_argument(flag, choices=choices, default=default, help="default: %(default)s")
    else:
        # Of `Path | None` the first counts.
        type_ = (*get_args(type_), type_)[0]
        command.add_argument(flag, type=type_, default=default, help="default: %(default)s")


if __name__ == "__main__":
    main()

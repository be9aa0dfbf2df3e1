"""The composition of the engines: the local one, and Mistral where it has a key."""

from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

from msgspec import Struct

from actors.engines import Engine, EngineBatches
from actors.ocr import DiscardParts
from actors.ports import Blobs
from ilios.engines.local.engine import LocalEngine
from ilios.engines.router import EngineRouter, open_mistral
from ilios.passwords.sealed import SealedPasswords
from ilios.runtime.supervisor import Supervisor
from ilios.settings.settings import Settings
from schemas.hosts import EngineState


def no_processes() -> EngineState | None:
    """Return the state of an engine without processes."""
    return None


class Engines(Struct, frozen=True):
    """The engine for single documents, and that for batches of them where there is one.

    ``state`` returns how the processes of the local engine do, ``processes`` their ids, ``lost``
    how many have ended untimely. ``open_circuits`` is by remote engine whether its circuit is open.
    """

    engine: Engine
    batches: EngineBatches | None = None
    discard_parts: DiscardParts | None = None
    state: Callable[[], EngineState | None] = no_processes
    processes: Callable[[], Collection[int]] = frozenset
    lost: Callable[[], int] = int
    open_circuits: Callable[[], Mapping[str, bool]] = dict


@asynccontextmanager
async def open_engines(
    settings: Settings, blobs: Blobs, passwords: SealedPasswords, supervisor: Supervisor
) -> AsyncIterator[Engines]:
    """Open the local engine, and Mistral where it has a key."""
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        local = await enter(
            LocalEngine(
                settings.engine_limits,
                settings.data_dir / "engine",
                blobs=blobs,
                passwords=passwords,
                # Two tenants may keep all processes at work, and ocr has places for others.
                max_long_documents=min(
                    2 * settings.engine_processes, 2 * settings.max_in_flight - 1
                ),
            )
        )
        supervisor.track("engine", local.restarts)
        mistral = None
        if settings.mistral_key is not None:
            mistral = await enter(
                open_mistral(
                    settings.mistral_key,
                    settings.mistral_url,
                    blobs=blobs,
                    parts=local,
                    limits=settings.mistral_limits,
                    prefix_file=settings.data_dir / "mistral-uploads.name",
                )
            )
            await enter(supervisor.running("uploads to mistral", mistral.uploads.run))
        yield Engines(
            EngineRouter(
                local,
                mistral.engine if mistral else None,
                default=settings.default_engine,
                fallback=settings.engine_fallback,
            ),
            mistral.batches if mistral else None,
            local.discard_parts,
            lambda: EngineState(
                processes=len(local.child_pids),
                limit=settings.engine_processes,
                lost_last_minute=local.restarts.recent_exits,
            ),
            processes=lambda: local.child_pids,
            lost=lambda: local.restarts.exits,
            open_circuits=lambda: {"mistral": mistral.problem() is not None} if mistral else {},
        )


def describe_engines(settings: Settings) -> str:
    """Return a line about the engines for people."""
    description = f"local, {settings.engine_processes} processes"
    if settings.mistral_key is None:
        return description
    usual = " by default" if settings.default_engine == "mistral" else ""
    return f"{description}; mistral{usual}, {settings.mistral_model}"

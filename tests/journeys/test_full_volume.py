"""A volume that fills up again and again: each time it has room, work goes on within seconds."""

from pathlib import Path

from bench.full_volume import HEALED_WITHIN, fill_and_free, probing
from tests.journeys.running import running_service
from tests.volumes import small_volume

FILLINGS = 3
SLOWER = 3  # times as long as on an idle machine; a pause that doubles would exceed it all the same


async def test_a_volume_heals_as_fast_the_third_time_and_readiness_never_contradicts(
    tmp_path: Path,
) -> None:
    with small_volume(tmp_path / "nats", 48) as volume:
        async with (
            running_service(tmp_path, ILIOS_RESERVE_MB="16") as service,
            probing(service.url, volume / "publisher.url") as watching,
        ):
            healed = [await fill_and_free(volume, watching, 1.0) for _ in range(FILLINGS)]
    assert max(healed) < SLOWER * HEALED_WITHIN
    assert watching.contradictions == []

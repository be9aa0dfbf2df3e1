"""Content negotiation: the output format that fits ``Accept`` best (RFC 9110 section 12.5.1)."""

import re
from collections.abc import Iterator

from aiohttp import web

from ilios.edge.errors import HttpProblem
from ilios.formats import FORMATS

VARY = {"Vary": "Accept"}
"""The header of every answer that ``Accept`` has a say in."""

MEDIA_TYPES = {name: one.media_type.partition(";")[0] for name, one in FORMATS.items()}
"""The media types of the formats by their names, the preferred one first."""

_TOKEN = r"[\w!#$%&'*+.^`|~-]+"  # noqa: S105  # RFC 9110 section 5.6.2
_MEDIA_RANGE = re.compile(rf"\s*({_TOKEN})/({_TOKEN})\s*((?:;[^;]*)*)")
_WEIGHT = re.compile(r"\s*q\s*=\s*([01](?:\.[0-9]{0,3})?)\s*", re.IGNORECASE)


def accepted_format(request: web.Request) -> str:
    """Return the name of the format that the client prefers; of equal ones the first.

    :raises HttpProblem: it accepts none of them (406).
    """
    accept = ",".join(request.headers.getall("Accept", []))
    ranges = dict(_ranges(accept)) or {("*", "*"): 1.0}
    weights = {name: _weight(media_type, ranges) for name, media_type in MEDIA_TYPES.items()}
    best = max(weights, key=lambda name: weights[name])
    if not weights[best]:
        available = list(MEDIA_TYPES.values())
        raise HttpProblem(
            406,
            "not_acceptable",
            f"The document can be had as {', '.join(available[:-1])} or {available[-1]}",
            details={"mediaTypes": available},
            headers=dict(VARY),
        )
    return best


def _ranges(accept: str) -> Iterator[tuple[tuple[str, str], float]]:
    """Yield the media ranges of ``Accept`` with their weights; malformed ones are left out."""
    for one in accept.lower().split(","):
        if (found := _MEDIA_RANGE.fullmatch(one)) is None:
            continue
        weight = 1.0
        for parameter in found[3].split(";"):
            if given := _WEIGHT.fullmatch(parameter):
                weight = min(float(given[1]), 1.0)
        yield (found[1], found[2]), weight


def _weight(media_type: str, ranges: dict[tuple[str, str], float]) -> float:
    """Return the weight of a media type, by the most specific range it is in."""
    kind, _, subtype = media_type.partition("/")
    for media_range in ((kind, subtype), (kind, "*"), ("*", "*")):
        if media_range in ranges:
            return ranges[media_range]
    return 0.0

"""Families of metrics as values, which processes send to one another, and their text."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec import Struct
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector, CollectorRegistry


class Sample(Struct, frozen=True):
    """A number with its labels."""

    name: str
    labels: dict[str, str]
    value: float


class Family(Struct, frozen=True):
    """The samples of one name; ``kind`` is a type of Prometheus."""

    name: str
    description: str
    kind: str
    samples: list[Sample]


class Text(Struct, frozen=True):
    """What a scrape is answered with."""

    content_type: str
    body: bytes


def gauge(name: str, description: str, values: Sequence[tuple[Mapping[str, str], float]]) -> Family:
    """Return a family of values that go up and down."""
    samples = [Sample(name, dict(labels), float(value)) for labels, value in values]
    return Family(name, description, "gauge", samples)


def counter(
    name: str, description: str, values: Sequence[tuple[Mapping[str, str], float]]
) -> Family:
    """Return a family of totals; its samples have the suffix ``_total``."""
    samples = [Sample(f"{name}_total", dict(labels), float(value)) for labels, value in values]
    return Family(name, description, "counter", samples)


def collect(registry: CollectorRegistry) -> list[Family]:
    """Return what a registry has at the moment, without the times at which series began."""
    return [
        Family(
            metric.name,
            metric.documentation,
            metric.type,
            [
                Sample(one.name, dict(one.labels), one.value)
                for one in metric.samples
                if not one.name.endswith("_created")
            ],
        )
        for metric in registry.collect()
    ]


def render(families: Iterable[Family], accept: str) -> Text:
    """Return families as text, in the format that the header ``Accept`` asks for.

    Families of several processes that have one name are joined.
    """
    encode, content_type = choose_encoder(accept)
    return Text(content_type, encode(_Joined(families)))


class _Joined(Collector):
    def __init__(self, families: Iterable[Family]) -> None:
        self._metrics: dict[str, Metric] = {}
        for family in families:
            metric = self._metrics.setdefault(
                family.name, Metric(family.name, family.description, family.kind)
            )
            for sample in family.samples:
                metric.add_sample(sample.name, sample.labels, sample.value)

    def collect(self) -> Iterator[Metric]:
        yield from self._metrics.values()

"""Settings of the metrics: whether there are any, and where."""

from typing import Annotated

from msgspec import Meta

from ilios.secret import Secret
from ilios.settings import values
from ilios.settings.hosts import HostSettings
from ilios.settings.values import Env


class MetricsSettings(HostSettings, frozen=True, kw_only=True):
    """What is measured, and who may read it; each field names its variable."""

    metrics_key: Annotated[
        Secret | None,
        Env(
            "ILIOS_METRICS_KEY",
            "Key of /metrics, which is on PORT without ILIOS_METRICS_PORT",
            "...",
            values.secret,
        ),
    ] = None
    metrics_port: Annotated[
        int | None,
        Meta(ge=0, le=values.MAX_PORT),
        Env("ILIOS_METRICS_PORT", "Port of its own for /metrics; 0 takes a free one", "9464"),
    ] = None
    metrics_tenants: Annotated[
        bool, Env("ILIOS_METRICS_TENANTS", "Whether metrics have series for each tenant")
    ] = False

    @property
    def has_metrics(self) -> bool:
        """Whether anything is measured: if nobody can read it, nothing is."""
        return self.metrics_key is not None or self.metrics_port is not None

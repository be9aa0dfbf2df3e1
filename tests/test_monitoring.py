"""The alerts and the dashboard of deploy/: every metric they name exists, every alert can fire."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
RULES = ROOT / "deploy" / "prometheus"
PROMTOOL = shutil.which("promtool")
METRIC = re.compile(r"\bilios_[a-z_]+")


def documented() -> set[str]:
    """Return the metrics of the table in the manual."""
    text = (ROOT / "docs" / "operations.md").read_text().partition("\n## Metrics\n")[2]
    return set(METRIC.findall(text.partition("\n## ")[0])) - {"ilios_queue_", "ilios_log_"}


def series(names: set[str]) -> set[str]:
    """Return metrics without the suffixes of the series of a histogram."""
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in names}


def test_the_alerts_name_metrics_that_there_are() -> None:
    text = (RULES / "alerts.yaml").read_text()
    expressions = re.findall(
        r"^\s+expr: (?:\|\n)?((?:.+\n)+?)\s+(?:for|labels):", text, re.MULTILINE
    )
    assert len(expressions) == text.count("- alert:")
    assert series(set(METRIC.findall("".join(expressions)))) <= documented()


def test_the_dashboard_names_metrics_that_there_are_and_nearly_all_of_them() -> None:
    dashboard = json.loads((ROOT / "deploy" / "grafana" / "ilios.json").read_text())
    queries = [one["expr"] for panel in dashboard["panels"] for one in panel.get("targets", ())]
    shown = series(set(METRIC.findall(" ".join(queries))))
    assert shown <= documented()
    unseen = {name for name in documented() - shown if "tenant" not in name}
    assert unseen == {"ilios_build_info", "ilios_log_events", "ilios_queue_paused"}


def test_every_alert_is_fired_by_the_rules_of_its_test() -> None:
    alerts = re.findall(r"- alert: (\w+)", (RULES / "alerts.yaml").read_text())
    fired = re.findall(r'alertname="(\w+)"', (RULES / "alerts_test.yaml").read_text())
    assert sorted(alerts) == sorted(fired)


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is missing: Debian's package prometheus")
def test_promtool_accepts_the_rules_and_fires_every_alert() -> None:
    assert PROMTOOL is not None
    for command in (
        ("check", "rules", "alerts.yaml"),
        ("check", "config", "--syntax-only", "prometheus.yaml"),
        ("test", "rules", "alerts_test.yaml"),
    ):
        done = subprocess.run(
            [PROMTOOL, *command], cwd=RULES, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr

"""What is documented is there, and what is there is documented."""

import re
from pathlib import Path

import pytest

from ilios.settings import IGNORED, NOT_YET, TABLE

ROOT = Path(__file__).parents[1]
FIRST_ILIOS = {
    "PORT",
    "API_KEY",
    "MISTRAL_API_KEY",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_ENDPOINT_URL_S3",
    "S3_BUCKET",
    "LOCAL_DB_PATH",
    "USE_EMBEDDED_REPLICA",
    "TURSO_DATABASE_URL",
    "TURSO_AUTH_TOKEN",
    "TURSO_SYNC_INTERVAL",
    "DB_ENCRYPTION_KEY",
    "WORKER_COUNT",
    "MAX_CONCURRENT_JOBS",
    "S3_MULTIPART_THRESHOLD",
    "DB_WAL_MODE",
}
"""What whoever comes from there may have set."""
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_the_readme_lists_every_setting_and_no_other() -> None:
    readme = (ROOT / "README.md").read_text()
    section = readme.partition("## Settings")[2].partition("\n### Not honoured")[0]
    listed = re.findall(r"^\| `([A-Z0-9_]+)` \|", section, re.MULTILINE)
    assert sorted(listed) == sorted(setting.variable for setting in TABLE)


def test_the_readme_says_of_what_is_not_honoured_what_happens_and_why() -> None:
    readme = (ROOT / "README.md").read_text()
    section = readme.partition("\n### Not honoured")[2].partition("\n## ")[0]
    listed = re.findall(r"^\| `([A-Z0-9_]+)` \| (.+) \| (.+) \|$", section, re.MULTILINE)
    refused = [(variable, "refused", why) for variable, why in NOT_YET.items()]
    ignored = [(variable, "no effect", why) for variable, why in IGNORED.items()]
    assert listed == refused + ignored


def test_every_variable_of_the_first_ilios_is_honoured_or_answered() -> None:
    table = {setting.variable for setting in TABLE}
    assert FIRST_ILIOS - table - set(NOT_YET) - set(IGNORED) == set()
    assert not table & (set(NOT_YET) | set(IGNORED)), "both honoured and not"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_a_page_points_at_exists(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text())
    assert [target for target in targets if not (page.parent / target).exists()] == []


@pytest.mark.parametrize(
    "command", re.findall(r"^make (\w+)", (ROOT / "README.md").read_text(), re.MULTILINE)
)
def test_every_make_command_of_the_readme_exists(command: str) -> None:
    assert re.search(rf"^{command}:", (ROOT / "Makefile").read_text(), re.MULTILINE)

"""Agreement of the documentation with the code."""

import re
from pathlib import Path

import pytest
from msgspec import structs

from ilios.score.expectations import CHECKS
from ilios.settings.environ import IGNORED, UNSUPPORTED
from ilios.settings.settings import TABLE
from schemas.options import ConversionOptions
from schemas.quality import Quality
from schemas.results import PageResult
from schemas.warnings import MESSAGES
from tests import schema_page

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
"""Variables of the original service."""
SECURITY = ROOT / "SECURITY.md"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", SECURITY]
PAGES += sorted((ROOT / "docs").glob("*.md"))

# In backquotes: a directory, or a file with one of these suffixes or names; and a test in it.
NAMED = re.compile(
    r"`((?:[\w.-]+/)*(?:[\w.-]+/|[\w.-]+\.(?:py|sql|conf|lock|toml|yaml|service)|Makefile|Dockerfile))"
    r"(?:::(test_\w+))?`"
)


def test_the_readme_lists_every_setting_and_no_other() -> None:
    readme = (ROOT / "README.md").read_text()
    section = readme.partition("## Settings")[2].partition("\n### Not honoured")[0]
    listed = re.findall(r"^\| `([A-Z0-9_]+)` \|", section, re.MULTILINE)
    assert sorted(listed) == sorted(setting.variable for setting in TABLE)


def test_the_readme_documents_unsupported_settings() -> None:
    readme = (ROOT / "README.md").read_text()
    section = readme.partition("\n### Not honoured")[2].partition("\n## ")[0]
    listed = re.findall(r"^\| `([A-Z0-9_]+)` \| (.+) \| (.+) \|$", section, re.MULTILINE)
    refused = [(variable, "refused", why) for variable, why in UNSUPPORTED.items()]
    ignored = [(variable, "no effect", why) for variable, why in IGNORED.items()]
    assert listed == refused + ignored


def test_every_variable_of_the_first_ilios_is_honoured_or_answered() -> None:
    table = {setting.variable for setting in TABLE}
    assert FIRST_ILIOS - table - set(UNSUPPORTED) - set(IGNORED) == set()
    assert not table & (set(UNSUPPORTED) | set(IGNORED)), "both honoured and not"


def listed_names(page: str, after: str) -> set[str]:
    """Return the names in the first column of the first table after a text."""
    _, _, rest = (ROOT / page).read_text().partition(after)
    assert rest, f"{after} is not in {page}"
    table = re.search(r"^(?:\|.*\n)+", rest, re.MULTILINE)
    assert table, f"no table after {after} in {page}"
    firsts = re.findall(r"^\| (`.+?) \|", table[0], re.MULTILINE)
    return {name for first in firsts for name in re.findall(r"`([\w-]+)", first)}


@pytest.mark.parametrize(
    ("page", "after"),
    [
        ("README.md", "\n### Options\n"),
        ("docs/http.md", "\n## Submitting a document\n"),
        ("docs/bus.md", "\n### Options\n"),
    ],
)
def test_the_tables_of_options_have_every_option(page: str, after: str) -> None:
    options = {field.encode_name for field in structs.fields(ConversionOptions)}
    assert options - listed_names(page, after) == set()


@pytest.mark.parametrize(
    ("page", "after", "names"),
    [
        ("docs/http.md", "\n### Pages of a result\n", PageResult.__struct_encode_fields__),
        ("docs/http.md", "\n`quality` is beside them", Quality.__struct_encode_fields__),
        ("docs/quality.md", "\n## Expectations\n", ("refused", *CHECKS)),
    ],
)
def test_a_table_has_these_names_and_no_others(
    page: str, after: str, names: tuple[str, ...]
) -> None:
    assert sorted(listed_names(page, after)) == sorted(names)


def test_the_documentation_lists_every_warning() -> None:
    section = (ROOT / "docs/http.md").read_text().partition("### Warnings and quality")[2]
    listed = re.findall(r"^\| `([a-z_]+)` \| (.+) \|$", section, re.MULTILINE)
    messages = [(code, text.replace("{detail}", "...")) for code, text in MESSAGES.items()]
    assert listed[1 : len(messages) + 1] == messages


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_a_page_points_at_exists(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text())
    assert [target for target in targets if not (page.parent / target).exists()] == []


def anchors(page: Path) -> set[str]:
    """Return the anchors of the headings of a page, as forges make them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_heading_a_page_points_at_exists_once(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]*)#([^)]+)\)", page.read_text())
    missing = [
        (path, anchor)
        for path, anchor in targets
        if anchor not in anchors(page.parent / path if path else page)
    ]
    assert missing == []
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    assert sorted(headings) == sorted(set(headings))


def points_of_security() -> list[tuple[str, str, str]]:
    """Return the rows of the tables: a property, its files and its tests."""
    rows = re.findall(r"^\| (.+) \| (.+) \| (.+) \|$", SECURITY.read_text(), re.MULTILINE)
    return [row for row in rows if row[0] != "property"]


def test_every_point_of_security_names_files_and_tests_that_exist() -> None:
    points = points_of_security()
    assert len(points) > 60
    for what, where, tests in points:
        files, holders = NAMED.findall(where), NAMED.findall(tests)
        assert len(files) == len(where.split(", ")), f"{what}: {where}"
        assert len(holders) == len(tests.split(", ")), f"{what}: {tests}"
        assert [path for path, _ in files if not (ROOT / path).exists()] == [], what
        for path, test in holders:
            source = (ROOT / path).read_text()
            assert path.startswith("tests/"), path
            assert re.search(rf"^(?:async )?def {test or '-'}\(", source, re.MULTILINE), test


def test_everything_security_md_names_exists() -> None:
    text = SECURITY.read_text()
    for path, test in NAMED.findall(text):
        assert (ROOT / path).exists(), path
        assert not test or f"def {test}(" in (ROOT / path).read_text(), test
    assert text.count("::test_") == sum(bool(test) for _, test in NAMED.findall(text))


def test_every_file_contributing_md_names_exists() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    paths = {path for path, _ in NAMED.findall(text) if "/" in path.rstrip("/")}
    paths |= {f"ilios/edge/{name}" for name in re.findall(r"^\d\. `(\w+\.py)`", text, re.MULTILINE)}
    assert len(paths) > 20
    assert sorted(path for path in paths if not (ROOT / path).exists()) == []


@pytest.mark.parametrize(
    "command", re.findall(r"^make (\w+)", (ROOT / "README.md").read_text(), re.MULTILINE)
)
def test_every_make_command_of_the_readme_exists(command: str) -> None:
    assert re.search(rf"^{command}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


async def test_the_page_about_the_database_has_the_schema_of_today(tmp_path: Path) -> None:
    assert await schema_page.current_section(tmp_path) in schema_page.PAGE.read_text(), (
        "run python -m tests.schema_page"
    )

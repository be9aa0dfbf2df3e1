"""The pages for people: who gets them, what they may load, and that they work in a browser."""

import gzip
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from ilios import __version__
from ilios.edge import openapi, pages
from ilios.edge.app import DECLARED as OPERATIONS
from tests.ilios.edge.browser import CHROMIUM, open_page
from tests.ilios.edge.world import World

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"
PAGES = ("/", "/docs")


@pytest.mark.parametrize(
    ("accept", "is_page"),
    [
        (BROWSER, True),
        ("text/html", True),
        ("text/html, */*", True),
        ("TEXT/HTML;q=0.5, */*;q=0.1", True),
        ("application/json;q=0.5, text/html", True),
        ("*/*", False),
        ("", False),
        ("application/json", False),
        ("application/json, text/html", False),
        ("text/html;q=0.3, */*", False),
        ("text/html;q=0", False),
        (";;q=,,text/plain;q=nan", False),
    ],
)
async def test_browsers_get_a_page_and_programs_json(
    world: World,
    accept: str,
    is_page: bool,  # noqa: FBT001
) -> None:
    client = await world.serve("key-1")
    async with client.get("/", headers={"Accept": accept}) as answer:
        assert answer.status == 200
        assert answer.content_type == ("text/html" if is_page else "application/json")
        assert "Accept" in answer.headers["Vary"].split(", ")


async def test_the_index_names_every_operation(world: World) -> None:
    client = await world.serve()
    async with client.get("/") as answer:
        body = await answer.json()
    assert (body["name"], body["version"]) == ("ilios", __version__)
    assert [(one["method"], one["path"]) for one in body["endpoints"]] == [
        operation.route for operation in OPERATIONS
    ]
    async with client.get("/", headers={"Accept": BROWSER}) as answer:
        page = await answer.text()
    assert f"curl -F file=@report.pdf http://127.0.0.1:{world.port}/v1/convert" in page
    for operation in OPERATIONS:
        assert f'href="/docs#/{operation.tag}/{operation.name}">{operation.path}<' in page


async def test_the_line_to_try_has_a_key_where_one_is_needed(world: World) -> None:
    client = await world.serve("key-1")
    async with client.get("/", headers={"Accept": BROWSER}) as answer:
        page = await answer.text()
    assert "-H &quot;Authorization: Bearer $API_KEY&quot; http" in page
    assert "key-1" not in page


async def test_nothing_a_client_sends_gets_into_a_page_as_it_is(world: World) -> None:
    await world.serve()
    host = "x\"'><script>alert(1)</script>"
    request = f"GET / HTTP/1.1\r\nHost: {host}\r\nAccept: text/html\r\n\r\n"
    answer = await world.send_raw(request.encode())
    assert b"<script>alert" not in answer.body


class Loaded(HTMLParser):
    """What a page loads and links to, and what it does not leave to its files."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.inline: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.addresses += [given[name] or "" for name in ("src", "href") if name in given]
        self.inline += [name for name in given if name == "style" or name.startswith("on")]
        if tag == "style" or (tag == "script" and "src" not in given):
            self.inline.append(tag)


@pytest.mark.parametrize("path", PAGES)
async def test_a_page_loads_nothing_but_files_of_ours_without_a_key(
    world: World, path: str
) -> None:
    client = await world.serve("key-1")
    loaded = Loaded()
    async with client.get(path, headers={"Accept": BROWSER}) as answer:
        assert (answer.status, answer.content_type) == (200, "text/html")
        policy = dict(
            rule.strip().split(" ", 1)
            for rule in answer.headers["Content-Security-Policy"].split(";")
        )
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        loaded.feed(await answer.text())
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert loaded.inline == []
    assert len(loaded.addresses) > 5
    for address in {address.partition("#")[0] for address in loaded.addresses}:
        assert re.match(r"/(?!/)", address), address
        async with client.get(address) as answer:
            assert answer.status == 200, address


PACKED = ("gzip", "br, GZIP;q=0.5")


@pytest.mark.parametrize("name", sorted(pages.STATIC_FILES))
async def test_a_page_asset_is_immutable_and_compressed(world: World, name: str) -> None:
    client = await world.serve("key-1")
    path, content = (
        f"/docs/{pages.assets_version()}/{name}",
        pages.STATIC_FILES[name].read_bytes(),
    )
    tags = set()
    for accept in ("gzip", "identity", "gzip;q=0", "br, GZIP;q=0.5"):
        async with client.get(path, headers={"Accept-Encoding": accept}) as answer:
            assert await answer.read() == content
            assert (answer.headers.get("Content-Encoding") == "gzip") == (accept in PACKED)
            assert "immutable" in answer.headers["Cache-Control"]
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Vary"] == "Accept-Encoding"
            tags.add(answer.headers["ETag"])
        headers = {"Accept-Encoding": accept, "If-None-Match": answer.headers["ETag"]}
        async with client.get(path, headers=headers) as answer:
            assert (answer.status, await answer.read()) == (304, b"")
    assert len(tags) == 2
    assert gzip.decompress(pages.static_file(name).gzipped) == content


@pytest.mark.parametrize(
    "rest",
    [
        "000000000000/docs.js",
        "EDITION/docs.html",
        "EDITION/VENDORED.json",
        "EDITION/..%2fpages.py",
        "EDITION/%2e%2e/pages.py",
        "EDITION/",
    ],
)
async def test_there_are_no_other_files(world: World, rest: str) -> None:
    await world.serve("key-1")
    path = "/docs/" + rest.replace("EDITION", pages.assets_version())
    answer = await world.send_raw(f"GET {path} HTTP/1.1\r\nHost: ilios\r\n\r\n".encode())
    assert (answer.status, answer.json()["code"]) == (404, "route_not_found")


def test_an_edition_is_another_one_when_a_file_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = tmp_path / "docs.js"
    changed.write_bytes(pages.STATIC_FILES["docs.js"].read_bytes() + b"\n")
    before = pages.assets_version()
    monkeypatch.setitem(pages.STATIC_FILES, "docs.js", changed)
    assert pages.assets_version.__wrapped__() != before


async def test_the_description_is_served_with_an_etag(world: World) -> None:
    client = await world.serve("key-1")
    async with client.get("/openapi.json") as answer:
        assert (answer.status, answer.content_type) == (200, "application/json")
        assert await answer.json() == openapi.describe(OPERATIONS)
    headers = {"If-None-Match": f'"other", W/{answer.headers["ETag"]}'}
    async with client.get("/openapi.json", headers=headers) as answer:
        assert answer.status == 304


def test_what_others_have_written_is_as_they_published_it() -> None:
    vendored = json.loads((pages.VENDORED / "VENDORED.json").read_text())
    found = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in pages.VENDORED.iterdir()
        if path.name != "VENDORED.json"
    }
    assert found == vendored["sha256"]
    assert (vendored["name"], vendored["licence"]) == ("swagger-ui-dist", "Apache-2.0")
    assert {"LICENSE", "NOTICE"} <= found.keys()


@pytest.mark.slow
@pytest.mark.skipif(not CHROMIUM, reason="no chromium on PATH")
@pytest.mark.parametrize("path", PAGES)
async def test_a_browser_shows_every_operation_and_complains_of_nothing(
    world: World, tmp_path: Path, path: str
) -> None:
    await world.serve()
    address = f"http://127.0.0.1:{world.port}{path}"
    page, complaints = await open_page(address, tmp_path)
    assert [line for line in complaints.splitlines() if "CONSOLE" in line] == []
    for operation in OPERATIONS:
        named = f'id="operations-{operation.tag}-{operation.name}"'
        assert (named if path == "/docs" else f"#/{operation.tag}/{operation.name}") in page

"""The format of a document's content is the one that fits ``Accept`` best."""

import pytest
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from ilios.edge.errors import HttpProblem
from ilios.edge.negotiation import MEDIA_TYPES, accepted_format

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"


def chosen(*accept: str) -> str:
    headers = CIMultiDict([("Accept", value) for value in accept])
    return accepted_format(make_mocked_request("GET", "/", headers=headers))


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", "markdown"),
        ("*/*", "markdown"),
        ("text/*", "markdown"),
        ("text/markdown; charset=utf-8", "markdown"),
        ("application/json", "json"),
        ("APPLICATION/JSON", "json"),
        ("text/plain", "text"),
        ("application/x-ndjson", "chunks"),
        (BROWSER, "html"),
        ("text/markdown;q=0.5, application/json", "json"),
        ("text/markdown;q=0.5, application/json;q=0.4", "markdown"),
        ("text/*;q=0.1, text/html;q=0.2, */*;q=0.05", "html"),
        ("text/markdown;q=0, text/*", "text"),
        ("image/png, */*;q=0.1", "markdown"),
        ("nonsense", "markdown"),
        ("nonsense, text/html", "html"),
        ("text/html;level=1;Q=1.000, application/json;q=0.9", "html"),
    ],
)
def test_the_best_format_is_chosen(accept: str, expected: str) -> None:
    assert chosen(accept) == expected


def test_no_header_is_any_format_and_several_are_one() -> None:
    assert chosen() == "markdown"
    assert chosen("image/png", "text/html;q=0.1") == "html"


@pytest.mark.parametrize("accept", ["image/png", "text/*;q=0, application/*;q=0", "*/*;q=0"])
def test_where_none_fits_the_problem_lists_them(accept: str) -> None:
    with pytest.raises(HttpProblem) as refused:
        chosen(accept)
    assert (refused.value.status, refused.value.code) == (406, "not_acceptable")
    assert refused.value.details == {"mediaTypes": list(MEDIA_TYPES.values())}
    assert refused.value.headers == {"Vary": "Accept"}

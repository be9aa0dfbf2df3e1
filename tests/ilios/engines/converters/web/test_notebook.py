"""Cells of a notebook are in order, each with what it has shown."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from actors.content_types import NOTEBOOK
from actors.engines import Unconvertible
from tests.ilios.engines.converters.markup import markdown_of, pages_of
from tests.ilios.engines.converters.web.test_html import picture

PNG = base64.b64encode(picture()).decode()


def notebook(*cells: dict[str, Any], language: str = "python") -> str:
    metadata = {"language_info": {"name": language}}
    return json.dumps({"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5})


def code(source: str, *outputs: dict[str, Any]) -> dict[str, Any]:
    return {"cell_type": "code", "source": source.splitlines(keepends=True), "outputs": outputs}


def shown(**data: Any) -> dict[str, Any]:
    named = {name.replace("_", "/"): value for name, value in data.items()}
    return {"output_type": "execute_result", "data": named}


@pytest.mark.parametrize(
    ("cell", "markdown"),
    [
        ({"cell_type": "markdown", "source": ["# T\n", "\n", "- *x* $y$"]}, "# T\n\n- *x* $y$"),
        (code("a = 1\n\nb"), "```python\na = 1\n\nb\n```"),
        ({"cell_type": "raw", "source": "<raw>"}, "```\n<raw>\n```"),
        (code("", {"output_type": "stream", "text": ["1%\r", "9%\n", "\x1b[31mred\x1b[0m\n"]}),
         "```\n9%\nred\n```"),
        (code("", {"output_type": "error", "ename": "E", "evalue": "v", "traceback": []}),
         "```\nE: v\n```"),
        (code("", {"output_type": "error", "ename": "E", "traceback": ["\x1b[0;31mat\x1b[0m",
         "E"]}),
         "```\nat\nE\n```"),
        (code("", shown(text_html="<table><tr><th>a<tr><td>1</table>", text_plain="a 1")),
         "| a |\n| --- |\n| 1 |"),
        (code("", shown(text_html="<b>x</b>", text_plain="plain")), "```\nplain\n```"),
        (code("", shown(text_html="<b>x</b><script>y</script>")), "**x**"),
        (code("", shown(text_markdown=["**m**"], text_plain="m")), "**m**"),
        (code("", shown(text_latex="$\\frac{1}{2}$", text_plain="1/2")), "$\\frac{1}{2}$"),
        (code("", {"output_type": "display_data", "data": {"application/json": {"a": [1]}}}),
         '```json\n{\n  "a": [\n    1\n  ]\n}\n```'),
    ],
)  # fmt: skip
def test_a_cell_and_its_outputs(cell: dict[str, Any], markdown: str, tmp_path: Path) -> None:
    assert markdown_of(tmp_path / "a", NOTEBOOK, notebook(cell)) == markdown


def test_unsafe_links_of_cells_and_outputs_are_left_out_with_a_warning(tmp_path: Path) -> None:
    cells = (
        {"cell_type": "markdown", "source": "[a](javascript:x) `[a](data:x)`"},
        code("", shown(text_markdown="<data:x>")),
        {"cell_type": "markdown", "source": "```"},
        {"cell_type": "markdown", "source": "```\n[b](data:y)"},
    )
    (page,) = pages_of(tmp_path / "a", NOTEBOOK, notebook(*cells))
    assert page.result.markdown == "[a]() `[a](data:x)`\n\n\\<data:x>\n\n```\n\n```\n[b]()"
    assert [warning.code for warning in page.result.warnings] == ["links_left_out"]


def test_pictures_of_outputs_and_attachments_are_stored(tmp_path: Path) -> None:
    attached = {"a.png": {"image/png": PNG}}
    cells = (
        {"cell_type": "markdown", "source": "![A](attachment:a.png)", "attachments": attached},
        code("", shown(image_png=PNG, text_plain="<Figure size 1>")),
    )
    (page,) = pages_of(tmp_path / "a", NOTEBOOK, notebook(*cells))
    assert page.result.markdown == "![A](img-0.png)\n\n![](img-1.png)"
    assert list(page.image_bytes.values()) == [picture(), picture()]


def test_a_notebook_of_version_3_is_read(tmp_path: Path) -> None:
    cells = [
        {"cell_type": "heading", "level": 2, "source": "H"},
        {"cell_type": "code", "language": "r", "input": ["x"], "outputs": [
            {"output_type": "pyout", "text": ["[1]"]}]},
    ]  # fmt: skip
    data = json.dumps({"nbformat": 3, "metadata": {}, "worksheets": [{"cells": cells}]})
    assert markdown_of(tmp_path / "a", NOTEBOOK, data) == "## H\n\n```r\nx\n```\n\n```\n[1]\n```"


@pytest.mark.parametrize("data", ['{"nbformat": 4, "cells": [', "[1]", "\ufeff{]"])
def test_what_is_no_json_object_is_damaged(data: str, tmp_path: Path) -> None:
    with pytest.raises(Unconvertible) as caught:
        markdown_of(tmp_path / "a", NOTEBOOK, data)
    assert caught.value.code == "corrupt"

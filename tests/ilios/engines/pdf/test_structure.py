"""Structure trees within bounds: a hostile one costs neither its page nor much time."""

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pypdfium2
import pytest

from ilios.engines.layout.items import Element
from ilios.engines.pdf.structure import read_trees
from tests import protected_pdfs
from tests.ilios.engines.pdf.conftest import ConvertPdf
from tests.tagged_pdfs import (
    HOSTILE_TEXT,
    Tag,
    hostile_tree,
    marked,
    tagged_pdf,
    with_hostile_tree,
    with_number_tree,
)

MOST_CPU_SECONDS = 2.0


def shared(levels: int) -> list[list[int]]:
    """Return elements of which each has the next one as its child twice."""
    return [[at + 1, at + 1] for at in range(levels)] + [[]]


@pytest.mark.parametrize("levels", [12, 20, 28, 40])
def test_elements_that_share_children_do_not_multiply(convert_pdf: ConvertPdf, levels: int) -> None:
    began = time.process_time()
    (page,) = convert_pdf(hostile_tree(shared(levels)))
    assert page.markdown == HOSTILE_TEXT
    assert time.process_time() - began < MOST_CPU_SECONDS


@pytest.mark.parametrize(
    "children",
    [
        [[at + 1] for at in range(3000)] + [[]],
        [[0, 1], [2, 0], []],
        [[1], [0]],
        [list(range(1, 3001)), *([] for _ in range(3000))],
        [[*range(1, 40)] * 40, *([*range(at + 1, 40)] for at in range(1, 40)), []],
    ],
    ids=["deep", "circle", "circle without end", "wide", "dense"],
)
def test_a_hostile_tree_leaves_the_text_of_its_page(
    convert_pdf: ConvertPdf, children: Sequence[Sequence[int]]
) -> None:
    began = time.process_time()
    (page,) = convert_pdf(hostile_tree(children))
    assert page.markdown == HOSTILE_TEXT
    assert time.process_time() - began < MOST_CPU_SECONDS


@pytest.mark.parametrize("hidden", [False, True])
def test_a_tree_that_is_too_large_is_left_out_with_a_warning(
    convert_pdf: ConvertPdf, *, hidden: bool
) -> None:
    (page,) = convert_pdf(hostile_tree(shared(24), hidden=hidden))
    assert page.markdown == HOSTILE_TEXT
    assert page.method == "text_layer"
    assert [one.code for one in page.warnings] == ["structure_left_out"]


@pytest.mark.parametrize("kind", ["RC4-128", "AES-256"])
def test_a_tree_in_a_protected_document_is_left_out(
    convert_pdf: ConvertPdf, kind: protected_pdfs.Kind
) -> None:
    data = protected_pdfs.protected_pdf(kind, user=b"")
    (page,) = convert_pdf(with_hostile_tree(data, shared(24)))
    assert page.markdown == protected_pdfs.TEXT
    assert page.method == "text_layer"
    assert [one.code for one in page.warnings] == ["structure_left_out"]


@pytest.mark.parametrize(
    "children",
    [
        [[0]],
        [[1], [0]],
        [[1, 2], [], [3], [2]],
        shared(40),
        [[at + 1] for at in range(3000)] + [[]],
    ],
    ids=["itself", "circle", "circle beside a leaf", "doubling", "deep"],
)
def test_a_number_tree_without_end_is_not_followed(
    tmp_path: Path, children: Sequence[Sequence[int]]
) -> None:
    path = tmp_path / "hostile.pdf"
    path.write_bytes(with_number_tree(children))
    # In a process of its own, which PDFium would end if it followed them.
    command = [sys.executable, "-m", "ilios", "convert", str(path)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.stdout.strip() == HOSTILE_TEXT
    assert "structure_left_out" in ended.stderr


def test_a_number_tree_of_several_levels_is_followed(convert_pdf: ConvertPdf) -> None:
    (page,) = convert_pdf(with_number_tree([[1], [2, 3], [], []]))
    assert page.markdown == f"# {HOSTILE_TEXT}"
    assert not page.warnings


def test_the_tree_of_a_page_has_its_marked_content(tmp_path: Path) -> None:
    path = tmp_path / "tagged.pdf"
    tags = [Tag("Sect", [Tag("H1", [0]), Tag("Prose", [2, Tag("Span", [1])])])]
    path.write_bytes(tagged_pdf((marked(0, ""), tags), ("", []), roles="/Prose /P"))
    document = pypdfium2.PdfDocument(path)
    try:
        trees = read_trees(document, range(2))
    finally:
        document.close()
    prose = Element("P", [2, Element("Span", [1])])
    sect = Element("Sect", [Element("H1", [0]), prose])
    assert trees == {0: (Element("Document", [sect]),)}

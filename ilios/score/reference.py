"""Scores of Markdown against a reference text, each from 0 to 1."""

import itertools
import re
from collections import Counter

from ilios.score import markdown_text
from ilios.score.similarity import f1, ratio, similarity

SAME = 0.85
"""Two headings or items that agree to this share are the same."""

SENTENCE_START = 40  # characters of a sentence that have to be found
MIN_SENTENCE = 45
MIN_CELLS = 4

SCORES = ("sim", "words", "order", "heads", "cells", "items", "links")
"""``sim``: similarity of the text; ``words``: F1 of the words; ``order``: share of successive
sentences in the order of the reference; ``heads``, ``items``: F1 of headings and of list items;
``cells``: share of the cells of tables in tables; ``links``: share of the links.
"""


def compare(markdown: str, reference: str) -> dict[str, float]:
    """Return the scores; those about what the reference does not have are left out."""
    text, truth = markdown_text.plain(markdown), markdown_text.plain(reference)
    scores = {
        "sim": similarity(text, truth),
        "words": f1(text.lower().split(), truth.lower().split()),
    }
    order = _order(text, truth)
    if order is not None:
        scores["order"] = order
    for name, read in (("heads", markdown_text.headings), ("items", markdown_text.items)):
        if wanted := read(reference):
            scores[name] = _fuzzy_f1(read(markdown), wanted)
    wanted_cells = _cells(reference)
    if wanted_cells.total() >= MIN_CELLS:
        scores["cells"] = (wanted_cells & _cells(markdown)).total() / wanted_cells.total()
    if links := Counter(markdown_text.links(reference)):
        scores["links"] = (links & Counter(markdown_text.links(markdown))).total() / links.total()
    return scores


def _order(text: str, truth: str) -> float | None:
    sentences = [part for part in re.split(r"(?<=[.!?。])\s+", truth) if len(part) > MIN_SENTENCE]
    places = [text.find(sentence[:SENTENCE_START]) for sentence in sentences]
    found = [place for place in places if place >= 0]
    pairs = list(itertools.pairwise(found))
    return sum(one < other for one, other in pairs) / len(pairs) if pairs else None


def _fuzzy_f1(found: list[str], wanted: list[str]) -> float:
    recall = _share_found(wanted, found)
    precision = _share_found(found, wanted)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _share_found(these: list[str], among: list[str]) -> float:
    if not these:
        return 0.0
    exact = {text.lower() for text in among}
    matched = sum(
        text.lower() in exact or any(ratio(text.lower(), one) > SAME for one in exact)
        for text in these
    )
    return matched / len(these)


def _cells(markdown: str) -> Counter[str]:
    return Counter(
        cell.lower()
        for table in markdown_text.tables(markdown)
        for row in table
        for cell in row
        if len(cell) > 1
    )

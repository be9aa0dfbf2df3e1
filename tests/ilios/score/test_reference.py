"""Scores against a reference text."""

from ilios.score.reference import compare

REFERENCE = """# Arrival of the fleet

The ferry left the quay before the market had opened. Two men counted the crates.

- rope
- oil

| Berth | Boat |
| --- | --- |
| N1 | Plover |
| N2 | Petrel |

See [the rules](https://pier.example/rules).
"""


def test_the_reference_itself_has_full_scores() -> None:
    scores = compare(REFERENCE, REFERENCE)
    assert scores == dict.fromkeys(
        ("sim", "words", "order", "heads", "items", "cells", "links"), 1.0
    )


def test_each_score_falls_with_what_it_measures() -> None:
    changed = {
        "heads": REFERENCE.replace("# Arrival", "Arrival"),
        "items": REFERENCE.replace("- oil\n", "- oil\n- tar and feathers\n"),
        "cells": REFERENCE.replace("| N2 | Petrel |", ""),
        "links": REFERENCE.replace("[the rules](https://pier.example/rules)", "the rules"),
        "words": REFERENCE.replace("crates", "barrels"),
    }
    for score, markdown in changed.items():
        assert compare(markdown, REFERENCE)[score] < 1, score


def test_sentences_in_another_order_are_counted() -> None:
    one = "The ferry left the quay before the market had opened on that day."
    other = "Two men on the pier counted the crates until the evening."
    assert compare(f"{one} {other}", f"{one} {other}")["order"] == 1
    assert compare(f"{other} {one}", f"{one} {other}")["order"] == 0


def test_scores_of_what_the_reference_does_not_have_are_left_out() -> None:
    assert set(compare("Some text.", "Some text.")) == {"sim", "words"}

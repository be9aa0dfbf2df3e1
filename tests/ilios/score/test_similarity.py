"""Distances of texts, compared with the plain algorithms."""

from hypothesis import given
from hypothesis import strategies as st

from ilios.score.similarity import f1, find, ratio, similarity

TEXTS = st.text("abcé漢 ", max_size=40)


def distance(one: str, other: str) -> int:
    row = list(range(len(other) + 1))
    for y, a in enumerate(one, 1):
        previous, row[0] = row[0], y
        for x, b in enumerate(other, 1):
            previous, row[x] = row[x], min(row[x] + 1, row[x - 1] + 1, previous + (a != b))
    return row[-1]


def common(one: str, other: str) -> int:
    row = [0] * (len(other) + 1)
    for a in one:
        previous = 0
        for x, b in enumerate(other, 1):
            previous, row[x] = row[x], previous + 1 if a == b else max(row[x], row[x - 1])
    return row[-1]


@given(TEXTS, TEXTS)
def test_similarity_is_the_levenshtein_distance_of_the_plain_algorithm(
    one: str, other: str
) -> None:
    longest = max(len(one), len(other))
    assert similarity(one, other) == (1 - distance(one, other) / longest if longest else 1)


@given(TEXTS, TEXTS)
def test_ratio_is_the_share_of_the_longest_common_subsequence(one: str, other: str) -> None:
    total = len(one) + len(other)
    assert ratio(one, other) == (2 * common(one, other) / total if total else 1)


@given(TEXTS.filter(bool), TEXTS, st.integers(0, 4))
def test_find_agrees_with_the_distances_of_all_parts(needle: str, text: str, allowed: int) -> None:
    parts = (text[a:b] for a in range(len(text) + 1) for b in range(a, len(text) + 1))
    is_there = min(distance(needle, part) for part in parts) <= allowed
    assert (find(needle, text, allowed) is not None) == is_there


def test_find_returns_the_end_of_the_match() -> None:
    assert find("b", "abc") == 2
    assert find("harbor", "the harbour wall", 1) == 9
    assert find("", "abc") is None


def test_f1_counts_each_word_once() -> None:
    assert f1(["a", "a", "b"], ["a", "b", "c"]) == 4 / 6
    assert f1([], []) == 1


def test_a_long_document_is_compared_in_a_second() -> None:
    text = "".join(chr(97 + number * number % 26) for number in range(30_000))
    other = f"y{text[:15_000]}x{text[15_000:]}y"
    assert similarity(text, other) == 1 - 3 / len(other)

"""Sizes of texts in tokens, estimated without a tokenizer, and texts cut to a size.

A token is taken for four bytes of UTF-8: four letters of English, two of Greek or Russian, a sign
and a third of Chinese.
"""

import re
from collections.abc import Iterator

BYTES_PER_TOKEN = 4

# Scripts that part no words by blanks; a text of theirs may be cut between any two signs.
_SIGNS = "\u2e80-\ud7a3\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff"
_PLAIN_WORD = re.compile(rf"[{_SIGNS}]|[^\s{_SIGNS}]+")
# Code, equations, links and tags are not cut, although they have blanks in them.
_WORD = re.compile(
    rf"[{_SIGNS}]|(?:`[^`\n]{{1,300}}`|\$[^$\n]{{1,500}}\$|<[^<>\n]{{1,300}}>"
    rf"|!?\[[^\[\]\n]{{1,300}}\]\([^()\s]{{1,2000}}\)|[^\s{_SIGNS}])+"
)
_SENTENCE_ENDS = frozenset(".!?\u3002\uff01\uff1f")


def count_bytes(text: str) -> int:
    """Return the size of a text in UTF-8."""
    return len(text.encode(errors="replace"))


def estimate_tokens(text: str) -> int:
    """Return the estimated number of tokens of a text."""
    return -(-count_bytes(text) // BYTES_PER_TOKEN)


def split_text(
    text: str, start: int, end: int, size: int, words: re.Pattern[str] = _WORD
) -> Iterator[tuple[int, int]]:
    """Yield parts of a text of at most ``size`` bytes, without the white space between them.

    They end with sentences where those are not much shorter, and never inside of a word: one that
    is longer is a part of its own.
    """
    first = last = sentence = start
    used = 0
    for word in words.finditer(text, start, end):
        if first == last:
            first = last = word.start()
        cost = count_bytes(text[last : word.end()])
        if used + cost > size and last > first:
            cut = sentence if sentence - first > (last - first) // 2 else last
            yield from _part(text, first, cut, size, words)
            following = words.search(text, cut, end)
            assert following is not None
            first = following.start()
            last = max(last, first) if cut < last else first
            used = count_bytes(text[first:last])
            cost = count_bytes(text[last : word.end()])
        used += cost
        last = word.end()
        if text[last - 1] in _SENTENCE_ENDS:
            sentence = last
    if last > first:
        yield from _part(text, first, last, size, words)


def _part(
    text: str, first: int, last: int, size: int, words: re.Pattern[str]
) -> Iterator[tuple[int, int]]:
    if words is _WORD and count_bytes(text[first:last]) > size:
        yield from split_text(text, first, last, size, _PLAIN_WORD)
    else:
        yield first, last

"""Matching braces and environments of a LaTeX source, found in one pass."""

import re

_MARK = re.compile(r"\\(?:begin|end)\s*\{([^{}\n]{1,60})\}|\\.|[{}]", re.DOTALL)
_BRACKET = re.compile(r"[\]{}]")
_ONE = re.compile(r"\\[A-Za-z]+|\\.|[^\s{}&]", re.DOTALL)
MAX_OPTION = 1000  # characters of an optional argument
_BLANKS = re.compile(r"\s*")


class Structure:
    """A source, and where its groups and environments end."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._braces: dict[int, int] = {}
        self._ends: dict[int, tuple[int, int]] = {}
        groups: list[int] = []
        environments: list[tuple[str, int]] = []
        for found in _MARK.finditer(text):
            mark = found[0]
            if mark == "{":
                groups.append(found.start())
            elif mark == "}":
                if groups:
                    self._braces[groups.pop()] = found.start()
            elif found[1] is not None:
                self._match(found, environments)

    def _match(self, found: re.Match[str], environments: list[tuple[str, int]]) -> None:
        if found[0].startswith(r"\begin"):
            environments.append((found[1], found.start()))
        # One that does not end is passed over, but only for an end that is not far away.
        for back in range(1, min(len(environments), 5) + 1):
            if not found[0].startswith(r"\end"):
                break
            name, start = environments[-back]
            if name == found[1]:
                del environments[-back:]
                self._ends[start] = (found.start(), found.end())
                break

    def group_end(self, start: int) -> int | None:
        """Return the place of the brace that ends the group at ``start``, or None."""
        return self._braces.get(start)

    def environment_end(self, start: int) -> tuple[int, int] | None:
        """Return where the end of the environment at ``start`` begins and ends, or None."""
        return self._ends.get(start)

    def argument(self, at: int, limit: int) -> tuple[int, int, int] | None:
        """Return start and end of the argument at a place, and what is behind it."""
        at = self.skip_blanks(at)
        if at >= limit:
            return None
        if self.text[at] != "{":
            found = _ONE.match(self.text, at)
            return (at, found.end(), found.end()) if found else None
        end = self.group_end(at)
        return None if end is None or end > limit else (at + 1, end, end + 1)

    def option(self, at: int, limit: int) -> tuple[str, int]:
        """Return the text of an optional argument at a place, if there is one, and what follows."""
        start = self.skip_blanks(at)
        if start >= limit or self.text[start] != "[":
            return "", at
        depth = 0
        for found in _BRACKET.finditer(self.text, start + 1, min(limit, start + MAX_OPTION)):
            depth += (found[0] == "{") - (found[0] == "}")
            if found[0] == "]" and depth <= 0:
                return self.text[start + 1 : found.start()], found.end()
        return "", at

    def skip_blanks(self, at: int) -> int:
        """Return the next place that is not blank."""
        found = _BLANKS.match(self.text, at)
        return found.end() if found else at

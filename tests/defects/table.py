"""Table of defects: one-line changes that break the sources, and the tests that catch them."""

import re
import tomllib
from pathlib import Path

import msgspec
from msgspec import Struct

PROMISES = range(1, 10)
"""Numbers of the promises of the service, which ``defects.toml`` lists."""

TABLE = Path(__file__).with_name("defects.toml")


class Defect(Struct, frozen=True, forbid_unknown_fields=True):
    """A change of one line that breaks the sources.

    ``old`` is a part of one line that occurs once in ``file``; ``new`` replaces it. ``breaks`` has
    the numbers of promises and the names of failpoints. ``tests`` are the ids of the tests that
    catch the defect.
    """

    name: str
    breaks: tuple[int | str, ...]
    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    def text(self, tree: Path) -> str:
        """Return the text of the file with the defect.

        :raises NotApplicable: ``old`` does not occur exactly once.
        """
        try:
            text = (tree / self.file).read_text("utf-8")
        except OSError as error:
            raise NotApplicable(f"{self.file} cannot be read: {error.strerror}") from error
        if "\n" in self.old or "\n" in self.new or self.old == self.new:
            raise NotApplicable("old and new must be different parts of one line")
        if (count := text.count(self.old)) != 1:
            raise NotApplicable(f"{self.old!r} occurs {count} times in {self.file}, not once")
        return text.replace(self.old, self.new)

    def check(self, tree: Path) -> None:
        """Check that the defect can be tried and that its tests exist.

        :raises NotApplicable: it cannot, or a test does not exist.
        """
        if self.file.endswith(".py"):
            try:
                compile(self.text(tree), self.file, "exec")
            except SyntaxError as error:
                raise NotApplicable(f"{self.new!r} does not compile: {error.msg}") from error
        self.text(tree)
        for test in self.tests:
            path, _, name = test.partition("::")
            try:
                text = (tree / path).read_text("utf-8")
            except OSError:
                text = ""
            function = re.escape(name.partition("[")[0])
            if not re.search(rf"^(async )?def {function}\(", text, re.MULTILINE):
                raise NotApplicable(f"{test} does not exist")


class NotApplicable(Exception):
    """A defect does not fit the tree: its entry in the table is outdated."""


class _Table(Struct, forbid_unknown_fields=True):
    defect: tuple[Defect, ...]


def read(path: Path = TABLE) -> tuple[Defect, ...]:
    """Return the defects of a table, in its order."""
    return msgspec.convert(tomllib.loads(path.read_text("utf-8")), _Table).defect

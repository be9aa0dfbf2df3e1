"""The table of defects: each is one line of the sources made wrong, and the tests that notice."""

import re
import tomllib
from pathlib import Path

import msgspec
from msgspec import Struct

PROMISES = range(1, 10)
"""The numbers by which the table names what the service promises; ``defects.toml`` lists them."""

TABLE = Path(__file__).with_name("defects.toml")


class Defect(Struct, frozen=True, forbid_unknown_fields=True):
    """One line made wrong.

    ``old`` is a part of one line of ``file`` that stands nowhere else in it, and ``new`` what takes
    its place. ``breaks`` names promises by their numbers and failpoints by their names.
    """

    name: str
    breaks: tuple[int | str, ...]
    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    def text(self, tree: Path) -> str:
        """Return the text of the file with the defect in it.

        :raises NotApplicable: the line is not there, or not the only one.
        """
        try:
            text = (tree / self.file).read_text("utf-8")
        except OSError as error:
            raise NotApplicable(f"{self.file} cannot be read: {error.strerror}") from error
        if "\n" in self.old or "\n" in self.new or self.old == self.new:
            raise NotApplicable("a defect is a part of one line, and another in its place")
        if (count := text.count(self.old)) != 1:
            raise NotApplicable(f"{self.old!r} is found {count} times in {self.file}, not once")
        return text.replace(self.old, self.new)

    def check(self, tree: Path) -> None:
        """Make sure that the defect can be tried, and that there are the tests that are to notice.

        :raises NotApplicable: it cannot, or one of them is not there.
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
                raise NotApplicable(f"there is no {test}")


class NotApplicable(Exception):
    """The tree is not as the defect takes it to be: the table has to follow it."""


class _Table(Struct, forbid_unknown_fields=True):
    defect: tuple[Defect, ...]


def read(path: Path = TABLE) -> tuple[Defect, ...]:
    """Return the defects of a table, in its order."""
    return msgspec.convert(tomllib.loads(path.read_text("utf-8")), _Table).defect

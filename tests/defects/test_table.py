"""The table of defects fits the tree and is complete; trials find defects that are missed."""

import sys
from pathlib import Path

import pytest

from bus.failpoints import POINTS
from tests.defects import table
from tests.defects.__main__ import ROOT
from tests.defects.table import PROMISES, Defect, NotApplicable
from tests.defects.trials import Trials

SOUND = "def is_even(number):\n    return number % 2 == 0\n"
TESTS = """\
from code_under_test import is_even

def test_two_is_even():
    assert is_even(2)

def test_three_is_not():
    assert not is_even(3)

def test_that_fails_either_way():
    assert is_even(1)
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "code_under_test.py").write_text(SOUND)
    (tree / "test_code.py").write_text(TESTS)
    (tree / "pytest.ini").write_text("[pytest]\n")
    return tree


def defect(new: str = "return True", test: str = "test_three_is_not", **given: str) -> Defect:
    return Defect(
        name=given.get("name", "one"),
        breaks=(1,),
        file="code_under_test.py",
        old=given.get("old", "return number % 2 == 0"),
        new=new,
        tests=(f"test_code.py::{test}",),
    )


@pytest.mark.parametrize("defect", table.read(), ids=lambda defect: defect.name)
def test_a_defect_of_the_table_fits_the_tree_and_its_tests_exist(
    defect: Defect,
) -> None:
    defect.check(ROOT)


def test_every_promise_and_failpoint_has_a_defect_and_names_are_unique() -> None:
    defects = table.read()
    broken = [what for defect in defects for what in defect.breaks]
    assert {*broken} == {*PROMISES, *POINTS}
    assert len({defect.name for defect in defects}) == len(defects)


@pytest.mark.parametrize("old", ["return number % 3", "number", "return number % 2 == 0\n"])
def test_a_fragment_that_does_not_occur_exactly_once_is_an_error(tree: Path, old: str) -> None:
    with pytest.raises(NotApplicable):
        defect(old=old).text(tree)


@pytest.mark.slow
def test_a_defect_is_caught_if_a_test_fails_and_missed_otherwise(
    tree: Path, tmp_path: Path
) -> None:
    noticed = defect(name="noticed")
    unnoticed = defect(name="unnoticed", test="test_two_is_even")
    unimportable = defect("return nothing", name="unimportable", old="def is_even(number):")
    trials = Trials(tree, tmp_path, Path(sys.executable), workers=1)
    found = {one.defect.name: one.outcome for one in trials.try_out([noticed, unnoticed])}
    assert found == {"noticed": "caught", "unnoticed": "missed"}
    (refused,) = trials.not_applicable([noticed, unimportable])
    assert "does not compile" in refused.reason
    assert (tree / "code_under_test.py").read_text() == SOUND


def test_a_test_that_fails_without_the_defect_is_an_error(tree: Path, tmp_path: Path) -> None:
    wrong = defect(name="wrong", test="test_that_fails_either_way")
    trials = Trials(tree, tmp_path, Path(sys.executable), workers=1)
    (verdict,) = trials.failing_without_defect([defect(), wrong])
    assert (verdict.defect, verdict.outcome) == (wrong, "error")

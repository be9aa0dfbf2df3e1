"""Faults stand until the check that reported them resolves them."""

from ilios.integrity.faults import Faults


def test_a_fault_stands_until_its_source_resolves_it() -> None:
    faults = Faults()
    faults.report("log", "events are missing")
    assert faults.problems == ["log: events are missing"]
    faults.resolve("snapshots")
    assert faults.problems == ["log: events are missing"]
    faults.resolve("log")
    assert faults.problems == []


def test_a_source_has_one_fault_the_latest() -> None:
    faults = Faults()
    faults.report("log", "events are missing")
    faults.report("log", "more events are missing")
    assert faults.problems == ["log: more events are missing"]


def test_only_a_blocking_fault_blocks() -> None:
    faults = Faults()
    faults.report("log", "events are missing")
    assert faults.blocking is None
    faults.report("files", "the database is gone", blocking=True)
    assert faults.blocking == "the database is gone"

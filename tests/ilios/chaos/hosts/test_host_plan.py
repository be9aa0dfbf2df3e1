"""A plan over hosts plays every kind of fault once before any comes again."""

from collections import Counter

from ilios.chaos.hosts.plan import plan_over_hosts


def kinds(seed: int, faults: int, *, network: bool = True, server: bool = True) -> Counter[str]:
    planned = plan_over_hosts(200, faults, seed, has_network=network, has_server=server)
    assert planned == plan_over_hosts(200, faults, seed, has_network=network, has_server=server)
    assert [fault.progress for fault in planned] == sorted(fault.progress for fault in planned)
    return Counter(f"{fault.target} {fault.action}" for fault in planned)


def test_every_kind_of_fault_is_played_by_a_run_that_is_long_enough() -> None:
    found = kinds(1, 25)
    assert set(found.values()) == {1}
    assert {"leader kill", "our node isolate", "store cut", "worker pause", "core slow"} <= set(
        found
    )
    assert max(kinds(2, 50).values()) == 2


def test_what_cannot_be_done_here_is_not_planned() -> None:
    found = kinds(1, 60, network=False, server=False)
    assert {"leader kill", "worker pause", "two nodes kill"} <= set(found)
    assert not {"core cut", "node isolate", "worker slow", "store pause"} & set(found)

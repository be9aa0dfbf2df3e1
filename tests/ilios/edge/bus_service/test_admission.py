"""Requests are bounded, and a flood of one tenant leaves room for the others."""

from contextlib import ExitStack

import pytest

from ilios.edge.bus_service.admission import Admission, Shares
from ilios.edge.errors import HttpProblem


@pytest.mark.parametrize("tenants", [1, 2, 3, 10])
def test_however_much_others_take_each_tenant_has_its_share(tenants: int) -> None:
    shares = Shares(100, tenants)
    for flooding in range(1, tenants):
        while shares.take(f"t{flooding}"):
            pass
    taken = 0
    while shares.take("t0"):
        taken += 1
    assert taken >= 50 // tenants
    assert tenants > 1 or taken == 100
    assert not any(shares.take(f"t{one}") for one in range(tenants))


def test_what_is_given_back_can_be_taken_again() -> None:
    shares = Shares(10, 2)
    while shares.take("a"):
        pass
    shares.give_back("a")
    assert shares.take("a")
    assert not shares.take("a")


def test_every_tenant_may_have_one_thing_whatever_its_size() -> None:
    shares = Shares(1000, 10)
    assert shares.take("a", 500)
    assert shares.take("b", 900)
    assert not shares.take("b", 900)


async def test_too_many_requests_and_bytes_are_refused_with_a_time_to_try_again() -> None:
    admission = Admission(1, max_requests=2, max_bytes=20)
    with ExitStack() as stack:
        stack.enter_context(admission.request("a"))
        stack.enter_context(admission.request("a"))
        with pytest.raises(HttpProblem) as refused, admission.request("a"):
            pytest.fail("there is no room")
        assert (refused.value.status, refused.value.code) == (503, "overloaded")
        assert "Retry-After" in refused.value.headers
        stack.enter_context(admission.body("a", 15))
        with pytest.raises(HttpProblem), admission.body("a", 15):
            pytest.fail("there is no room")
    with admission.request("a"), admission.body("a", 15):
        pass

"""Pauses between attempts."""

from actors.backoff import Backoff

BACKOFF = Backoff(first=2.0, factor=1.5, longest=6.0)


def test_pauses_grow_up_to_the_longest() -> None:
    assert [BACKOFF.pause(attempts) for attempts in range(5)] == [2.0, 3.0, 4.5, 6.0, 6.0]
    assert BACKOFF.total(4) == 15.5


def test_any_number_of_attempts_has_a_pause() -> None:
    assert BACKOFF.pause(10**9) == 6.0

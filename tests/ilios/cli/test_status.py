"""What ``ilios status`` shows to people."""

from ilios.cli.status import picture
from schemas.hosts import HostState, RoleState, ServiceState

AT = "2026-01-02T03:04:05.000Z"


def shown(*, drained: bool) -> str:
    host = HostState(
        host="one",
        kind="worker",
        version="1",
        pid=1,
        started=AT,
        roles={"ocr": RoleState(reasons=["the host is drained"] if drained else [])},
        drained=drained,
    )
    lines = picture(ServiceState(at=AT, hosts=[host], lanes=[], drained=["one"]))
    return next(line for line in lines if line.startswith("one"))


def test_a_host_that_has_not_noticed_its_drain_does_not_take_work_for_good() -> None:
    assert "takes work" not in shown(drained=False)
    assert "drained, which it notices within two seconds" in shown(drained=False)
    assert "takes none: the host is drained" in shown(drained=True)

"""``python -m tests.s3.swift_server DIRECTORY FD...``: OpenStack Swift with its S3 interface.

All of Swift that S3 needs in one process: account, container, object and proxy server, on the
listening sockets it inherits, in this order. What they are told lies in the directory, and what
they keep; nothing else of the machine is read or written.
"""

import os
import sys
import textwrap
import warnings
from pathlib import Path

warnings.simplefilter("ignore")  # the libraries deprecate each other

import eventlet  # noqa: E402

eventlet.monkey_patch()

from eventlet import hubs, wsgi  # noqa: E402
from eventlet.green import socket  # noqa: E402
from swift.common import utils  # noqa: E402
from swift.common.ring import RingBuilder  # noqa: E402
from swift.common.storage_policy import reload_storage_policies  # noqa: E402
from swift.common.wsgi import NullLogger, SwiftHttpProtocol, get_hub, loadapp  # noqa: E402

SERVERS = ("account", "container", "object", "proxy")
PART_POWER = 4  # of two: partitions

SWIFT_CONFIG = """
    [swift-hash]
    swift_hash_path_prefix = tests
    swift_hash_path_suffix = tests
    [storage-policy:0]
    name = gold
    default = yes
"""
STORAGE_CONFIG = """
    [DEFAULT]
    bind_ip = 127.0.0.1
    bind_port = {port}
    swift_dir = {directory}
    devices = {directory}
    mount_check = false
    workers = 0
    log_level = ERROR
    fallocate_reserve = 0
    [pipeline:main]
    pipeline = {name}-server
    [app:{name}-server]
    use = egg:swift#{name}
"""
PROXY_CONFIG = """
    [DEFAULT]
    bind_ip = 127.0.0.1
    bind_port = {port}
    swift_dir = {directory}
    workers = 0
    log_level = ERROR
    [pipeline:main]
    pipeline = catch_errors gatekeeper healthcheck listing_formats bulk s3api tempauth copy slo dlo proxy-server
    [app:proxy-server]
    use = egg:swift#proxy
    account_autocreate = true
    [filter:catch_errors]
    use = egg:swift#catch_errors
    [filter:gatekeeper]
    use = egg:swift#gatekeeper
    [filter:healthcheck]
    use = egg:swift#healthcheck
    [filter:listing_formats]
    use = egg:swift#listing_formats
    [filter:bulk]
    use = egg:swift#bulk
    [filter:s3api]
    use = egg:swift#s3api
    location = {region}
    dns_compliant_bucket_names = no
    [filter:tempauth]
    use = egg:swift#tempauth
    user_test_tester = testing .admin
    user_test_reader = reading
    [filter:copy]
    use = egg:swift#copy
    [filter:slo]
    use = egg:swift#slo
    [filter:dlo]
    use = egg:swift#dlo
"""  # noqa: E501  # a pipeline is one line


def main(directory: Path, sockets: list[int]) -> None:
    """Serve until killed."""
    (directory / "d1").mkdir()
    (directory / "swift.conf").write_text(textwrap.dedent(SWIFT_CONFIG))
    listening = [socket.socket(fileno=door) for door in sockets]
    ports = [one.getsockname()[1] for one in listening]
    for name, port in zip(SERVERS, ports, strict=True):
        text = (PROXY_CONFIG if name == "proxy" else STORAGE_CONFIG).format(
            name=name, port=port, directory=directory, region="us-east-1"
        )
        (directory / f"{name}.conf").write_text(textwrap.dedent(text))
        if name != "proxy":
            _make_ring(directory / f"{name}.ring.gz", port)
    utils.set_swift_dir(str(directory))
    reload_storage_policies()
    hubs.use_hub(get_hub())
    apps = [
        loadapp(str(directory / f"{name}.conf"), global_conf={"log_name": name}) for name in SERVERS
    ]
    serving = [
        eventlet.spawn(
            wsgi.server,
            door,
            app,
            NullLogger(),
            protocol=SwiftHttpProtocol,
            capitalize_response_headers=False,  # the field is ETag; botocore ignores Etag
        )
        for door, app in zip(listening, apps, strict=True)
    ]
    for one in serving:
        one.wait()


def _make_ring(path: Path, port: int) -> None:
    builder = RingBuilder(PART_POWER, 1, 1)
    place = {"region": 1, "zone": 1, "ip": "127.0.0.1", "port": port, "device": "d1", "weight": 1}
    builder.add_dev(place)
    builder.rebalance()
    builder.get_ring().save(str(path))


if __name__ == "__main__":
    os.environ["TZ"] = "UTC"
    main(Path(sys.argv[1]), [int(door) for door in sys.argv[2:]])

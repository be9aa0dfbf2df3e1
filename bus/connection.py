"""The connection to NATS, which reconnects by itself."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from random import SystemRandom
from typing import TypeVar

import nats.errors
import structlog
from nats.js import JetStreamContext
from nats.js.errors import Error as JetStreamError
from nats.js.errors import ServiceUnavailableError

from bus.client import reraise_swallowed_cancellation
from bus.diagnostics import PermissionViolations, PublishStats
from bus.errors import BusMisconfigured, BusUnavailable
from bus.fence import Fence
from bus.lean_client import LeanClient
from bus.target import Target

RECONNECT_INTERVAL = 0.1  # seconds between attempts; a restarted local server is back in 0.2 s
PING_INTERVAL = 20  # seconds
CLUSTER_PING_INTERVAL = 5  # seconds; two without an answer, and another node is tried
CONNECT_TIMEOUT = 5  # seconds for one attempt, and for the first connection altogether
NODE_TIMEOUT = 1.5  # seconds for one attempt where there are other nodes to try
ELECTION_TIMEOUT = 15.0  # seconds in which a cluster has a new leader; up to 9 were measured
QUERY_TIMEOUT = 2.0  # seconds for one try to ask a cluster that may have no leader
QUERY_PAUSE = 0.25  # seconds between two of them
ISOLATED_AFTER = 5.0  # seconds without an answer, after which another node is tried
REQUEST_TIMEOUT = 5.0  # seconds for one JetStream API request
DRAIN_TIMEOUT = 5  # seconds
CANCEL_INTERVAL = 0.2  # seconds between cancellations of a connection attempt that goes on
MAX_PENDING_BYTES = 8 * 1024 * 1024  # what may wait in the client while the server is away
INBOX_PREFIX = "_ILIOS"  # apart from _INBOX, which other clients may listen to as a whole
RESTART_GRACE = 4.0  # seconds in which a local server that died is back as a rule
MINIMUM_VERSION = (2, 14)  # consumer reset, which the persister's restart needs

log = structlog.get_logger("bus")

_T = TypeVar("_T")


class Connection:
    """A connection of one user to the server, which reconnects without end.

    Pull subscriptions register with ``on_reconnect``, because a restarted server has forgotten
    their pull requests.
    """

    def __init__(
        self,
        client: LeanClient,
        name: str,
        permission_violations: PermissionViolations,
        publish_stats: PublishStats,
        setup_url: str | None = None,
        *,
        several_servers: bool = False,
    ) -> None:
        self.client = client
        self.permission_violations = permission_violations
        self.publish_stats = publish_stats
        self.fence: Fence | None = None
        self._name = name
        self._setup_url = setup_url
        self.jetstream: JetStreamContext = client.jetstream(timeout=REQUEST_TIMEOUT)
        self._reconnect_callbacks: set[Callable[[], None]] = set()
        self._violation = ""
        self._disconnected_at: float | None = None
        self._several_servers = several_servers
        self._unanswered_since: float | None = None

    @property
    def in_cluster(self) -> bool:
        """Whether the server is one of several, which elect leaders of streams and consumers."""
        return self._several_servers or self.client.is_in_cluster

    @property
    def election_timeout(self) -> float:
        """Seconds for which nobody may answer while a leader is elected."""
        return ELECTION_TIMEOUT if self.in_cluster else 0.0

    def record_answer(self) -> None:
        """Record that the log answers by this server."""
        self._unanswered_since = None

    async def record_no_answer(self) -> None:
        """Record a request without an answer; a node that is cut off is left for another one."""
        now = time.monotonic()
        if self._unanswered_since is None:
            self._unanswered_since = now
        elif now - self._unanswered_since > ISOLATED_AFTER and self.in_cluster:
            self._unanswered_since = None
            log.warning("no answers by this node, trying another", node=self.address)
            await self.client.force_reconnect()

    async def ride_out(self, query: Callable[[], Awaitable[_T]]) -> _T:
        """Return the result of a query, which a cluster is asked again while it elects a leader.

        A single server is asked once. The errors are those of the last attempt.
        """
        deadline = time.monotonic() + self.election_timeout
        while self.in_cluster:
            try:
                async with asyncio.timeout(QUERY_TIMEOUT):
                    return await query()
            except BusMisconfigured:
                raise
            except (BusUnavailable, nats.errors.Error, ServiceUnavailableError, TimeoutError):
                if time.monotonic() > deadline or not self.connected:
                    raise
            await asyncio.sleep(QUERY_PAUSE)
        return await query()

    @property
    def connected(self) -> bool:
        """Whether the connection is open at the moment."""
        return bool(self.client.is_connected)

    @property
    def may_lag(self) -> bool:
        """Whether a stream may have replicas, of which one may lag behind the others.

        False for a single server, which has no cluster, no domain and JetStream of its own.
        """
        server = self.client.server_info
        return bool(server.get("cluster") or server.get("domain") or not server.get("jetstream"))

    @property
    def is_down(self) -> bool:
        """Whether the server has been away longer than a restart takes."""
        disconnected_at = self._disconnected_at
        return disconnected_at is not None and time.monotonic() - disconnected_at > RESTART_GRACE

    @property
    def address(self) -> str:
        """Host and port of the server, without credentials."""
        url = self.client.connected_url
        return f"{url.hostname}:{url.port}" if url else "nowhere"

    def on_reconnect(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call ``callback`` after every reconnect; returns a function that removes it."""
        self._reconnect_callbacks.add(callback)
        return lambda: self._reconnect_callbacks.discard(callback)

    async def request(self, subject: str, body: bytes, within: float = REQUEST_TIMEOUT) -> "Reply":
        """Send a request and return the reply.

        :raises BusUnavailable: not connected, no responder, or no answer ``within`` seconds.
        """
        if not self.connected:
            raise BusUnavailable("the bus is not connected")
        try:
            message = await self.client.request(subject, body, timeout=within)
        except (nats.errors.Error, TimeoutError) as error:
            # A denied permission looks like a timeout; the reason reaches only the error callback.
            raise BusUnavailable(f"no answer on {subject}: {error}") from error
        return Reply(message.data, message.headers or {})

    async def check(self) -> None:
        """Make a round trip to JetStream.

        :raises BusMisconfigured: the user lacks the permission, or the server is too old.
        :raises BusUnavailable: it does not answer.
        """
        if not self.connected:
            raise BusUnavailable("the bus is not connected")
        self._violation = ""
        try:
            await self.jetstream.account_info()
        except (nats.errors.Error, JetStreamError, TimeoutError) as error:
            why = str(error) or type(error).__name__
            if self._violation:  # denied requests are not answered
                raise BusMisconfigured(
                    f"JetStream does not answer: {self._violation}; its user needs more "
                    "permissions, "
                    "or use another user"
                ) from error
            raise BusUnavailable(f"JetStream does not answer: {why}") from error
        version = self.client.connected_server_version
        if (version.major, version.minor) < MINIMUM_VERSION:
            wanted = ".".join(map(str, MINIMUM_VERSION))
            raise BusMisconfigured(f"nats-server {version} is too old: {wanted} or newer is needed")

    @asynccontextmanager
    async def setup_context(self) -> AsyncIterator[JetStreamContext]:
        """Open a JetStream context whose user may create streams and consumers.

        Without ``setup_url``, as on an external bus, it is that of this connection.

        :raises BusUnavailable: the setup user cannot connect.
        """
        if self._setup_url is None:
            yield self.jetstream
            return
        async with connect(
            self._setup_url, name="setup", permission_violations=self.permission_violations
        ) as connection:
            yield connection.jetstream

    def record_violation(self, error: Exception) -> bool:
        """Record a permission violation; returns whether the error is one."""
        is_violation = self.permission_violations.record(self._name, error)
        if is_violation:
            self._violation = str(error).removeprefix("nats: ")
        return is_violation

    async def leave_lame_duck(self) -> None:
        """Connect to another node: this one is about to close its connections, one by one."""
        if self.in_cluster:
            log.info("node is shutting down, trying another", node=self.address)
            await self.client.force_reconnect()

    def ping_faster_in_cluster(self) -> None:
        """Find out sooner that a node is away where there are others."""
        if self.in_cluster:
            self.client.options["ping_interval"] = CLUSTER_PING_INTERVAL

    def handle_disconnect(self) -> None:
        """Record the start of an interruption, unless the client was closed."""
        if self._disconnected_at is None and not self.client.is_closed:
            self._disconnected_at = time.monotonic()
            log.warning("bus disconnected")

    def handle_reconnect(self) -> None:
        """Call the callbacks: the server has forgotten the pull requests."""
        self._disconnected_at = self._unanswered_since = None
        self.ping_faster_in_cluster()
        for callback in tuple(self._reconnect_callbacks):
            callback()


class Reply:
    """A reply: its body and its headers."""

    __slots__ = ("body", "headers")

    def __init__(self, body: bytes, headers: dict[str, str]) -> None:
        self.body = body
        self.headers = headers

    @property
    def status(self) -> str | None:
        """The status code that the server sent instead of a body, for example ``404``."""
        return self.headers.get("Status")


class _Events:
    """What the client calls; ``connection`` is None until the first connection is made."""

    def __init__(self) -> None:
        self.connection: Connection | None = None
        self.last_error: Exception | None = None

    async def on_error(self, error: Exception) -> None:
        # Errors after a refusal are only its consequences.
        if "authorization" not in str(self.last_error).lower():
            self.last_error = error
        if self.connection is None:
            return  # raised by ``connect``, once
        refused = self.connection.record_violation(error)  # which logs it as an error
        # The disconnect is logged once; each failed attempt to reconnect would be noise.
        away = isinstance(error, (ConnectionError, nats.errors.UnexpectedEOF, OSError))
        if not refused and not away:
            log.warning("bus error", error=str(error) or type(error).__name__)

    async def on_disconnect(self) -> None:
        if self.connection is not None:
            self.connection.handle_disconnect()

    async def on_reconnect(self) -> None:
        log.info("bus reconnected")
        if self.connection is not None:
            self.connection.handle_reconnect()

    async def on_lame_duck(self) -> None:
        if self.connection is not None:
            await self.connection.leave_lame_duck()


@asynccontextmanager
async def connect(
    target: Target | str,
    *,
    name: str,
    setup_url: str | None = None,
    permission_violations: PermissionViolations | None = None,
    publish_stats: PublishStats | None = None,
) -> AsyncIterator[Connection]:
    """Connect to a target, or to a URL with credentials, and drain when leaving.

    ``name`` is shown by the server. Replies arrive on ``_ILIOS.<name>.>``, so that permissions can
    keep a user from reading the replies of others. With ``setup_url`` another user creates streams
    and consumers.

    :raises BusMisconfigured: the credentials are refused, or a file of the target is unusable.
    :raises BusUnavailable: no server answers.
    """
    target, events = Target.of(target), _Events()
    client = LeanClient()
    try:
        await _connect(client, target, name, events)
    except (nats.errors.Error, OSError, TimeoutError, ValueError) as error:
        await client.close()
        raise _refusal(events.last_error or error) from error
    connection = Connection(
        client,
        name,
        permission_violations or PermissionViolations(),
        publish_stats or PublishStats(),
        setup_url,
        several_servers=len(target.servers) > 1,
    )
    connection.ping_faster_in_cluster()
    events.connection = connection
    try:
        yield connection
    finally:
        await _close(client)


def _refusal(cause: Exception) -> BusUnavailable:
    # Refused credentials and unusable files stay so; everything else may be temporary.
    text = str(cause) or type(cause).__name__
    if refused := "authorization" in text.lower():
        text = f"it refuses the user or the password ({text})"
    kind = BusMisconfigured if refused or isinstance(cause, ValueError) else BusUnavailable
    return kind(f"cannot connect to the bus: {text}")


async def _connect(client: LeanClient, target: Target, name: str, events: _Events) -> None:
    several = len(target.servers) > 1
    client.requires_tls = target.requires_tls
    tls = target.tls_context()
    options = {**target.client_options(), **({} if tls is None else {"tls": tls})}
    client.public_nkey = options.pop("public_nkey", None)
    # Each process begins with another server. Afterwards in turn: after one that went, or gives no
    # answers, comes another one.
    servers = SystemRandom().sample(target.servers, len(target.servers))
    # A separate task: the client retries its first connection without end, and it can
    # swallow a cancellation, so that a timeout around the call would be lost with it.
    connecting = asyncio.create_task(
        client.connect(
            servers,
            **options,
            dont_randomize=True,
            name=name,
            inbox_prefix=f"{INBOX_PREFIX}.{name}",
            allow_reconnect=True,
            max_reconnect_attempts=-1,
            reconnect_time_wait=RECONNECT_INTERVAL,  # type: ignore[arg-type]  # a float works
            connect_timeout=NODE_TIMEOUT if several else CONNECT_TIMEOUT,  # type: ignore[arg-type]
            ping_interval=CLUSTER_PING_INTERVAL if several else PING_INTERVAL,
            pending_size=MAX_PENDING_BYTES,
            drain_timeout=DRAIN_TIMEOUT,
            error_cb=events.on_error,
            disconnected_cb=events.on_disconnect,
            reconnected_cb=events.on_reconnect,
            lame_duck_mode_cb=events.on_lame_duck,
        )
    )
    try:
        if not (await asyncio.wait([connecting], timeout=CONNECT_TIMEOUT))[0]:
            raise TimeoutError(f"no answer within {CONNECT_TIMEOUT} s")
        connecting.result()
    except asyncio.CancelledError:
        await _cancel(connecting)
        await _close(client)
        raise
    except TimeoutError:
        await _cancel(connecting)
        raise


async def _cancel(task: asyncio.Task[None]) -> None:
    """Cancel a task again and again until it has ended, because it may swallow a cancellation."""
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=CANCEL_INTERVAL)
    if not task.cancelled():
        task.exception()  # retrieved, or asyncio would log it


async def _close(client: LeanClient) -> None:
    if client.is_closed:
        return
    with reraise_swallowed_cancellation():
        try:
            if client.is_connected:
                async with asyncio.timeout(DRAIN_TIMEOUT):
                    await client.drain()
        except (nats.errors.Error, TimeoutError, OSError):
            log.warning("bus not drained")
        finally:
            if not client.is_closed:
                with suppress(nats.errors.Error, OSError):
                    await client.close()

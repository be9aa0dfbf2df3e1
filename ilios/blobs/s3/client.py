"""S3 as the library knows it: every call within a deadline, and with the errors of the port.

The library has no types. It is called in this file only, and what it answers gets its types where
it is asked (``bucket``).
"""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session

from ilios import __version__
from ilios.blobs.s3.errors import FAULTS, translated, unreachable
from ilios.blobs.s3.place import S3Place

ANSWER_WITHIN = 15.0  # seconds for a call with all its attempts, but for what it moves
SLOWEST = 64 * 1024  # bytes a second that a store takes or copies at least; slower is broken
ATTEMPTS = 3
CONNECT_WITHIN = 3.0  # seconds, for each attempt
NO_LIMIT = 3600.0  # seconds; to the library, a body that is being sent is silence
_SIGNED_FOR = re.compile(r"Credential=[^,]*/[0-9]{8}/([^/,]+)/s3/")

ANY_NUMBER = 0  # of connections: those who may ask are bounded elsewhere


_SESSION = get_session()
"""Reads what the library knows of S3, 10 MB of JSON, once."""


class Client:
    """Calls S3 about one bucket. ``region`` is the one that was signed for last.

    The library corrects it by itself where S3 names another one, but not in the URLs it signs.
    """

    def __init__(self, library: Any, place: S3Place, region: str) -> None:  # noqa: ANN401  # no types
        self._library = library
        self.place = place
        self.region = region
        library.meta.events.register_last("before-call.s3", _expect_nothing)
        library.meta.events.register_last("before-send.s3", self._notice_region)

    async def call(self, method: str, moved: int = 0, **params: object) -> dict[str, Any]:
        """Call a method of the library, which may take longer the more bytes are ``moved``.

        :raises StorageUnavailable: it fails; an S3Refused, if S3 says so itself.
        """
        within = ANSWER_WITHIN + moved / SLOWEST
        # What moves nothing is asked once more: the connection may have died while it was idle.
        for last in (bool(moved), True):
            try:
                async with asyncio.timeout(within):
                    call = getattr(self._library, method)
                    answer: dict[str, Any] = await call(Bucket=self.place.bucket, **params)
                    return answer
            except FAULTS as error:
                raise translated(error, _operation(method), self.place) from error
            except TimeoutError as error:
                if last:
                    why = f"nothing came within {within:.0f} s"
                    raise unreachable(self.place, why) from error
        raise AssertionError("the last time ends the loop")

    async def presign(self, method: str, expires_in: int, **params: object) -> str:
        """Return a URL that carries the right to one call, for so many seconds."""
        wanted = {"Bucket": self.place.bucket, **params}
        presign = self._library.generate_presigned_url
        try:
            return str(await presign(method, Params=wanted, ExpiresIn=expires_in))
        except FAULTS as error:
            raise translated(error, _operation(method), self.place) from error

    def _notice_region(self, request: Any, **_: object) -> None:  # noqa: ANN401  # no types
        signed = request.headers.get("Authorization", "")
        if isinstance(signed, bytes):
            signed = signed.decode()
        if found := _SIGNED_FOR.search(signed):
            self.region = found[1]


@asynccontextmanager
async def open_client(place: S3Place, region: str) -> AsyncIterator[Client]:
    """Lend a client; S3 is not asked anything yet."""
    config = AioConfig(
        s3={"addressing_style": place.style},
        signature_version="s3v4",
        # What is asked is ours, and S3 looks at it as well: no need to do so here for each call.
        parameter_validation=False,
        # The library would put its own together for each call anew, an eighth of all its work.
        user_agent=f"ilios/{__version__}",
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        connect_timeout=CONNECT_WITHIN,
        read_timeout=NO_LIMIT,
        max_pool_connections=ANY_NUMBER,
        # Other stores than AWS refuse the checksums that are newer than Content-MD5, or send some
        # that are wrong for parts of an object.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        ignore_configured_endpoint_urls=True,
    )
    keys = (place.access_key, place.secret_key, place.session_token)
    access, secret, token = (key.reveal() if key else None for key in keys)
    async with AsyncExitStack() as stack:
        try:
            making = _SESSION.create_client(
                "s3",
                region_name=region,
                endpoint_url=place.endpoint,
                aws_access_key_id=access,
                aws_secret_access_key=secret,
                aws_session_token=token,
                config=config,
            )
            library = await stack.enter_async_context(making)
        except FAULTS as error:
            raise translated(error, "CreateClient", place) from error
        yield Client(library, place, region)


def _operation(method: str) -> str:
    """Return the name of a method as S3 has it: HeadObject of head_object."""
    return "".join(word.capitalize() for word in method.split("_"))


def _expect_nothing(params: dict[str, Any], **_: object) -> None:
    # We would wait for the 100 for as long as it takes, and not every store, nor everything that
    # stands in front of one, sends it.
    params["headers"].pop("Expect", None)

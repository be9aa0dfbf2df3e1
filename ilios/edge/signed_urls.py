"""The URLs of this edge that carry their own right: made for one upload, and read again."""

import re
from urllib.parse import urlencode

from aiohttp import web

from actors.blob_keys import NO_TENANT
from ilios.edge.context import EDGE
from ilios.edge.errors import HttpProblem
from ilios.edge.signing import BadSignature, SignatureExpired
from schemas.ids import is_id

PREFIX = "/api/uploads/"

_HOST = re.compile(r"(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
_NUMBER = re.compile(r"[0-9]{1,18}")


def make_url(request: web.Request, document_id: str, size: int, expires_at: int) -> str:
    """Return where ``size`` bytes may be PUT before ``expires_at``, in seconds since 1970."""
    signer = request.app[EDGE].signer
    query = {
        "size": size,
        "expires": expires_at,
        "signature": signer.sign(NO_TENANT, document_id, size, expires_at),
    }
    return f"{_public_origin(request)}{PREFIX}{document_id}?{urlencode(query)}"


def verify(request: web.Request) -> int:
    """Return the size that the request's URL was signed for.

    :raises Refused: it was not signed here, or is too old (403). Nothing else was looked at yet.
    """
    document_id, query = request.match_info["id"], request.query
    size, expires = (query.get(name, "") for name in ("size", "expires"))
    invalid = HttpProblem(403, "upload_url_invalid", "The upload URL is not valid")
    if not is_id(document_id):
        raise invalid
    if not _NUMBER.fullmatch(size) or not _NUMBER.fullmatch(expires):
        raise invalid
    try:
        request.app[EDGE].signer.verify(
            query.get("signature", ""), NO_TENANT, document_id, int(size), int(expires)
        )
    except BadSignature:
        raise invalid from None
    except SignatureExpired:
        raise HttpProblem(403, "upload_url_expired", "The upload URL has expired") from None
    return int(size)


def _public_origin(request: web.Request) -> str:
    """Return what clients reach this edge by: as configured, else as this one has."""
    if configured := request.app[EDGE].public_url:
        return configured
    host = request.headers.get("Host", "")
    if not _HOST.fullmatch(host):
        if request.transport is None:
            raise ConnectionResetError("the client is gone")
        address, port = request.transport.get_extra_info("sockname")[:2]
        host = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    return f"{request.scheme}://{host}"

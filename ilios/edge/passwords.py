"""Passwords of submitted documents: sealed before the event that makes a conversion need them."""

import asyncio
from collections.abc import Mapping

from actors.blob_keys import password_key
from ilios.edge.context import Edge

Passwords = Mapping[str, str]
"""Passwords by the ids of their documents."""


async def seal(edge: Edge, tenant: str, passwords: Passwords) -> None:
    """Store the passwords of documents. Errors as ``Blobs.put``."""
    puts = (edge.passwords.put(tenant, name, text) for name, text in passwords.items())
    await asyncio.gather(*puts)


def sealed_keys(tenant: str, passwords: Passwords) -> tuple[str, ...]:
    """Return the keys of what ``seal`` stores."""
    return tuple(password_key(tenant, name) for name in passwords)

"""``GET /``: what can be asked here."""

from aiohttp import web

from ilios import __version__
from ilios.edge.answers import answer
from schemas.replies import Endpoint, Index

INDEX = Index(
    name="ilios",
    version=__version__,
    endpoints=[
        Endpoint(method=method, path=path, description=description)
        for method, path, description in (
            ("POST", "/v1/convert", "Convert a document and wait for its Markdown"),
            ("POST", "/api/documents/submit", "Submit a document for conversion"),
            ("GET", "/api/documents/status/{id}", "How far a document is"),
            ("GET", "/api/documents/{id}", "The Markdown of a document, ?format=json for more"),
            ("GET", "/api/documents/{id}/original", "The document as it was submitted"),
            ("GET", "/health", "Whether the service works"),
            ("GET", "/livez", "Whether the process answers"),
            ("GET", "/readyz", "Whether requests should be sent here"),
        )
    ],
)


async def index(_request: web.Request) -> web.StreamResponse:
    """Answer with the list of endpoints."""
    return answer(INDEX)

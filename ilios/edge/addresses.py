"""Addresses at which clients find a document, by the interface they use."""

from msgspec import Struct

ID = "{id}"


class Addresses(Struct, frozen=True):
    """The paths of a document's state and of its Markdown, with a place for its id."""

    state: str
    content: str

    def state_of(self, document_id: str) -> str:
        """Return the path of a document's state."""
        return self.state.replace(ID, document_id)

    def content_of(self, document_id: str) -> str:
        """Return the path of a document's Markdown."""
        return self.content.replace(ID, document_id)


LEGACY = Addresses("/api/documents/status/{id}", "/api/documents/{id}")
"""Those that clients of the first ilios use; ``/v1/convert`` answers with them as well."""
RESOURCE = Addresses("/v1/documents/{id}", "/v1/documents/{id}/content")
"""Those of the resource for new clients."""

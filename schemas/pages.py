"""Events about the pages of documents while they are converted. They are on no stream."""

from typing import Annotated

from msgspec import Meta, Struct

from .documents import DocumentId, Pages, Tenant


class PageConverted(Struct, frozen=True, kw_only=True, tag_field="type", tag="page.converted/1"):
    """So many pages of a document are converted: ``page`` ``of`` the selected ones.

    Where pages are fast, there is one event for several of them, and always one for the last.
    ``seconds`` is the time since the conversion began. One that is repeated counts from the
    beginning once more.
    """

    document_id: DocumentId
    tenant: Tenant = "default"
    page: Pages
    of: Pages
    engine: str
    seconds: Annotated[float, Meta(ge=0)]

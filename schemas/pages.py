"""Events about the pages of documents while they are converted. They are on no stream."""

from typing import Annotated

from msgspec import Meta, Struct

from .documents import DocumentId, Pages, Tenant
from .results import PageResult
from .states import DocumentState


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


class PagesRequested(Struct, frozen=True, kw_only=True, tag_field="type", tag="pages.requested/1"):
    """A request for the pages of a document that is still converted.

    ``since`` is the ``until`` of the last reply: only pages that are new or changed follow.
    """

    since: Annotated[int, Meta(ge=0, le=2**62)] = 0


class DraftsReply(Struct, frozen=True, kw_only=True, tag_field="type", tag="pages.drafted/1"):
    """Pages as they are so far; a later one with the same ``index`` replaces an earlier one.

    With ``more`` there are further ones after ``until``. A document without any may wait, or have
    ended.
    """

    until: int
    more: bool
    pages: tuple[PageResult, ...]


class PagesState(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """State of a document, a line between and after its pages; the last line of all is one.

    ``pages`` ``of`` those that are selected are done. ``error`` and ``code`` are the reason of a
    failure.
    """

    state: DocumentState
    pages: int | None = None
    of: int | None = None
    error: str | None = None
    code: str | None = None


class PageLine(PageResult, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A page of a document; one that is not ``final`` is replaced by later ones of its ``index``.

    It is as the page of the result, but for the names of its images where it is not final.
    """

    final: bool


class DocumentPages(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Pages of a document and its state, one part after the other.

    ``until`` is the ``since`` of the next request; with ``more`` there are further pages. ``error``
    and ``code`` are the reason of a failure.
    """

    id: str
    state: DocumentState
    until: int
    more: bool
    pages: tuple[PageLine, ...]
    error: str | None = None
    code: str | None = None

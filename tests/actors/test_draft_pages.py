"""Drafts of pages take bounded memory, and a reader gets each once."""

import msgspec

from actors.draft_pages import DraftPages
from schemas.pages import DraftsReply
from schemas.results import PageResult
from tests import events

OURS = ("default", events.id_of(1))
THEIRS = ("acme", events.id_of(1))


def page(index: int, text: str = "text") -> PageResult:
    return PageResult(index=index, markdown=text)


def read(drafts: DraftPages, name: tuple[str, str] = OURS, since: int = 0) -> DraftsReply:
    return msgspec.json.decode(drafts.read(*name, since), type=DraftsReply)


def indices(drafts: DraftPages, name: tuple[str, str] = OURS) -> list[int]:
    return [page.index for page in read(drafts, name).pages]


def test_a_later_draft_replaces_the_page_with_its_index() -> None:
    drafts = DraftPages()
    drafts.put(*OURS, [page(0, "first"), page(1)])
    drafts.put(*OURS, [page(0, "second")])
    assert [(one.index, one.markdown) for one in read(drafts).pages] == [(1, "text"), (0, "second")]


def test_documents_of_two_tenants_with_one_id_are_apart() -> None:
    drafts = DraftPages()
    drafts.put(*OURS, [page(0)])
    assert indices(drafts, THEIRS) == []
    drafts.put(*THEIRS, [page(7)])
    drafts.discard(*OURS)
    assert (indices(drafts), indices(drafts, THEIRS)) == ([], [7])


def test_beyond_its_bytes_a_document_loses_its_oldest_pages() -> None:
    drafts = DraftPages(max_document_bytes=10_000)
    drafts.put(*OURS, [page(index, "x" * 1000) for index in range(100)])
    found = indices(drafts)
    assert found == list(range(100 - len(found), 100))
    assert 8 <= len(found) <= 9


def test_beyond_all_bytes_the_largest_document_loses_pages() -> None:
    drafts = DraftPages(max_bytes=10_000)
    drafts.put(*THEIRS, [page(index, "x" * 1000) for index in range(3)])
    drafts.put(*OURS, [page(index, "x" * 1000) for index in range(100)])
    assert indices(drafts, THEIRS) == [0, 1, 2]
    assert indices(drafts)[-1] == 99
    drafts.discard(*OURS)
    drafts.put(*THEIRS, [page(index, "x" * 1000) for index in range(3, 9)])
    assert indices(drafts, THEIRS) == list(range(9)), "what was dropped takes no room"


def test_a_reader_of_a_worker_before_gets_what_its_successor_has() -> None:
    before = DraftPages()
    before.put(*OURS, [page(0), page(1)])
    since = read(before).until
    after = DraftPages()
    after.put(*OURS, [page(0, "again")])
    assert [one.markdown for one in read(after, since=since).pages] == ["again"]


def test_a_page_that_no_reply_takes_is_left_to_the_result() -> None:
    drafts = DraftPages()
    drafts.put(*OURS, [page(0, "x" * 1024 * 1024), page(1)])
    assert indices(drafts) == [1]

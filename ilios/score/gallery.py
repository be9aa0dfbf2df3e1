"""A gallery of a run: for each document its pages beside what was made of them, as HTML files."""

import asyncio
import base64
import re
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

from ilios.score import rendering
from ilios.score.conservation import PageConservation
from ilios.score.conversions import joined
from ilios.score.documents import ScoredDocument
from ilios.score.expectations import ReadPage
from ilios.score.scoring import DocumentScore, read_pictures

STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 1.5em; color: #222; }
table { border-collapse: collapse; margin: .6em 0; }
td, th { border: 1px solid #bbb; padding: 2px 7px; }
.page { display: grid; grid-template-columns: minmax(0, 1fr) minmax(0, 1fr); gap: 1.5em;
  border-top: 2px solid #888; padding: 1em 0; }
.page img { max-width: 100%; border: 1px solid #ccc; } .moved { color: #777; }
.item { margin: .1em 0; } .good { color: #060; } .bad { color: #b00; }
pre { background: #f2f2f2; padding: .5em; overflow-x: auto; }
del { background: #fbb; text-decoration: none; } ins { background: #bfb; text-decoration: none; }
"""


async def write(
    directory: Path, documents: Sequence[ScoredDocument], scores: Sequence[DocumentScore]
) -> None:
    """Write an HTML page for each document, and ``index.html``.

    :raises OSError: the directory cannot be written.
    """
    await asyncio.to_thread(directory.mkdir, parents=True, exist_ok=True)
    names = [f"{number:03}-{_file_name(score.name)}.html" for number, score in enumerate(scores, 1)]
    for name, document, score in zip(names, documents, scores, strict=True):
        pictures = await read_pictures(document.path)
        await asyncio.to_thread(_write_document, directory / name, document, score, pictures)
    index = "".join(_index_row(name, score) for name, score in zip(names, scores, strict=True))
    heads = "".join(
        f"<th>{head}</th>" for head in ("kind", "document", "expected", "kept", "scores")
    )
    text = _html("Documents", f"<table><tr>{heads}</tr>{index}</table>")
    await asyncio.to_thread((directory / "index.html").write_text, text, encoding="utf-8")


def _file_name(name: str) -> str:
    return re.sub(r"[^\w.-]+", "-", name)[:80]


def _index_row(file: str, score: DocumentScore) -> str:
    kept = [page.kept for page in score.conservation if page.total]
    count = len(score.held) + len(score.broken)
    cells = (
        escape(score.kind),
        f'<a href="{escape(file)}">{escape(score.name)}</a>',
        _judged(f"{len(score.held)} of {count}", good=not score.broken) if count else "",
        f"{100 * min(kept):.1f} %" if kept else "",
        escape(_figures(score)),
    )
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _figures(score: DocumentScore) -> str:
    if score.outcome.refusal:
        return f"refused: {score.outcome.refusal}"
    return " ".join(f"{name} {value:.3f}" for name, value in score.scores.items())


def _judged(text: str, *, good: bool) -> str:
    return f'<span class="{"good" if good else "bad"}">{escape(text)}</span>'


def _write_document(
    file: Path, document: ScoredDocument, score: DocumentScore, pictures: list[bytes]
) -> None:
    file.write_text(
        _html(score.name, "\n".join(_document(document, score, pictures))), encoding="utf-8"
    )


def _document(
    document: ScoredDocument, score: DocumentScore, pictures: list[bytes]
) -> Iterator[str]:
    yield f"<p><a href='index.html'>all documents</a></p><p>{escape(_figures(score))}</p><ul>"
    for line in score.broken:
        yield f"<li>{_judged(f'not as expected: {line}', good=False)}</li>"
    for line in score.held:
        yield f"<li>{_judged(line, good=True)}</li>"
    yield "</ul>"
    conserved = {page.index: page for page in score.conservation}
    pages = {page.index: page for page in score.outcome.pages}
    for index in range(max(len(pictures), *(number + 1 for number in pages), 0)):
        picture = pictures[index] if index < len(pictures) else b""
        yield f'<h2>Page {index + 1}</h2><div class="page"><div>{_picture(picture)}</div><div>'
        if page := pages.get(index):
            yield from _page(page, conserved.get(index))
        yield "</div></div>"
    if document.reference is not None:
        yield "<h2>Differences from the reference</h2>"
        yield "<p><del>only in the reference</del> <ins>only in the result</ins></p>"
        yield rendering.differences(document.reference, joined(score.outcome.pages))


def _page(page: ReadPage, conserved: PageConservation | None) -> Iterator[str]:
    for code in page.warnings:
        yield f"<p>{_judged(f'warning: {code}', good=False)}</p>"
    if conserved is not None and conserved.total:
        kept = f"{100 * conserved.kept:.1f} % of {conserved.total} words"
        missing = f"; missing: {' '.join(conserved.missing)}" if conserved.missing else ""
        yield f"<p>{_judged(kept + missing, good=not conserved.missing)}</p>"
    if page.header:
        yield f'<p class="moved">header: {escape(page.header)}</p>'
    yield rendering.render(page.markdown)
    if page.footer:
        yield f'<p class="moved">footer: {escape(page.footer)}</p>'


def _picture(data: bytes) -> str:
    if not data:
        return "<p>no picture</p>"
    return f'<img alt="" src="data:image/jpeg;base64,{base64.b64encode(data).decode()}">'


def _html(title: str, body: str) -> str:
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{STYLE}</style></head><body><h1>{escape(title)}</h1>{body}</body></html>\n"
    )

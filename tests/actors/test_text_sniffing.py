"""Which texts are of which type, by their beginning, their names and declared types."""

import json
import time

import pytest

from actors.content_types import CSV, HTML, LATEX, MARKDOWN, NAMES, NOTEBOOK, PDF, RTF, TXT
from actors.sniffing import SNIFF_LENGTH, sniff
from actors.text_sniffing import Claim

NOTEBOOK_TEXT = json.dumps({"cells": [], "metadata": {}, "nbformat": 4}).encode()
MAIL = b"Received: by mx\nFrom: a@example.org\nTo: b@example.org\nSubject: Hi\n\nHello"


def found(data: bytes, name: str = "", declared: str | None = None) -> str | None:
    return sniff(data[:SNIFF_LENGTH], data[-SNIFF_LENGTH:], Claim.of(name, declared))


@pytest.mark.parametrize(
    ("data", "content_type"),
    [
        (b"\n<!DOCTYPE html><p>x", HTML),
        (b"\xef\xbb\xbf<!-- saved --> <!-- b --><HTML lang=en>", HTML),
        (b'<?xml version="1.0"?>\n<html xmlns="http://www.w3.org/1999/xhtml">', HTML),
        ("<!doctype html><p>Grüße".encode("utf-16"), HTML),
        ("<!doctype html><meta charset=latin1><p>Grüße".encode("latin-1"), HTML),
        (b"{\\rtf1\\ansi Hello}", RTF),
        (b"{\\rtf1{\\pict\\bin3 \0\1\2}}", RTF),
        (NOTEBOOK_TEXT, NOTEBOOK),
        (b'{"title": "nbformat 4", "cells": "none"}', TXT),
        ("Grüße, 世界".encode(), TXT),
        ("Grüße".encode("utf-16"), TXT),
        (b"The end.\x1a", TXT),
        (b"\x1b[31mred\x1b[0m\n", TXT),
        ("Grüße".encode("latin-1"), None),
        ("Grüße".encode("utf-16-le"), None),
        (b"text\0with a zero byte", None),
        (b"\xff\xfe\x00\xd8\x01\x02\x03\x04", None),
        (b"<svg xmlns='http://www.w3.org/2000/svg'><path/></svg>", None),
        (b"%!PS-Adobe-3.0\n", None),
        (bytes(range(256)), None),
    ],
)
def test_text_without_a_name_is_detected_by_its_beginning(
    data: bytes, content_type: str | None
) -> None:
    assert found(data) == content_type


@pytest.mark.parametrize(
    ("name", "declared", "content_type"),
    [
        ("README.md", None, MARKDOWN),
        ("README.MD", "text/plain", MARKDOWN),
        ("notes", "text/markdown; charset=utf-8", MARKDOWN),
        ("page.html", "application/octet-stream", HTML),
        ("part", "text/html", HTML),
        ("main.py", "text/x-python", TXT),
        ("data.json", "application/json", TXT),
        ("scan.pdf", None, None),
        ("scan", "image/png", None),
        ("scan.pdf", "text/plain", None),
        ("archive", "application/zip", None),
    ],
)
def test_other_text_is_what_its_name_or_its_declared_type_says(
    name: str, declared: str | None, content_type: str | None
) -> None:
    assert found(b"Some *words* of text.\n", name, declared) == content_type


@pytest.mark.parametrize("name", ["a.txt", "a.md", "a.html", "a.tex", "a.csv", "a.eml"])
def test_binary_content_never_becomes_text_by_its_name(name: str) -> None:
    for data in (bytes(range(256)), b"\x89HDF\r\n\x1a\n\0", b"MZ\x90\0\x03\0\0\0", b"\0" * 99):
        assert found(data, name, "text/plain") is None


def test_text_in_an_older_encoding_needs_a_name() -> None:
    text = "Müßiggang, Übermut".encode("cp1252")
    assert found(text) is None
    assert found(text, "a.txt") == found(text, "", "text/plain") == TXT


def test_the_beginning_counts_more_than_the_name() -> None:
    assert found(b"<!doctype html><p>Not found", "paper.md", "text/markdown") == HTML
    assert found(b"%PDF-1.7\nrest", "paper.txt", "text/plain") == PDF


def test_a_text_about_pdf_is_no_pdf() -> None:
    text = b"# Formats\n\nA PDF begins with `%PDF-1.7`.\n"
    assert found(text, "formats.md") == MARKDOWN
    assert found(b"\xff\n" + text, "formats.md") is not None
    assert found(text, "formats.pdf") == PDF


def test_types_without_a_converter_are_not_found() -> None:
    kinds = {found(MAIL, "a.eml"), found(b"a,b\n1,2\n", "a.csv"), found(b"\\documentclass{x}")}
    assert all(kind in NAMES for kind in kinds - {None})


def test_a_cut_character_at_the_end_of_the_head_is_no_damage() -> None:
    text = "x" + "é" * SNIFF_LENGTH
    assert found(text.encode(), "a.md") == MARKDOWN


@pytest.mark.parametrize(
    "piece", [b"<!-- -->", b"<!--", b"<?xml ?>", b"% comment\n", b"\n \t", b"A: b\n", b'{"cells": ']
)
def test_no_beginning_takes_long(piece: bytes) -> None:
    taken = []
    for _ in range(3):  # the fastest is free of what else the process does
        began = time.process_time()
        found((piece * SNIFF_LENGTH)[:SNIFF_LENGTH], "a.txt")
        taken.append(time.process_time() - began)
    assert min(taken) < 1


def test_latex_is_detected_by_its_class_if_it_is_converted() -> None:
    source = b"% a comment\n\\RequirePackage{x}\n\n  \\documentclass[a4paper]{article}\n"
    assert found(source, "paper.txt") == (LATEX if LATEX in NAMES else None)


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_a_name_of_a_text_admits_16_bits_without_a_byte_order_mark(encoding: str) -> None:
    text = "Grüße an alle\r\n"
    assert found(text.encode(encoding), "letter.txt") == TXT
    assert found(text.encode(encoding), "values.csv") == CSV
    assert found(text.encode(encoding), "scan.pdf") is None
    assert found("\1\2\3\4\5".encode(encoding), "letter.txt") is None

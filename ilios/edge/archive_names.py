"""Names of the files in a ZIP archive, most of which do not name their encoding.

A name is in UTF-8 where its entry has the mark, or is repeated in UTF-8 beside it (APPNOTE 4.6.9).
All others of an archive are in one encoding, as one program wrote them: in UTF-8 if all can be,
otherwise in the code page in which they look most like names. Each code page has characters that
names in it consist of; what no name has, as box drawings, counts against it, and so do words of two
scripts or with capitals in the middle. Where nothing looks like names, they are in the code page of
the format, 437.
"""

import re
import struct
import zlib
from collections.abc import Iterator, Sequence
from zipfile import ZipInfo

UTF_8 = 1 << 11
"""Flag of an entry whose name is in UTF-8."""

UNICODE_PATH = 0x7075
FORMAT_PAGE = "cp437"
LEAST_SCORE = 0.35
"""Mean value of a character beyond ASCII, from which on a code page is the one of the names."""

MAX_BYTES = 16 * 1024
"""Bytes of names that are looked at."""

_FREQUENT, _USUAL, _RARE, _FOREIGN, _SYMBOL = 1.1, 1.0, 0.4, -0.5, -2.0
_BREAK = 1.0
"""What a change of script or a capital in the middle of a word costs."""

_CAPITAL = 0.8
"""Share of the value of a letter that a capital has anywhere but at the beginning of a word."""

_MOST_MARKED = 3
"""Letters with marks that follow one another in a word in Latin letters, at most."""

_CYRILLIC = re.compile("[\u0410-\u044fЁё\u0406\u0456ЇїЄєҐґЎў]")
_LATIN = re.compile("[À-ÖØ-öø-\u017e]")
_VALUES = {
    **dict.fromkeys("оеаинтсрвлкмдпу", _USUAL),
    **dict.fromkeys("ъёþðÿýŕůőű№", 0.6),
    **dict.fromkeys("яыьгзбчйхжшюцщэфіїєґў", 0.8),
    **dict.fromkeys(map(chr, range(0x100, 0x180)), 0.85),
}
"""Values of small letters: those that are frequent where they are used tell more. Others: 1."""

_KANA = re.compile("[ぁ-ヺー]")
_WIDE = re.compile("[\u3000-\u303f\uff01-\uff5e]")
_HAN = re.compile("[\u4e00-\u9fff]")
_HANGUL = re.compile("[\uac00-\ud7a3]")
_FREQUENT_HAN = frozenset(
    "的一是在不了有和人这中大为上个国我以要他时来用们生到作地于出就分对成会可主发年动同工也能下过子说产种面而方"
    "后多定行学法所民得经十三之进着等部度家电力里如水化高自二理起小物现实加量都两体制机当使点从业本去把性好应开"
    "报告文件资料合同表图书章版新建项目计划总结公司议记录第号日月照片说明清单数据副目名单位"
    "這個時來們發動過說產種經進電實兩體機當點從業應開報檔資圖書項計劃總結議記錄號單數據會國學長見東語語"
    "北京上海广州台灣張张李王刘陈简历履歴發票发新文件夹图片夾東京大阪见积増"
    "事務所員社長請求書見積契約領収仕様設計仕写真画像会議録報告資料表紙連絡先一覧"
)
_FREQUENT_HANGUL = frozenset(
    "이다는의가에하고지을를한은사기로어아자나리도그시대해인서부일정수제과보스장있전관상주세성원구조비연무동공안"
    "국문화계경통신용현교학생실내선면결물적방법작업최종회록표양식신청계획자료목차첨견적약명단월년호차본판요개발"
    "새폴더파일사진서울이력울견예결산출근급여"
    "운영검토중소중고초안"
)


def names(infos: Sequence[ZipInfo]) -> list[str]:
    """Return the names of entries, in their order."""
    found = [_declared(info) for info in infos]
    raw = [_raw(info) for info, name in zip(infos, found, strict=True) if name is None]
    encoding = _encoding([one for one in raw if not one.isascii()])
    others = iter(raw)
    return [next(others).decode(encoding, "replace") if name is None else name for name in found]


def _raw(info: ZipInfo) -> bytes:
    # As the format has it, zipfile reads other names in this code page.
    return info.orig_filename.partition("\0")[0].encode(FORMAT_PAGE, "replace")


def _declared(info: ZipInfo) -> str | None:
    """Return a name whose encoding is in the archive."""
    if info.flag_bits & UTF_8:
        return info.orig_filename.partition("\0")[0]
    checksum = zlib.crc32(_raw(info))
    for kind, data in _extra_fields(info.extra):
        # Programs that rename an entry without regard to the field leave one of another name.
        current = int.from_bytes(data[1:5], "little") == checksum
        if kind == UNICODE_PATH and current and data[:1] == b"\x01":
            return data[5:].decode(errors="replace").partition("\0")[0]
    return None


def _extra_fields(extra: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        yield kind, extra[at + 4 : at + 4 + length]
        at += 4 + length


def _encoding(raw: list[bytes]) -> str:
    if not raw:
        return FORMAT_PAGE
    joined = b"\n".join(raw)
    sample = joined if len(joined) <= MAX_BYTES else joined[: joined.find(b"\n", MAX_BYTES)]
    scores = {page: _score(sample, page) for page in (FORMAT_PAGE, *_PAGES)}
    best = max(scores, key=lambda page: scores[page])
    # Two frequent characters of Chinese may be a letter of UTF-8, by chance.
    if scores[best] <= _USUAL and _decoded(joined, "utf-8") is not None:
        return "utf-8"
    return best if scores[best] >= LEAST_SCORE else FORMAT_PAGE


def _decoded(data: bytes, encoding: str) -> str | None:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        return None


_PAGES = ("cp850", "cp852", "cp866", "cp1251", "cp1252", "cp1250", "cp932", "gbk", "cp949", "big5")
"""Code pages of systems that write them into archives; of equal ones the first is taken."""

_SINGLE = {"cp866": _CYRILLIC, "cp1251": _CYRILLIC}
"""Those with one byte for each character whose letters are not Latin."""


def _score(sample: bytes, page: str) -> float:
    """Return the mean value of the characters beyond ASCII."""
    text = _decoded(sample, page)
    if text is None:
        return _SYMBOL
    if page in ("cp932", "gbk", "cp949", "big5"):
        wide = [one for one in text if not one.isascii()]
        # A single one may be two letters of another code page.
        return sum(_wide_value(one, page) for one in wide) / max(len(wide), 2)
    return _narrow_score(text, _SINGLE.get(page, _LATIN))


def _wide_value(one: str, page: str) -> float:
    """Return how much a character speaks for an encoding of two bytes for each."""
    if one in (_FREQUENT_HANGUL if page == "cp949" else _FREQUENT_HAN):
        return _FREQUENT
    if page == "cp932" and _KANA.match(one):
        return _FREQUENT
    if page == "cp949":
        return _RARE if _HANGUL.match(one) else _FOREIGN
    if _WIDE.match(one):
        return _RARE
    if not _HAN.match(one):
        return _FOREIGN
    # The first half of each standard has the characters in use, sorted by sound or strokes.
    lead = one.encode(page)[0]
    in_use = {"cp932": (0x88, 0x97), "gbk": (0xB0, 0xD7), "big5": (0xA4, 0xC6)}[page]
    return _RARE if in_use[0] <= lead <= in_use[1] else _FOREIGN


def _narrow_score(text: str, letters: re.Pattern[str]) -> float:
    value, count, marked, before = 0.0, 0, 0, ""
    for one in text:
        beyond = not one.isascii()
        count += beyond
        fits = beyond and bool(letters.match(one))
        marked = marked + 1 if fits else 0
        if beyond:
            value += _narrow_value(one, fits=fits, inside=before.isalpha())
        if letters is _LATIN and marked > _MOST_MARKED:
            value -= _BREAK
        if before.isalpha() and one.isalpha():
            foreign = letters is not _LATIN and before.isascii() != one.isascii()
            capital = before.islower() and one.isupper()
            value -= _BREAK * ((foreign or capital) and (beyond or not before.isascii()))
        before = one
    return value / max(count, 1)


def _narrow_value(one: str, *, fits: bool, inside: bool) -> float:
    if fits or one == "№":
        value = _VALUES.get(one.lower(), _USUAL)
        return value * _CAPITAL if inside and one.isupper() else value
    return _FOREIGN if one.isalpha() else _SYMBOL

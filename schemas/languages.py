"""Language tags: a subset of BCP 47 (language, script, region) in one canonical form."""

import re
from collections.abc import Iterable

MAX_LANGUAGES = 8
MAX_TAGS_LENGTH = 200
"""Characters of the tags as text."""

INVALID_LANGUAGE = (
    'language must be up to 8 language tags of BCP 47, separated by commas, such as "ru" or '
    '"zh-Hans,en"'
)

_TAG = re.compile(r"([a-z]{2,3})(?:-([a-z]{4}))?(?:-([a-z]{2}|[0-9]{3}))?", re.IGNORECASE)

_LANGUAGES = frozenset(
    """
    aa ab ae af ak am an ar as av ay az ba be bg bi bm bn bo br bs ca ce ch co cr cs cu cv cy da
    de dv dz ee el en eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz
    ia id ie ig ii ik io is it iu ja jv ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln
    lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb nd ne ng nl nn no nr nv ny oc oj om or os pa pi
    pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl sm sn so sq sr ss st su sv sw ta te tg th ti
    tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu
    ceb chr ckb cmn fil grc kmr syr yue
    """.split()  # noqa: SIM905  as a list it is five times as long
)
"""Those of ISO 639-1, and some of ISO 639-3."""

_FORMER = {"iw": "he", "in": "id", "ji": "yi", "jw": "jv", "mo": "ro"}
"""Withdrawn tags and those that replace them in the registry of BCP 47."""

_SCRIPTS = frozenset(
    """
    Arab Armn Beng Bopo Cher Cyrl Deva Ethi Geor Grek Gujr Guru Hang Hani Hans Hant Hebr Hira Jpan
    Kana Khmr Knda Kore Laoo Latn Mlym Mong Mymr Orya Sinh Syrc Taml Telu Thaa Thai Tibt
    """.split()  # noqa: SIM905  as a list it is five times as long
)


def canonical_tags(tags: str | Iterable[str]) -> str:
    """Return tags, given as a list or separated by commas, in canonical form and without repeats.

    Their order is that of preference and stays.

    :raises ValueError: one is not a tag of a supported language; the message is for the client.
    """
    listed = tags.split(",") if isinstance(tags, str) else list(tags)
    if not listed or sum(len(tag) + 1 for tag in listed) > MAX_TAGS_LENGTH:
        raise ValueError(INVALID_LANGUAGE)
    canonical = list(dict.fromkeys(_canonical(tag.strip(" ")) for tag in listed))
    if len(canonical) > MAX_LANGUAGES:
        raise ValueError(INVALID_LANGUAGE)
    return ",".join(canonical)


def _canonical(tag: str) -> str:
    match = _TAG.fullmatch(tag)
    if match is None:
        raise ValueError(INVALID_LANGUAGE)
    language, script, region = match.groups()
    language = _FORMER.get(language.lower(), language.lower())
    if language not in _LANGUAGES or (script and script.title() not in _SCRIPTS):
        raise ValueError(f'{INVALID_LANGUAGE}; "{tag}" is none that is known here')
    parts = (language, script and script.title(), region and region.upper())
    return "-".join(part for part in parts if part)

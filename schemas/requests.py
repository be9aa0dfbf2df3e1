"""Contents of requests: fields of forms and queries, and members of JSON bodies.

Each request inherits the members of ``ConversionOptions``, so that a new option is taken by every
operation that submits documents. ``extra`` of a member holds ``expected``, what its value must be,
and ``code`` where the code of its problem is not ``invalid_`` and its name.
"""

from typing import Annotated, Any

import msgspec
from msgspec import Meta
from msgspec.structs import force_setattr

from .batches import MAX_BATCH_DOCUMENTS
from .documents import (
    DEFAULT_PRIORITY,
    DEFAULT_RETENTION_DAYS,
    ContentType,
    FileName,
    Priority,
    RetentionDays,
)
from .labels import (
    MAX_REFERENCE_LENGTH,
    METADATA_EXPECTED,
    Labels,
    Reference,
    check_metadata,
    parse_metadata,
)
from .options import ConversionOptions

MAX_URL_LENGTH = 2048

Boolean = Annotated[
    bool,
    Meta(
        extra={"expected": '"true" or "false"'},
        extra_json_schema={"type": "string", "enum": ["true", "false"], "default": "false"},
    ),
]
"""Yes or no as a text of a form or a query."""

MAX_WAIT = 60
"""Seconds. Proxies give up on an answer after that time, or a little more."""

Wait = Annotated[
    int,
    Meta(
        ge=0,
        le=MAX_WAIT,
        description=f"Seconds to wait for the end at most, up to {MAX_WAIT}. The answer comes "
        "as soon as it has ended, and otherwise with the state at the end of the wait.",
        extra={"expected": f"a whole number of seconds from 0 to {MAX_WAIT}"},
    ),
]
"""How long a client waits for a state that is final."""

MAX_PASSWORD_LENGTH = 255
"""Characters of a password; PDF uses fewer."""

Password = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=MAX_PASSWORD_LENGTH,
        pattern=r"^[^\x00\ud800-\udfff]+\Z",
        extra_json_schema={"pattern": r"^[^\x00]+$", "format": "password", "writeOnly": True},
    ),
]
PasswordMember = Annotated[
    Password | None,
    Meta(
        description="The password that opens a protected PDF. It is stored sealed, until the "
        "document ends; never send it in a query.",
        extra={
            "expected": f"text of 1 to {MAX_PASSWORD_LENGTH} characters",
            "secret": True,
        },
    ),
]
"""A password. It is no option of the conversion: it is in no event, row, log line or hash."""

Url = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=MAX_URL_LENGTH,
        pattern=r"^(?i:https?)://[^\s/?#]+(?:[/?#]\S*)?\Z",
        description="A public http or https address the document is fetched from.",
        extra={"expected": f"an http or https address of at most {MAX_URL_LENGTH} characters"},
        extra_json_schema={
            "pattern": r"^[Hh][Tt][Tt][Pp][Ss]?://[^\s/?#]+([/?#]\S*)?$",
            "format": "uri",
        },
    ),
]
FileNameMember = Annotated[
    FileName,
    Meta(
        description="The name of the document.",
        extra={"expected": "text of 1 to 255 characters"},
    ),
]


ReferenceMember = Annotated[
    Reference | None,
    Meta(
        description="A text of your own, such as a number of an invoice: returned everywhere, and "
        "searched for in lists. It need not be unique.",
        extra={"expected": f"1 to {MAX_REFERENCE_LENGTH} printable characters"},
    ),
]
MetadataMember = Annotated[
    str | dict[str, Any] | None,
    Meta(
        description="A JSON object of your own, returned everywhere as `clientMetadata` and not "
        "interpreted; in a form or a query its JSON as text.",
        extra={"expected": METADATA_EXPECTED},
        extra_json_schema={"examples": ['{"case":17}']},
    ),
]
MAX_DEADLINE_SECONDS = 10 * 365 * 86_400
DEADLINE_EXPECTED = (
    "a time such as 2026-01-15T10:30:00Z, or a whole number of seconds from now, at most ten years"
)
DeadlineMember = Annotated[
    str | float | None,
    Meta(
        description="When the document must be converted at the latest: a time (RFC 3339), or "
        "seconds from now. After it the document fails as `expired` and is not billed.",
        extra={"expected": DEADLINE_EXPECTED},
        extra_json_schema={"examples": ["3600", "2026-01-15T10:30:00Z"]},
    ),
]
SinglePriority = Annotated[
    Priority | None,
    Meta(
        description="10 is the most urgent. Left out, it is 5, and 10 with `/v1/convert`.",
        extra={"expected": "a whole number from 1 to 10"},
    ),
]


class ConversionRequest(ConversionOptions, frozen=True, kw_only=True, rename="camel"):
    """A submission: the options of its conversion, how long the document is stored, its labels."""

    retention_days: Annotated[
        RetentionDays,
        Meta(
            description="How many days the document is stored.",
            extra={"expected": "a whole number from 1 to 3650"},
        ),
    ] = DEFAULT_RETENTION_DAYS
    password: PasswordMember = None
    reference: ReferenceMember = None
    metadata: MetadataMember = None
    deadline: DeadlineMember = None

    def __post_init__(self) -> None:
        """Bring options into their canonical forms, and metadata into an object.

        :raises ValueError: one of them has no such form; the message is for the client.
        """
        super().__post_init__()
        force_setattr(self, "metadata", _as_object(self.metadata))

    def __repr__(self) -> str:
        return f"{type(self).__name__}(***)"

    @property
    def labels(self) -> Labels:
        """The reference and the metadata."""
        return Labels(reference=self.reference, metadata=_as_object(self.metadata))

    @property
    def options(self) -> ConversionOptions:
        """The options alone."""
        names = ConversionOptions.__struct_fields__
        return ConversionOptions(**{name: getattr(self, name) for name in names})


def _as_object(metadata: str | dict[str, Any] | None) -> dict[str, Any] | None:
    """Return metadata, which a form has as text, as an object.

    :raises ValueError: it is none, or out of bounds.
    """
    if isinstance(metadata, str):
        return parse_metadata(metadata)
    check_metadata(metadata)
    return metadata


class SubmitFields(ConversionRequest, frozen=True, kw_only=True, rename="camel"):
    """Fields of a document that is submitted alone."""

    priority: SinglePriority = None


class BatchFields(ConversionRequest, frozen=True, kw_only=True, rename="camel"):
    """Fields of a batch."""

    priority: Annotated[
        Priority,
        Meta(
            description="10 is the most urgent.",
            extra={"expected": "a whole number from 1 to 10"},
        ),
    ] = DEFAULT_PRIORITY
    use_mistral_batch: Annotated[
        Boolean,
        Meta(
            description="`true` has Mistral convert them as one batch of its own, which costs less "
            "and takes longer.",
        ),
    ] = False


class SubmitByUrl(SubmitFields, frozen=True, kw_only=True, rename="camel"):
    """A document that is fetched from a public address and converted."""

    url: Url
    file_name: FileNameMember | None = None


class DocumentAddress(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    """A document of a batch, fetched from a public address."""

    url: Url
    file_name: FileNameMember | None = None
    password: PasswordMember = None
    reference: ReferenceMember = None
    metadata: MetadataMember = None

    def __post_init__(self) -> None:
        """Bring metadata into an object.

        :raises ValueError: it is none, or out of bounds; the message is for the client.
        """
        force_setattr(self, "metadata", _as_object(self.metadata))

    def __repr__(self) -> str:
        return f"{type(self).__name__}(***)"

    @property
    def labels(self) -> Labels:
        """The reference and the metadata."""
        return Labels(reference=self.reference, metadata=_as_object(self.metadata))


class BatchByUrl(BatchFields, frozen=True, kw_only=True, rename="camel"):
    """Documents that are fetched from public addresses and converted together."""

    documents: Annotated[
        list[DocumentAddress],
        Meta(
            min_length=1,
            max_length=MAX_BATCH_DOCUMENTS,
            description="The documents; an address alone stands for an object with it as `url`.",
            extra={"expected": f"a list of 1 to {MAX_BATCH_DOCUMENTS} documents"},
        ),
    ]
    use_mistral_batch: Annotated[
        bool,
        Meta(
            description="Whether Mistral converts them as one batch of its own, which costs less "
            "and takes longer.",
            extra={"expected": "true or false"},
        ),
    ] = False


class UploadWanted(ConversionRequest, frozen=True, kw_only=True, rename="camel"):
    """A file that a client is about to upload; ``fileSize`` is its exact size in bytes.

    The options are those of its conversion; the service chooses what they leave open.
    """

    file_name: FileNameMember
    file_size: Annotated[int, Meta(ge=1, extra={"expected": "a whole number of bytes, 1 or more"})]
    mime_type: Annotated[
        ContentType | None, Meta(extra={"expected": "text of at most 255 characters"})
    ] = None
    priority: SinglePriority = None

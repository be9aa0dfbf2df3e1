"""JSON Schemas of structs, for the descriptions of the interfaces."""

import inspect
import re
from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Struct

_REFERENCE = "#/components/schemas/{name}"
_INLINE_CODE = re.compile("``([^`]+)``")


def reference(name: str) -> dict[str, Any]:
    """Return the schema that refers to the component of this name."""
    return {"$ref": _REFERENCE.format(name=name)}


def plain(described: Any) -> Any:  # noqa: ANN401  # JSON
    """Return schemas as their readers see them, with patterns of JavaScript."""
    return msgspec.json.decode(msgspec.json.encode(described).replace(b"\\\\Z", b"$"))


def components(structs: Iterable[type[Struct]]) -> dict[str, Any]:
    """Return the schemas of these structs and of all they are made of."""
    _, described = msgspec.json.schema_components(structs, ref_template=_REFERENCE)
    # As JSON: the default of a tuple is an empty array.
    found: dict[str, Any] = plain(described)
    classes = {kind.__name__: kind for kind in _referenced_structs(structs)}
    for name, schema in found.items():
        kind = classes[name]
        if "description" in schema:
            schema["description"] = _as_markdown(schema["description"], kind)
        if kind.__struct_config__.omit_defaults:
            # What is null is left out, so nobody ever reads it.
            schema["properties"] = {
                member: _without_null(described)
                for member, described in schema["properties"].items()
            }
    return found


def _as_markdown(docstring: str, kind: type[Struct]) -> str:
    """Return a docstring for people who see the members under their names on the wire."""
    names = {member.name: member.encode_name for member in msgspec.structs.fields(kind)}

    def wire_name(code: re.Match[str]) -> str:
        return f"`{names.get(code[1], code[1])}`"

    return _INLINE_CODE.sub(wire_name, inspect.cleandoc(docstring))


def _referenced_structs(structs: Iterable[type[Struct]]) -> set[type[Struct]]:
    found: set[type[Struct]] = set()
    stack: list[Any] = list(msgspec.inspect.multi_type_info(structs))
    while stack:
        match stack.pop():
            case msgspec.inspect.StructType(cls=kind, fields=fields):
                if kind not in found:
                    found.add(kind)
                    stack.extend(field.type for field in fields)
            case msgspec.inspect.UnionType(types=types):
                stack.extend(types)
            case msgspec.inspect.Metadata(type=kind):
                stack.append(kind)
            case (
                msgspec.inspect.ListType(item_type=item)
                | msgspec.inspect.VarTupleType(item_type=item)
            ):
                stack.append(item)
            case _:
                pass
    return found


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    if "default" not in schema or schema["default"] is not None:
        return schema
    rest = {key: value for key, value in schema.items() if key not in ("anyOf", "default")}
    kinds = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
    return rest | (kinds[0] if len(kinds) == 1 else {"anyOf": kinds})

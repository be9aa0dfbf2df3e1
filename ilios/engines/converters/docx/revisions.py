"""Tracked changes: what is shown of them, and the document before or after them."""

from ilios.engines.converters.docx.wordml import OFF, W14, Element, W, local_name
from schemas.options import TrackedChanges

CHECKED = "checked"
"""The attribute of a run that stands for a check box; written by ``mark_checkboxes``."""

_INSERTED = frozenset({"ins", "moveTo", "cellIns"})
_DELETED = frozenset({"del", "moveFrom", "cellDel"})


def is_dropped(change: Element, changes: TrackedChanges) -> bool:
    """Whether an insertion or deletion is not shown."""
    name = local_name(change)
    return (changes == "final" and name in _DELETED) or (
        changes == "original" and name in _INSERTED
    )


def has_dropped_mark(properties: Element, changes: TrackedChanges) -> bool:
    """Whether properties are of a paragraph mark, a row or a cell that is not shown.

    Without its mark, a paragraph goes on in the next one.
    """
    return properties is not None and any(is_dropped(child, changes) for child in properties)


def marks(change: Element, changes: TrackedChanges) -> tuple[str, str]:
    """Return what stands around a change where all are shown."""
    if changes != "all":
        return "", ""
    name = "ins" if local_name(change) in _INSERTED else "del"
    return f"<{name}>", f"</{name}>"


def mark_checkboxes(root: Element) -> None:
    """Mark the first run of each content control that is a check box with its state."""
    for box in root.iter(f"{W14}checkbox"):
        control = next((one for one in box.iterancestors(f"{W}sdt")), None)
        content = None if control is None else control.find(f"{W}sdtContent")
        run = None if content is None else next(content.iter(f"{W}r"), None)
        if run is not None:
            state = box.find(f"{W14}checked")
            ticked = state is not None and state.get(f"{W14}val", "1") not in OFF
            run.set(CHECKED, "1" if ticked else "0")

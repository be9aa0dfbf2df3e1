"""An upload passes few files from its handler to the published event, and they form no circle."""

import ast
import sys
from collections.abc import Callable
from graphlib import TopologicalSorter
from pathlib import Path
from types import FrameType

import ilios
from ilios.edge import documents
from tests.ilios.edge.test_submit import form_data
from tests.ilios.edge.world import PDF, World

ROOT = Path(ilios.__file__).parents[1]
MAX_FILES = 8


class Trace:
    """Records the files of the edge that are entered below a function, until another is called."""

    def __init__(self, first: Callable[..., object], last: str) -> None:
        self._first = first.__code__
        self._last = last
        self.files: list[str] = []
        self.complete = False

    def __call__(self, frame: FrameType, event: str, _argument: object) -> None:
        path = Path(frame.f_code.co_filename)
        if event != "call" or self.complete or not path.is_relative_to(ROOT / "ilios" / "edge"):
            self.complete = self.complete or (
                event == "call" and frame.f_code.co_name == self._last and self._is_below(frame)
            )
            return
        name = path.relative_to(ROOT).as_posix()
        if name not in self.files and self._is_below(frame):
            self.files.append(name)

    def _is_below(self, frame: FrameType | None) -> bool:
        while frame is not None:
            if frame.f_code is self._first:
                return True
            frame = frame.f_back
        return False


def imports(name: str) -> set[str]:
    """Return the files of the edge that a file of the edge imports."""
    found = set()
    for node in ast.walk(ast.parse((ROOT / name).read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ilios.edge"):
            module = (node.module or "").replace(".", "/")
            found |= {f"{module}.py", *(f"{module}/{one.name}.py" for one in node.names)}
    return found


async def test_an_upload_passes_at_most_eight_files(world: World) -> None:
    client = await world.serve()
    trace = Trace(documents.submit.handler, "publish")
    sys.setprofile(trace)
    try:
        async with client.post("/api/documents/submit", data=form_data(PDF, "a.pdf")) as answer:
            assert answer.status == 202
    finally:
        sys.setprofile(None)
    print(trace.files)
    assert trace.complete
    assert trace.files[0] == "ilios/edge/documents.py"
    assert "ilios/edge/multipart.py" in trace.files
    assert len(trace.files) <= MAX_FILES, " ".join(trace.files)
    graph = {name: imports(name) & {*trace.files} for name in trace.files}
    TopologicalSorter(graph).prepare()

"""Storing what is known of the pages of a document besides their Markdown, and their images."""

from collections.abc import Sequence

from msgspec import structs

from actors.engines import Conversion, SourceFile
from actors.ports import Blobs
from ilios.engines.page_images import image_ending, image_name, image_path, resolve_links
from ilios.engines.page_limits import IMAGES_LEFT_OUT, MAX_IMAGE_BYTES, MAX_IMAGES
from ilios.engines.pages import ConvertedPage
from ilios.engines.results import CacheKey, EngineResult, ResultCache
from schemas.quality import measure, warnings_of
from schemas.results import PageResult
from schemas.warnings import page_warning

ENGINE = "local"


class PageStore:
    """The report and the images of the pages of one document; without ``blobs`` it stores neither.

    Images are stored as pages are added, so that every stored page has its images. The report is
    stored once, under a key of its own for each attempt.
    """

    def __init__(self, blobs: Blobs | None, document: SourceFile) -> None:
        self._document = document
        self._cache = None
        if blobs is not None and document.document_id:
            key = CacheKey.unique(document.tenant, document.document_id)
            self._cache = ResultCache(blobs, key)
        self._names: set[str] = set()
        self._bytes = 0

    async def add(self, pages: Sequence[ConvertedPage]) -> tuple[PageResult, ...]:
        """Store the images of pages; return the pages with links that lead to them."""
        images: dict[str, bytes] = {}
        added = tuple(
            self._add_page(page, images) if page.result.images else page.result for page in pages
        )
        if self._cache is not None and images:
            await self._cache.put_images(images)
        return added

    def recall(self, pages: Sequence[PageResult]) -> None:
        """Count the images of pages that a former attempt has stored."""
        self._names.update(image.name for page in pages for image in page.images if image.name)

    async def finish(self, pages: Sequence[PageResult], model: str, seconds: float) -> Conversion:
        """Store the report on all pages and return the conversion."""
        if self._cache is not None:
            result = EngineResult(tuple(pages), {}, ENGINE, model, len(pages))
            return await self._cache.put(result, seconds)
        measures = [page.measures for page in pages]
        return Conversion(
            pages=tuple(page.markdown for page in pages),
            engine=ENGINE,
            model=model,
            seconds=seconds,
            warnings=warnings_of(measures),
            quality=measure(measures),
        )

    def _add_page(self, page: ConvertedPage, images: dict[str, bytes]) -> PageResult:
        result = page.result
        shown = {image.id: image for image in result.images}
        left_out = False
        for image in result.images if self._cache is not None else ():
            data = page.image_bytes.get(image.id, b"")
            ending = image_ending(data)
            if ending is None:
                continue
            name = image_name(data, ending)
            if self._has_room(name, data):
                images[name] = data
                shown[image.id] = structs.replace(image, name=name)
            else:
                left_out = True
        warnings = result.warnings
        if left_out and all(warning.code != IMAGES_LEFT_OUT for warning in warnings):
            warnings = (*warnings, page_warning(IMAGES_LEFT_OUT))
        return structs.replace(
            result,
            markdown=resolve_links(result.markdown, shown, {}, self._image_url),
            images=tuple(shown.values()),
            warnings=warnings,
        )

    def _has_room(self, name: str, data: bytes) -> bool:
        """Whether an image fits in what is stored of one document, whose ranges come one by one."""
        if name in self._names:
            return True
        if len(self._names) >= MAX_IMAGES or self._bytes + len(data) > MAX_IMAGE_BYTES:
            return False
        self._names.add(name)
        self._bytes += len(data)
        return True

    def _image_url(self, name: str) -> str:
        return image_path(self._document.document_id, name)

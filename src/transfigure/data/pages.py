"""Pages as images: each page of a file a picture of its own, alone or with its neighbours in a volume. Counted by headers alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from ..errors import Missing, UserError
from ..wording import counted
from . import images
from .file_facts import PageUse
from .pairs import Collection, FilePicture, Picture, Record, Single

GroupOf = Callable[[str], str | None]
"""The group that a name belongs to by a recipe, if it belongs to one."""


@dataclass(frozen=True)
class PageReading:
    """What becomes of the pages of files.

    Attributes:
        use: what they are.
        neighbours: for ``depth``, how many slices on each side are further channels of a source.
    """

    use: PageUse = "ask"
    neighbours: int = 1

    @property
    def are_pictures(self) -> bool:
        """Whether each page is a picture of its own."""
        return self.use in ("images", "depth")

    def page(self, picture: FilePicture, page: int, count: int, source: bool) -> FilePicture:
        """One page of a picture of so many.

        Args:
            picture: all of it.
            page: which, from 0.
            count: how many there are.
            source: it is what is translated, so that a slice brings its neighbours; at the ends the last one is repeated.
        """
        around = self.neighbours if self.use == "depth" and source else 0
        return replace(picture, pages=tuple(min(max(at, 0), count - 1) for at in range(page - around, page + around + 1)))

    def pages(self, picture: FilePicture, source: bool) -> list[FilePicture]:
        """Every page of a picture; the picture alone where its file cannot be read, so that this is said when it is."""
        count = page_count(picture)
        if count is None or (count == 1 and self.use == "images"):
            return [replace(picture, pages="channels") if count == 1 else picture]
        return [self.page(picture, page, count, source) for page in range(count)]


def page_count(picture: FilePicture) -> int | None:
    """How many pages a picture has, by the headers; None where they cannot be read.

    Raises:
        UserError: files that are stacked have different numbers of them.
    """
    try:
        counts = [images.pages_of(path) for path in picture.paths]
    except (UserError, Missing):
        return None
    if len(set(counts)) > 1:
        raise UserError(
            f"{picture.label}: the files of one image have {' and '.join(map(str, sorted(set(counts))))} pages: they must have equally many"
        )
    return counts[0]


def refuse_unsaid(pictures: Iterable[Picture | None], flag: str = "--alpha") -> None:
    """Refuse pictures whose files have several pages, before any is read, where nobody has said what these are.

    Args:
        pictures: a few, such as the first of each side: all of a kind are mostly alike.
        flag: of transparency, whose neighbour is that of pages.

    Raises:
        UserError: one has several, which it does not call channels.
    """
    for picture in pictures:
        if isinstance(picture, FilePicture) and (page_count(picture) or 1) > 1:
            replace(picture, pages="ask").examine("keep", flag)


def by_page(collection: Collection, reading: PageReading, source_is_a: bool, group_of: GroupOf) -> None:
    """Make a record, or a picture of a domain, of each page of those in a data set, in place. Pages of one file stay in one split.

    Args:
        collection: what was found.
        reading: what pages are.
        source_is_a: which side is translated.
        group_of: what a recipe says that a name is a part of; the file itself is the group where it says nothing.

    Raises:
        UserError: the two files of a pair have different numbers of pages.
    """
    if not reading.are_pictures:
        use = reading.use
        if use == "ask":
            some = [record for records in collection.splits.values() for record in records[:1]]
            single = [singles[0] for sides in collection.domains.values() for singles in sides if singles]
            refuse_unsaid([*(side for record in some for side in (record.a, record.b)), *(one.picture for one in single)], "--data.alpha")
        for records in collection.splits.values():
            records[:] = [replace(record, a=_all(record.a, use), b=_all(record.b, use)) for record in records]
        for sides in collection.domains.values():
            for singles in sides:
                singles[:] = [replace(single, picture=_all(single.picture, use)) for single in singles]
        return
    apart: list[str] = []
    for records in collection.splits.values():
        records[:] = [page for record in records for page in _pages_of_record(record, reading, source_is_a, group_of, apart)]
    if apart:
        raise UserError(
            f"{counted(len(apart), 'pair')} of files {'has' if len(apart) == 1 else 'have'} different numbers of pages, such as "
            f"{apart[0]}: with data.pages {reading.use} each page of a source belongs to the same page of its target"
        )
    for sides in collection.domains.values():
        for at, singles in enumerate(sides):
            is_source = (at == 0) == source_is_a
            singles[:] = [page for single in singles for page in _pages_of_single(single, reading, is_source, group_of)]


def _all(picture: Picture, use: PageUse) -> Picture:
    return replace(picture, pages=use) if isinstance(picture, FilePicture) and picture.pages != use else picture


def _pages_of_record(record: Record, reading: PageReading, source_is_a: bool, group_of: GroupOf, apart: list[str]) -> Sequence[Record]:
    if not isinstance(record.a, FilePicture) or not isinstance(record.b, FilePicture):
        return [record]
    a, b = reading.pages(record.a, source_is_a), reading.pages(record.b, not source_is_a)
    if len(a) != len(b):
        apart.append(f"{record.a.label} of {counted(len(a), 'page')} and {record.b.label} of {len(b)}")
        return []
    if len(a) == 1:
        return [replace(record, a=a[0], b=b[0])]
    group = record.group or group_of(record.name) or record.name
    masks = [record.mask] * len(a)
    if record.mask is not None and page_count(record.mask) == len(a):  # else one mask is for all of them
        masks = [replace(record.mask, pages=(page,)) for page in range(len(a))]
    return [replace(record, name=f"{record.name}[{page}]", a=a[page], b=b[page], group=group, mask=masks[page]) for page in range(len(a))]


def _pages_of_single(single: Single, reading: PageReading, source: bool, group_of: GroupOf) -> Sequence[Single]:
    if not isinstance(single.picture, FilePicture):
        return [single]
    pages = reading.pages(single.picture, source)
    if len(pages) == 1:
        return [replace(single, picture=pages[0])]
    group = single.group or group_of(single.name) or single.name
    return [replace(single, name=f"{single.name}[{at}]", picture=page, group=group) for at, page in enumerate(pages)]

"""A reader of BER (X.690, section 8), as far as one CMS structure needs it: low tags, no rest, minimal lengths."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_CONSTRUCTED: Final = 0x20
_HIGH_TAG: Final = 0x1F
_INDEFINITE: Final = 0x80
_END_OF_CONTENTS: Final = b"\x00\x00"
_MAX_LENGTH_BYTES: Final = 2
_MAX_DEPTH: Final = 12


@dataclass(frozen=True)
class Node:
    """An element: its identifier byte, and bytes (primitive) or elements (constructed)."""

    tag: int
    content: bytes | tuple[Node, ...]

    def children(self, tag: int, count: int | None, what: str) -> tuple[Node, ...]:
        """The elements in this one. Raises ValueError when it is not such an element of `count` others."""
        if self.tag != tag or not isinstance(self.content, tuple) or count not in (None, len(self.content)):
            raise ValueError(
                f"{what} is not an element {tag:#04x} of {'any' if count is None else count} others: {self._shown()}"
            )
        return self.content

    def octets(self, tag: int, what: str) -> bytes:
        """The bytes of this element. Raises ValueError when it is another one, or empty."""
        if self.tag != tag or not isinstance(self.content, bytes) or not self.content:
            raise ValueError(f"{what} is not an element {tag:#04x} that is not empty: {self._shown()} came")
        return self.content

    def _shown(self) -> str:
        return f"{self.tag:#04x} with {len(self.content)} {'bytes' if isinstance(self.content, bytes) else 'elements'}"


def read(data: bytes) -> Node:
    """The one element that `data` is. Raises ValueError for anything else."""
    node, end = _element(data, 0, _MAX_DEPTH)
    if end != len(data):
        raise ValueError(f"{len(data) - end} bytes follow the end")
    return node


def _element(data: bytes, start: int, depth: int) -> tuple[Node, int]:
    """The element at `start`, and where it ends."""
    if depth == 0:
        raise ValueError(f"elements are nested deeper than {_MAX_DEPTH}")
    tag = _byte(data, start)
    if tag & _HIGH_TAG == _HIGH_TAG or tag == 0:
        raise ValueError(f"the tag {tag:#04x} has no place here")
    length, content = _length(data, start + 1)
    if length is None:
        if not tag & _CONSTRUCTED:
            raise ValueError("a primitive element has an indefinite length")
        children, end = _children_to_mark(data, content, depth)
        return Node(tag, children), end
    end = content + length
    if end > len(data):
        raise ValueError("it ends in the middle of an element")
    if tag & _CONSTRUCTED:
        return Node(tag, _children_to(data, content, end, depth)), end
    return Node(tag, data[content:end]), end


def _length(data: bytes, start: int) -> tuple[int | None, int]:
    """A length (None: indefinite), and where the content begins."""
    first = _byte(data, start)
    if first == _INDEFINITE:
        return None, start + 1
    if first < _INDEFINITE:
        return first, start + 1
    count = first - _INDEFINITE
    digits = data[start + 1 : start + 1 + count]
    length = int.from_bytes(digits)
    minimal = 1 if length < 0x100 else 2
    if count > _MAX_LENGTH_BYTES or len(digits) != count or count != minimal or length < _INDEFINITE:
        raise ValueError("a length is too large, or not in its shortest form")
    return length, start + 1 + count


def _children_to(data: bytes, start: int, end: int, depth: int) -> tuple[Node, ...]:
    children: list[Node] = []
    while start < end:
        child, start = _element(data[:end], start, depth - 1)
        children.append(child)
    return tuple(children)


def _children_to_mark(data: bytes, start: int, depth: int) -> tuple[tuple[Node, ...], int]:
    children: list[Node] = []
    while data[start : start + 2] != _END_OF_CONTENTS:
        child, start = _element(data, start, depth - 1)
        children.append(child)
    return tuple(children), start + 2


def _byte(data: bytes, at: int) -> int:
    if at >= len(data):
        raise ValueError("it ends in the middle of an element")
    return data[at]

"""What ECS tells a container of its image is taken if it is a digest; whatever else comes, training goes on without."""

from __future__ import annotations

import json

import pytest

from mnist_tasks.training.image import image_digest
from tests.ecs_metadata import DIGEST, METADATA, metadata


def test_the_image_is_the_one_that_ecs_tells() -> None:
    with metadata(json.dumps(METADATA).encode()) as environment:
        assert image_digest(environment) == DIGEST


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 200),
        (b"{", 200),
        (b"[" * 100_000, 200),
        (b"[]", 200),
        (b"{}", 200),
        (b"\xff\xfe", 200),
        (json.dumps(METADATA | {"ImageID": ""}).encode(), 200),
        (json.dumps(METADATA | {"ImageID": 7}).encode(), 200),
        (json.dumps(METADATA | {"ImageID": f"{DIGEST}\n"}).encode(), 200),
        (json.dumps(METADATA).encode(), 404),
    ],
)
def test_anything_else_is_no_image(body: bytes, status: int) -> None:
    with metadata(body, status) as environment:
        assert image_digest(environment) is None


def test_where_nobody_tells_it_is_not_known(closed_port: int, tmp_path: object) -> None:
    for url in (f"http://127.0.0.1:{closed_port}/", f"file://{tmp_path}", "http://", "http://[", ""):
        assert image_digest({"ECS_CONTAINER_METADATA_URI_V4": url}) is None
    assert image_digest({}) is None

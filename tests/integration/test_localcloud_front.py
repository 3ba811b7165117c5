"""What the front hands on arrives as it was sent, whatever way HTTP has of sending it."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import io
import json
import os
import socket
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

import localcloud
from tests.ecs_tasks import poll
from tests.signed import signed

TARGET = "AmazonEC2ContainerServiceV20141113."
MEGABYTE = 1 << 20

# `sign("s3", "PUT", "/bucket/key")`: the headers of such a request.
Sign = Callable[..., dict[str, str]]


@pytest.fixture
def bucket(aws: Callable[[str], Any]) -> str:
    name = f"front-{uuid.uuid4().hex}"
    aws("s3").create_bucket(Bucket=name)
    return name


@pytest.fixture
def address(cloud: localcloud.Cloud) -> tuple[str, int]:
    host, _, port = cloud.environment["AWS_ENDPOINT_URL"].rpartition("/")[2].partition(":")
    return host, int(port)


@pytest.fixture
def sign(cloud: localcloud.Cloud) -> Sign:
    return partial(signed, cloud)


def head(line: str, address: tuple[str, int], headers: Mapping[str, str]) -> bytes:
    """A request's head as it travels."""
    host, port = address
    lines = [f"{line} HTTP/1.1", f"Host: {host}:{port}", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode()


@pytest.fixture
def connection(address: tuple[str, int]) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection(*address, timeout=20)
    yield connection
    connection.close()


def test_bodies_of_every_size_arrive_whole_both_ways(aws: Callable[[str], Any], bucket: str) -> None:
    s3 = aws("s3")
    for size in (0, 1, 65_535, 65_536, MEGABYTE + 1, 20 * MEGABYTE):
        body = os.urandom(size)
        s3.put_object(Bucket=bucket, Key="k", Body=body)

        got = s3.get_object(Bucket=bucket, Key="k")

        assert got["ContentLength"] == size
        assert got["Body"].read() == body
        assert s3.head_object(Bucket=bucket, Key="k")["ContentLength"] == size


def test_a_stream_without_a_known_length_of_its_parts_arrives_whole(aws: Callable[[str], Any], bucket: str) -> None:
    body = os.urandom(3 * MEGABYTE)

    # A file object with a trailing checksum travels as aws-chunked.
    aws("s3").put_object(Bucket=bucket, Key="k", Body=io.BytesIO(body), ChecksumAlgorithm="CRC32")
    aws("s3").upload_fileobj(io.BytesIO(body * 4), bucket, "parts")

    assert aws("s3").get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")["Body"].read() == body
    assert aws("s3").get_object(Bucket=bucket, Key="parts")["Body"].read() == body * 4


def test_chunked_transfer_encoding_arrives_whole_and_the_connection_goes_on(
    connection: http.client.HTTPConnection, bucket: str, sign: Sign
) -> None:
    pieces = [os.urandom(size) for size in (1, 100_000, 7)]

    chunked = {**sign("s3", "PUT", f"/{bucket}/k"), "Transfer-Encoding": "chunked"}
    connection.request("PUT", f"/{bucket}/k", body=iter(pieces), headers=chunked, encode_chunked=True)
    assert connection.getresponse().read() is not None
    first = connection.sock
    connection.request("GET", f"/{bucket}/k", headers=sign("s3", "GET", f"/{bucket}/k"))

    assert connection.getresponse().read() == b"".join(pieces)
    assert connection.sock is first


def test_a_client_that_expects_100_continue_gets_it_before_it_sends_the_body(
    address: tuple[str, int], bucket: str, sign: Sign
) -> None:
    requests = (
        (f"PUT /{bucket}/k", sign("s3", "PUT", f"/{bucket}/k")),
        ("POST /", sign("ecs", "POST", "/", {"X-Amz-Target": f"{TARGET}DescribeTasks"})),
    )
    for line, headers in requests:
        with socket.create_connection(address, timeout=20) as client:
            client.sendall(head(line, address, {**headers, "Content-Length": "2", "Expect": "100-continue"}))
            assert client.recv(1000).startswith(b"HTTP/1.1 100")
            client.sendall(b"{}")
            assert client.recv(1000).startswith(b"HTTP/1.1 200")


def test_conditions_and_ranges_reach_the_emulator(aws: Callable[[str], Any], bucket: str) -> None:
    s3 = aws("s3")
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"0123456789", IfNoneMatch="*")["ETag"]

    with pytest.raises(ClientError, match="PreconditionFailed"):
        s3.put_object(Bucket=bucket, Key="k", Body=b"other", IfNoneMatch="*")
    with pytest.raises(ClientError, match="304"):
        s3.get_object(Bucket=bucket, Key="k", IfNoneMatch=etag)
    assert s3.get_object(Bucket=bucket, Key="k", Range="bytes=2-4")["Body"].read() == b"234"


def test_one_connection_serves_requests_of_both_kinds_in_turn(
    connection: http.client.HTTPConnection, bucket: str, sign: Sign
) -> None:
    target = {"X-Amz-Target": f"{TARGET}ListTasks", "Content-Type": "application/x-amz-json-1.1"}
    ecs = sign("ecs", "POST", "/", target)
    connection.connect()
    used = connection.sock
    for number in range(5):
        path = f"/{bucket}/{number}"
        connection.request("PUT", path, body=b"x" * number, headers=sign("s3", "PUT", path))
        assert connection.getresponse().read() is not None
        connection.request("POST", "/", body=b'{"cluster": "mnist"}', headers=ecs)
        assert "taskArns" in json.loads(connection.getresponse().read())
        connection.request("HEAD", path, headers=sign("s3", "HEAD", path))
        answer = connection.getresponse()
        assert (answer.status, answer.getheader("Content-Length"), answer.read()) == (200, str(number), b"")
    assert connection.sock is used


def test_many_clients_at_once_get_each_their_own(aws: Callable[[str], Any], bucket: str) -> None:
    def there_and_back(number: int) -> bool:
        body = hashlib.sha256(str(number).encode()).digest() * (1 + number * 997 % 20_000)
        client = aws("s3") if number % 4 == 0 else shared
        client.put_object(Bucket=bucket, Key=str(number), Body=body)
        return bool(client.get_object(Bucket=bucket, Key=str(number))["Body"].read() == body)

    shared = aws("s3")
    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(there_and_back, range(200)))


def test_a_client_that_goes_away_in_the_middle_does_no_harm(
    aws: Callable[[str], Any], address: tuple[str, int], bucket: str
) -> None:
    aws("s3").put_object(Bucket=bucket, Key="large", Body=os.urandom(20 * MEGABYTE))
    halves = [
        f"PUT /{bucket}/half HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nhalf",
        f"GET /{bucket}/large HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET / HT",
        f"POST / HTTP/1.1\r\nX-Amz-Target: {TARGET}RunTask\r\nContent-Length: 100\r\n\r\n{{",
    ]
    for half in halves * 5:
        with socket.create_connection(address, timeout=20) as client:
            client.sendall(half.encode())

    assert [item["Key"] for item in aws("s3").list_objects_v2(Bucket=bucket)["Contents"]] == ["large"]


def test_a_closed_connection_leaves_no_thread_and_no_open_file(
    aws: Callable[[str], Any], cloud: localcloud.Cloud, bucket: str
) -> None:
    pid = json.loads((cloud.home / "state.json").read_text())["supervisor"]["pid"]

    def held() -> list[int]:
        return [len(list(Path(f"/proc/{pid}/{kind}").iterdir())) for kind in ("task", "fd")]

    before = held()
    for _ in range(20):
        client = aws("s3")
        client.head_bucket(Bucket=bucket)
        client.close()

    poll(held, lambda now: all(count < 10 + old for count, old in zip(now, before, strict=True)))


def test_a_client_that_closes_its_sending_side_still_gets_an_answer_of_the_fronts(
    address: tuple[str, int], sign: Sign
) -> None:
    headers = sign("ecs", "POST", "/", {"X-Amz-Target": f"{TARGET}ListTasks"})
    with socket.create_connection(address, timeout=20) as client:
        client.sendall(head("POST /", address, {**headers, "Content-Length": "20"}) + b'{"cluster": "mnist"}')
        client.shutdown(socket.SHUT_WR)

        assert b'"taskArns"' in client.makefile("rb").read()


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"A: " + b"x" * 100_000 + b"\r\n\r\n",
        b"PUT / HTTP/1.1\r\nContent-Length: many\r\n\r\n",
        b"PUT / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nmany\r\n",
    ],
    ids=["tls", "half a line", "endless", "no length", "negative length", "no chunk size"],
)
def test_what_is_not_http_closes_the_connection(address: tuple[str, int], garbage: bytes) -> None:
    with socket.create_connection(address, timeout=20) as client:
        client.sendall(garbage)
        # A reset is the kernel's way to say that something that was sent is not read.
        with contextlib.suppress(ConnectionResetError):
            assert client.recv(1000) == b""


@pytest.mark.parametrize("body", [b"{", b"[]", b"\xff"])
def test_a_body_that_is_no_json_object_is_an_error_and_the_connection_goes_on(
    connection: http.client.HTTPConnection, body: bytes
) -> None:
    for _ in range(2):
        connection.request("POST", "/", body=body, headers={"X-Amz-Target": f"{TARGET}RunTask"})
        answer = connection.getresponse()
        assert answer.status == 400
        assert json.loads(answer.read())["__type"] == "SerializationException"

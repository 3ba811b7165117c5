"""The few S3 operations that the rest needs, each atomic, with errors that say what to do.

S3 puts are atomic for one object: readers see the old or the new content, never a part. What takes several objects is
committed by writing its manifest last. Conditional writes (`If-None-Match`, `If-Match`) decide between writers:
https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, ParamValidationError

from mnist_tasks.config import MOST_BYTES, Frozen
from mnist_tasks.errors import ConfigurationError, Conflict, IntegrityError, MnistError, NotFoundError, TemporaryError
from mnist_tasks.strictjson import from_json

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

JSON = "application/json"

Content = TypeVar("Content", bound=Frozen)


@dataclass(frozen=True)
class Stored:
    """An object as it was read: its bytes, and the ETag that a compare-and-set needs."""

    key: str
    body: bytes
    etag: str

    def json(self) -> Any:
        """The content parsed as JSON.

        Raises:
            IntegrityError: it is not JSON, or JSON that could be understood in more than one way.
        """
        try:
            return from_json(self.body)
        except ValueError as error:
            raise IntegrityError(
                f"{self.key} is not JSON ({error!s:.120}); it starts with {self.body[:40]!r}",
                mend="restore the object's previous version in S3",
            ) from None


@dataclass(frozen=True)
class Lock:
    """S3's Object Lock, put by put.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock.html
    """

    mode: Literal["GOVERNANCE", "COMPLIANCE"]
    days: int

    def options(self) -> Any:
        """What PutObject has to say."""
        return {"ObjectLockMode": self.mode, "ObjectLockRetainUntilDate": datetime.now(UTC) + timedelta(self.days)}


@dataclass(frozen=True)
class Storage:
    """One bucket, reached through a client that the caller configured (endpoint, credentials, retries).

    With a `lock`, no version of what is written through it can be removed before its time. It may be written over, as
    ever: that makes another version.
    """

    client: S3Client
    bucket: str
    lock: Lock | None = None

    def uri(self, key: str) -> str:
        """`s3://bucket/key`, for people."""
        return f"s3://{self.bucket}/{key}"

    def get(self, key: str) -> Stored:
        """Read a whole object.

        Raises:
            NotFoundError: there is no such object or bucket.
            IntegrityError: it is larger than anything of ours.
        """
        with self._explained(key):
            answer = self.client.get_object(Bucket=self.bucket, Key=key)
            if answer["ContentLength"] > MOST_BYTES:
                raise IntegrityError(
                    f"{self.uri(key)} has {answer['ContentLength']:,} bytes, expected at most {MOST_BYTES:,}",
                    mend="nothing of this project is that large: restore the object's previous version in S3",
                )
            return Stored(key, answer["Body"].read(), answer["ETag"])

    def find(self, key: str) -> Stored | None:
        """Read a whole object, or None where there is none (a missing bucket is an error all the same)."""
        try:
            return self.get(key)
        except NotFoundError as error:
            if isinstance(error, _NoSuchBucketError):
                raise
            return None

    def get_verified(self, key: str, sha256: str) -> bytes:
        """Read an object whose content is known by its hash.

        Raises:
            IntegrityError: the content has another SHA-256.
            NotFoundError: there is no such object.
        """
        body = self.get(key).body
        actual = hashlib.sha256(body).hexdigest()
        if actual != sha256:
            raise IntegrityError(
                f"{self.uri(key)} has SHA-256 {actual}, expected {sha256} ({len(body):,} bytes)",
                mend="it was changed: restore its previous version, or leave what it belongs to out",
            )
        return body

    def put(self, key: str, body: bytes, *, content_type: str = JSON, tags: str = "") -> None:
        """Write an object, whole or not at all. S3 checks the bytes against the checksum that travels with them.

        No server-side encryption is asked for: then S3 applies the bucket's own, under the bucket's own key. To ask for
        `aws:kms` without naming a key would mean another one, that of AWS. A bucket policy has to allow for requests
        that do not ask (`StringNotEquals` with `Null: "false"`).

        `tags` are those of S3 (`"stage=candidate"`); the bucket's lifecycle goes by them.
        """
        self._put(key, body, content_type, {"Tagging": tags} if tags else {})

    def put_if_absent(self, key: str, body: bytes, *, content_type: str = JSON, tags: str = "") -> bool:
        """Claim a key: True if the object now holds exactly `body`, False if somebody else's content was there first.

        A lost answer makes the client try again and find its own object: the content tells that from a lost race.

        Raises:
            Conflict: somebody else is writing it now, and nothing is there yet (S3's 409).
        """
        options = {"Tagging": tags} if tags else {}
        try:
            self._put(key, body, content_type, {**options, "IfNoneMatch": "*"})
        except Conflict:
            found = self.find(key)
            if found is None:
                raise
            return found.body == body
        return True

    def replace(self, key: str, body: bytes, *, etag: str | None, content_type: str = JSON, tags: str = "") -> None:
        """Compare-and-set: write only if the object still has this ETag (None: only if there is none).

        Raises:
            Conflict: it changed since it was read (and does not hold `body` already).
        """
        options = {"Tagging": tags} if tags else {}
        try:
            condition = {"IfMatch": etag} if etag else {"IfNoneMatch": "*"}
            self._put(key, body, content_type, {**options, **condition})
        except (Conflict, NotFoundError):
            found = self.find(key)
            if found is None or found.body != body:
                raise

    def _put(self, key: str, body: bytes, content_type: str, options: Any) -> None:
        with self._explained(key):
            self.client.put_object(
                Bucket=self.bucket,
                Key=key,
                Body=body,
                ContentType=content_type,
                ChecksumAlgorithm="SHA256",  # S3 wants one of whoever asks for a lock
                **(self.lock.options() if self.lock else {}),
                **options,
            )

    def delete(self, key: str) -> None:
        """Remove an object; that there is none is no error. In a bucket with versions it can still be restored."""
        with self._explained(key):
            self.client.delete_object(Bucket=self.bucket, Key=key)

    def exists(self, key: str) -> bool:
        """Whether the object is there."""
        try:
            with self._explained(key):
                self.client.head_object(Bucket=self.bucket, Key=key)
        except NotFoundError as error:
            # HEAD answers 404 without a code for a missing bucket, too: only then is a second question worth its price.
            self._check_bucket(key, error)
            return False
        return True

    def _check_bucket(self, key: str, cause: NotFoundError) -> None:
        try:
            with self._explained(key):
                self.client.head_bucket(Bucket=self.bucket)
        except NotFoundError:
            raise _no_bucket(self.bucket) from cause

    def keys(self, prefix: str, *, after: str = "", page: int = 1000) -> Iterator[str]:
        """The keys below `prefix` in ascending order, from the first one after `after` on, read as they are asked for.

        For looking around only: what a step relies on is named by a manifest. `page`: how many one request asks for.
        """
        place = {"StartAfter": after} if after else {}
        while True:
            answer = self._list(prefix, MaxKeys=page, **place)
            yield from (entry["Key"] for entry in answer.get("Contents", []))
            if not answer["IsTruncated"]:
                return
            place = {"ContinuationToken": answer["NextContinuationToken"]}

    def folders(self, prefix: str, *, most: int) -> list[str]:
        """Of what begins with `prefix`, the names up to the next slash: the first `most` (1,000 is S3's limit)."""
        answer = self._list(prefix, Delimiter="/", MaxKeys=most)
        return [entry["Prefix"].removesuffix("/") for entry in answer.get("CommonPrefixes", [])]

    def _list(self, prefix: str, **options: Any) -> Any:
        with self._explained(prefix):
            return self.client.list_objects_v2(Bucket=self.bucket, Prefix=prefix, **options)

    @contextmanager
    def _explained(self, key: str) -> Iterator[None]:
        try:
            yield
        except ClientError as error:
            raise self._from_client_error(key, error) from error
        except (NoCredentialsError, ParamValidationError) as error:
            raise ConfigurationError(
                f"S3 cannot be asked for {self.uri(key)}: {error}",
                mend="check the Airflow connection aws_default, or AWS_... in the environment (on a laptop: make up)",
            ) from error
        except (BotoCoreError, OSError) as error:
            endpoint = self.client.meta.endpoint_url
            raise TemporaryError(
                f"S3 did not answer at {endpoint} for {self.uri(key)}: {error}",
                mend="check that the endpoint is right (AWS_ENDPOINT_URL, aws_default) and up (on a laptop: make up)",
            ) from error

    def _from_client_error(self, key: str, error: ClientError) -> MnistError:
        code = error.response.get("Error", {}).get("Code", "")
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        uri = self.uri(key)
        if code == "NoSuchBucket":
            return _no_bucket(self.bucket)
        if code in {"NoSuchKey", "404"}:
            return NotFoundError(f"there is no object {uri}", mend="check the step that has to write it")
        if status in {409, 412}:
            return Conflict(f"{uri} was written by somebody else first", mend="run the step again: it reads afresh")
        if status in {401, 403}:
            return ConfigurationError(
                f"S3 refused access to {uri}: {error}",
                mend="check the credentials of aws_default and the role's policy (infra/mnist.yaml has what is needed)",
            )
        if status >= 500 or status == 429 or code in {"SlowDown", "RequestTimeout", "Throttling"}:
            return TemporaryError(f"S3 could not serve {uri} now: {error}", mend="run the step again later")
        return ConfigurationError(f"S3 refused the request for {uri}: {error}", mend="see the message of S3")


class _NoSuchBucketError(NotFoundError):
    """Told apart inside this module, so that a missing bucket never reads as a missing object."""


def _no_bucket(bucket: str) -> MnistError:
    return _NoSuchBucketError(
        f"there is no bucket {bucket}",
        mend="create it by deploying infra/mnist.yaml (on a laptop: make up), or set MNIST_BUCKET to the one you have",
    )


def to_json(value: Any) -> bytes:
    """Canonical JSON (sorted keys, no NaN, a trailing newline): the same value always gives the same bytes."""
    return (json.dumps(value, sort_keys=True, indent=1, allow_nan=False) + "\n").encode()


def sha256_of(body: bytes) -> str:
    """Hexadecimal SHA-256."""
    return hashlib.sha256(body).hexdigest()


def parse(kind: type[Content], storage: Storage, stored: Stored) -> Content:
    """The value that was stored as JSON, believed only if every field is what `kind` expects.

    Raises:
        IntegrityError: it is not.
    """
    mend = f"restore the previous version of {storage.uri(stored.key)} in S3"
    content = stored.json()
    try:
        return kind.checked(content if isinstance(content, dict) else {"": content}, mend=mend)
    except ConfigurationError as error:
        raise IntegrityError(
            f"{storage.uri(stored.key)} is not what it has to be: {error.problem}", mend=mend
        ) from None

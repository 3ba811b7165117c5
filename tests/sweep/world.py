"""What is in the account, before and after: the bucket with everything in it, the mails, the ECS tasks of a run."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import boto3

import localcloud
from mnist_tasks.encryption import Encryption
from mnist_tasks.storage import sha256_of
from tests.ciphertexts import binding_of, is_ciphertext
from tests.sweep.pipeline import BUCKET


@dataclass(frozen=True)
class Object:
    """An object with all that a reader could notice; `opened` tells what a ciphertext is bound to and holds."""

    body: bytes = field(repr=False)
    etag: str
    content_type: str
    tags: tuple[tuple[str, str], ...]
    opened: str = ""

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.body).hexdigest()


Snapshot = Mapping[str, Object]


class Account:
    """One local account of the sweep's own."""

    def __init__(self, cloud: localcloud.Cloud) -> None:
        self.cloud = cloud
        self._s3, self._ecs, kms = (boto3.client(name, **cloud.client_arguments) for name in ("s3", "ecs", "kms"))
        keys = cloud.environment
        self._encryption = Encryption(kms, keys["MNIST_CHECKPOINT_KEY"], keys["MNIST_FINAL_KEY"])
        self._seen: dict[str, tuple[tuple[str, Any], Object]] = {}
        if BUCKET not in {bucket["Name"] for bucket in self._s3.list_buckets()["Buckets"]}:
            self._s3.create_bucket(Bucket=BUCKET)

    def snapshot(self) -> dict[str, Object]:
        """The bucket as it is now."""
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
        entries = [entry for page in pages for entry in page.get("Contents", [])]
        return {entry["Key"]: self._object(entry) for entry in entries}

    def restore(self, before: Snapshot) -> None:
        """Bring the bucket back to what it was, and forget all mails."""
        now = self.snapshot()
        for key in now.keys() - before.keys():
            self._s3.delete_object(Bucket=BUCKET, Key=key)
        for key, wanted in before.items():
            if now.get(key) != wanted:
                self._put(key, wanted)
        for mail in self._mail_files():
            mail.unlink()

    def mails(self) -> list[bytes]:
        """Every mail since the last `restore`."""
        return [path.read_bytes() for path in self._mail_files()]

    def tasks(self, slug: str) -> list[dict[str, Any]]:
        """The ECS tasks that were ever started for a run, as DescribeTasks shows them."""
        cluster = self.cloud.environment["MNIST_CLUSTER"]
        arns = [
            arn
            for status in ("RUNNING", "STOPPED")
            for page in self._ecs.get_paginator("list_tasks").paginate(cluster=cluster, desiredStatus=status)
            for arn in page["taskArns"]
        ]
        found = []
        for start in range(0, len(arns), 100):
            found += self._ecs.describe_tasks(cluster=cluster, tasks=arns[start : start + 100])["tasks"]
        return [task for task in found if slug in _environment(task).values()]

    def stop(self, tasks: Iterable[Mapping[str, Any]]) -> None:
        """End tasks that nobody waits for."""
        for task in tasks:
            self._ecs.stop_task(cluster=task["clusterArn"], task=task["taskArn"], reason="the sweep tidies up")

    def _object(self, entry: Mapping[str, Any]) -> Object:
        key = entry["Key"]
        written = (entry["ETag"], entry["LastModified"])  # to the millisecond: what was read once is that still
        if key not in self._seen or self._seen[key][0] != written:
            answer = self._s3.get_object(Bucket=BUCKET, Key=key)
            tags = self._s3.get_object_tagging(Bucket=BUCKET, Key=key)["TagSet"]
            pairs = tuple(sorted((tag["Key"], tag["Value"]) for tag in tags))
            body = answer["Body"].read()
            opened = self._opened(body) if is_ciphertext(key) else ""
            self._seen[key] = written, Object(body, entry["ETag"], answer["ContentType"], pairs, opened)
        return self._seen[key][1]

    def _opened(self, body: bytes) -> str:
        binding = binding_of(body)
        return f"{binding} holds {sha256_of(self._encryption.decrypt(body, binding))}"

    def _put(self, key: str, wanted: Object) -> None:
        tagging = "&".join(f"{name}={value}" for name, value in wanted.tags)
        options = {"Tagging": tagging} if tagging else {}
        self._s3.put_object(Bucket=BUCKET, Key=key, Body=wanted.body, ContentType=wanted.content_type, **options)

    def _mail_files(self) -> list[Path]:
        return sorted(self.cloud.maildir.glob("new/*"), key=lambda path: path.stat().st_mtime_ns)


def _environment(task: Mapping[str, Any]) -> dict[str, str]:
    containers = task.get("overrides", {}).get("containerOverrides", [])
    return {entry["name"]: entry["value"] for container in containers for entry in container.get("environment", [])}


def settled(account: Account, slug: str, seconds: float = 120.0) -> list[dict[str, Any]]:
    """The run's tasks, once all have ended or the time is up.

    A step may succeed as soon as its checkpoint is committed, a moment before the container's process ends. A second
    task that somebody started needs longer, or shows by having ended as well.
    """
    deadline = time.monotonic() + seconds
    while True:
        tasks = account.tasks(slug)
        if all(task["lastStatus"] == "STOPPED" for task in tasks) or time.monotonic() > deadline:
            return tasks
        time.sleep(0.05)

"""A downloaded bucket: what `aws s3 sync s3://BUCKET FOLDER` leaves, read as if it were the bucket.

For whoever verifies without AWS. Nothing is ever written there.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mnist_tasks.errors import ConfigurationError, NotFoundError
from mnist_tasks.storage import Storage, Stored


@dataclass(frozen=True)
class Folder(Storage):
    """Reading as `Storage` does it; what would write has no client to do it with."""

    client: Any = field(default=None, init=False)
    bucket: str = ""

    @classmethod
    def at(cls, path: Path) -> Folder:
        """The folder at `path`.

        Raises:
            ConfigurationError: there is none.
        """
        if not path.is_dir():
            raise ConfigurationError(
                f"there is no folder {path}", mend="download the bucket first: aws s3 sync s3://BUCKET FOLDER"
            )
        return cls(bucket=str(path.resolve()))

    def uri(self, key: str) -> str:
        """The file's path."""
        return str(Path(self.bucket) / key)

    def get(self, key: str) -> Stored:
        """Read a whole file.

        Raises:
            NotFoundError: there is no such file.
            ConfigurationError: it cannot be read.
        """
        try:
            return Stored(key, Path(self.uri(key)).read_bytes(), etag="")
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raise NotFoundError(f"there is no file {self.uri(key)}", mend="download it as well") from None
        except OSError as error:
            raise ConfigurationError(
                f"{self.uri(key)} cannot be read: {error.strerror}", mend="check the file's permissions"
            ) from error

    def exists(self, key: str) -> bool:
        """Whether the file is there."""
        return Path(self.uri(key)).is_file()

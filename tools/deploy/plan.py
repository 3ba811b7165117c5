"""A deployment that is only told: it asks AWS nothing, and needs no credentials."""

from __future__ import annotations

from collections.abc import Mapping


class Plan:
    """Prints what would be done; what only AWS knows stands between angle brackets."""

    def stack(self, name: str, template: str, parameters: Mapping[str, str]) -> Mapping[str, str]:
        """Print it."""
        given = "".join(f"\n    {key}={value}" for key, value in parameters.items() if value)
        print(f"stack {name} from {template}{given}")
        return _AnyOutput(name)

    def push(self, repository: str, image: str, tag: str) -> str:
        """Print it."""
        print(f"image {image} as {repository}:{tag}")
        return f"{repository}@<digest of {image}>"

    def public_key(self, key: str) -> bytes:
        """Print it."""
        print(f"public key of {key}")
        return b""


class _AnyOutput(dict[str, str]):
    """The outputs of a stack that is not there yet."""

    def __init__(self, stack: str) -> None:
        super().__init__()
        self._stack = stack

    def __missing__(self, output: str) -> str:
        return f"<{output} of {self._stack}>"

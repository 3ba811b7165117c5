"""A deployment that is only told: it asks AWS nothing, and needs no credentials."""

from __future__ import annotations

from collections.abc import Mapping


class Plan:
    """Prints what would be done; what only AWS knows stands between angle brackets."""

    def __init__(self) -> None:
        self._stacks: dict[str, Mapping[str, str]] = {}

    def service_role(self, service: str) -> None:
        """Print it."""
        print(f"service-linked role of {service}")

    def parameters(self, name: str) -> Mapping[str, str] | None:
        """As if nothing was there before."""
        return self._stacks.get(name)

    def stack(self, name: str, template: str, parameters: Mapping[str, str]) -> Mapping[str, str]:
        """Print it."""
        given = "".join(f"\n    {key}={value}" for key, value in parameters.items() if value)
        print(f"stack {name} from {template}{given}")
        self._stacks[name] = parameters
        return _AnyOutput(name)

    def push(self, repository: str, image: str, tag: str) -> str:
        """Print it."""
        print(f"image {image} as {repository}:{tag}")
        return f"{repository}@<digest of {image}>"

    def public_key(self, key: str) -> str:
        """Print it."""
        print(f"public key of {key}")
        return ""


class _AnyOutput(dict[str, str]):
    """The outputs of a stack that is not there yet."""

    def __init__(self, stack: str) -> None:
        super().__init__()
        self._stack = stack

    def __missing__(self, output: str) -> str:
        return f"<{output} of {self._stack}>"

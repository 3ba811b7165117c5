"""Which attestation documents are accepted: a deployment's decision, read from `MNIST_ATTESTATION_...` variables."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from mnist_tasks.config import ATTESTATION_PREFIX, SOFTWARE_LABEL, Frozen, Sha256
from mnist_tasks.errors import ConfigurationError

_ZERO_PCR: Final = "0" * 96

PcrIndex = Annotated[int, Field(ge=0, le=31)]
# Lower case alone, as KMS wants it in a key policy.
PcrHex = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{96}$")]


def _names_an_image(measurement: dict[int, str]) -> dict[int, str]:
    if measurement.get(0, _ZERO_PCR) == _ZERO_PCR:
        raise ValueError("PCR0, which measures the image, has to be there and not zero (zero is debug mode)")
    return measurement


Measurement = Annotated[dict[PcrIndex, PcrHex], AfterValidator(_names_an_image)]


class AttestationPolicy(Frozen):
    """What a document has to say, and whom it is believed from.

    `measurements` are alternatives: a document is accepted if all PCRs of one of them match. A new image is allowed
    beside the old one before it is rolled out, and the old one removed after that.
    """

    measurements: tuple[Measurement, ...] = Field(
        min_length=1, max_length=8, description="accepted measurements: PCR index to lower-case hexadecimal"
    )
    max_age_seconds: int = Field(300, ge=1, le=3600, description="how old a document may be")
    production: bool = Field(True, description="refuses everything that only looks like attestation")
    software_root: Sha256 | None = Field(
        None, description="development only: SHA-256 of the software root that is accepted besides AWS's"
    )
    software_folder: Path | None = Field(
        None, description="development only: make documents from the software root in this folder, not from /dev/nsm"
    )

    @model_validator(mode="after")
    def _production_is_real(self) -> Self:
        if self.production and (self.software_root or self.software_folder):
            raise ValueError(f"{SOFTWARE_LABEL}, so production refuses software_root and software_folder")
        return self

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read the variables that are set; an empty one counts as not set. `..._MEASUREMENTS` is a JSON array.

        Raises:
            ConfigurationError: a value is missing or outside its bounds, or production is asked to trust software.
        """
        texts = {name: environment.get(ATTESTATION_PREFIX + name.upper(), "").strip() for name in cls.model_fields}
        values: dict[str, Any] = {name: text for name, text in texts.items() if text}
        if "measurements" in values:
            values["measurements"] = _json(values["measurements"])
        names = {name: ATTESTATION_PREFIX + name.upper() for name in cls.model_fields}
        return cls.checked(
            values, mend="correct the MNIST_ATTESTATION_... variables (docs/attestation.md)", names=names
        )


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(
            f"{ATTESTATION_PREFIX}MEASUREMENTS is not JSON ({error}): {text[:80]!r}",
            mend='write it like [{"0": "<96 hexadecimal digits>"}]',
        ) from None

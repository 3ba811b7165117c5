"""Which environment the promoter accepts: RunTask's overrides may set any variable, the image's own ones included.

An unknown `MNIST_...` or `AWS_...` is refused, because somebody wanted something by it: AWS's configuration files may
name programs to run, a CA bundle says who speaks for AWS. Anything else is dropped before a library reads it: proxies,
other names of CA bundles, the tuning of OpenSSL and NumPy.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

from mnist_tasks.config import ATTESTATION_PREFIX, ENVIRONMENT_PREFIX, PromoterSettings, PromotionJob, variables_of
from mnist_tasks.errors import ConfigurationError

# What a process needs to run at all.
_SYSTEM = {"PATH", "HOME", "TMPDIR", "LANG"}
# What ECS tells a container, and what stands in for it where containers are processes (keys instead of an endpoint).
_AWS = {
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_EXECUTION_ENV",
    "AWS_EC2_METADATA_DISABLED",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
}
_ADDRESSES = {"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_KMS", "AWS_CONTAINER_CREDENTIALS_FULL_URI"}
# `action` is the argument, and no variable.
_JOB = {name for field, name in variables_of(PromotionJob).items() if field != "action"}
_DEFINITION = set(variables_of(PromoterSettings).values())
# The variables of `attestation.AttestationPolicy`, which is not loaded where there is no attestation.
_ATTESTATION = {
    f"{ATTESTATION_PREFIX}{name}"
    for name in ("MEASUREMENTS", "MAX_AGE_SECONDS", "PRODUCTION", "SOFTWARE_ROOT", "SOFTWARE_FOLDER")
}


def admitted(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that the promoter goes on with.

    Raises:
        ConfigurationError: a variable of ours or of AWS's is unknown, or leads to another machine.
    """
    known = _SYSTEM | _AWS | _ADDRESSES | _JOB | _DEFINITION | _ATTESTATION
    unknown = sorted(name for name in environment.keys() - known if name.startswith((ENVIRONMENT_PREFIX, "AWS_")))
    if unknown:
        raise ConfigurationError(
            f"the promoter takes no {', '.join(unknown)}; known are {', '.join(sorted(known - _SYSTEM))}",
            mend="leave them out of the task definition and of the task's overrides",
        )
    for name in _ADDRESSES & environment.keys():
        _check_is_this_machine(name, environment[name])
    return {name: value for name, value in environment.items() if name in known}


def _check_is_this_machine(name: str, url: str) -> None:
    """Somebody else's server could feed the promoter what it is to sign.

    Loopback and link-local addresses lead nowhere on Fargate but to the task itself and its metadata.
    """
    host = urlsplit(url).hostname or ""
    try:
        address = ip_address(host)
    except ValueError:
        address = None
    if address is None or not (address.is_loopback or address.is_link_local):
        raise ConfigurationError(
            f"{name} leads to {host!r}: the promoter asks AWS at AWS's own address",
            mend=f"leave {name} out; only a stand-in on this machine (127.0.0.1 or 169.254.x.x) is accepted",
        )

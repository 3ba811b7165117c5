"""What can be configured: by deployment (`Settings`), by run (`RunConfig`), by container (`TrainingJob`...).

All of them are frozen and validate on construction. `RunConfig` is the single definition of a run's parameters: its
bounds and descriptions make the form in the Airflow UI, check the values that come back, and are the defaults of
everything else.
"""

from mnist_tasks.config.jobs import PromotionJob, TrainingJob
from mnist_tasks.config.parameters import RollbackConfig, RunConfig
from mnist_tasks.config.settings import ContainerSettings, PromoterSettings, Settings
from mnist_tasks.config.values import (
    ATTESTATION_PREFIX,
    ENVIRONMENT_PREFIX,
    MOST_BYTES,
    NITRO_LABEL,
    SOFTWARE_LABEL,
    AttestationLabel,
    ClassifierName,
    EmailAddress,
    FinalName,
    Frozen,
    ImageDigest,
    Person,
    Reply,
    S3KeyPart,
    Seed,
    Sha256,
    derived_seed,
    list_of,
    variables_of,
)

__all__ = [
    "ATTESTATION_PREFIX",
    "ENVIRONMENT_PREFIX",
    "MOST_BYTES",
    "NITRO_LABEL",
    "SOFTWARE_LABEL",
    "AttestationLabel",
    "ClassifierName",
    "ContainerSettings",
    "EmailAddress",
    "FinalName",
    "Frozen",
    "ImageDigest",
    "Person",
    "PromoterSettings",
    "PromotionJob",
    "Reply",
    "RollbackConfig",
    "RunConfig",
    "S3KeyPart",
    "Seed",
    "Settings",
    "Sha256",
    "TrainingJob",
    "derived_seed",
    "list_of",
    "variables_of",
]

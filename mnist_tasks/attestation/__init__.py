"""Proof that code runs in a measured environment, and a KMS that answers such an environment alone.

`verify` is the one verifier of Nitro attestation documents (`document` reads them, `chain` checks their certificates,
`policy` says what is accepted). `document_source` is where they come from: `/dev/nsm`, or software that is labelled as
not being a TEE. `AttestedKms` asks KMS with such a document and opens what comes back (`envelope`); `AttestedClient` is
the same for the AWS Encryption SDK.
"""

from mnist_tasks.attestation.chain import AWS_NITRO_ROOT_SHA256
from mnist_tasks.attestation.client import AttestedClient
from mnist_tasks.attestation.document import Document
from mnist_tasks.attestation.envelope import open_envelope
from mnist_tasks.attestation.kms import AttestedKms, DataKey
from mnist_tasks.attestation.nsm import NitroSource
from mnist_tasks.attestation.policy import AttestationPolicy
from mnist_tasks.attestation.software import SoftwareSource, measure
from mnist_tasks.attestation.source import DocumentSource, document_source
from mnist_tasks.attestation.verify import Attested, authenticate, recipient_key, verify
from mnist_tasks.config import NITRO_LABEL, SOFTWARE_LABEL

__all__ = [
    "AWS_NITRO_ROOT_SHA256",
    "NITRO_LABEL",
    "SOFTWARE_LABEL",
    "AttestationPolicy",
    "Attested",
    "AttestedClient",
    "AttestedKms",
    "DataKey",
    "Document",
    "DocumentSource",
    "NitroSource",
    "SoftwareSource",
    "authenticate",
    "document_source",
    "measure",
    "open_envelope",
    "recipient_key",
    "verify",
]

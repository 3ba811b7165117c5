"""Who said so: signed content in S3, believed because of a public key that came another way.

`dsse` is the form, `keys` are whom we believe, `kms` signs, and so does `sealed` where a key was opened for an attested
place. What is signed is the caller's business.
"""

from mnist_tasks.signing.dsse import Envelope, open_envelope, seal
from mnist_tasks.signing.keys import TrustedKeys
from mnist_tasks.signing.kms import KmsSigner, Signer, trusted_keys
from mnist_tasks.signing.sealed import SealedSigner

__all__ = ["Envelope", "KmsSigner", "SealedSigner", "Signer", "TrustedKeys", "open_envelope", "seal", "trusted_keys"]

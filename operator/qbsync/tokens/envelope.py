"""The stored form of a grant: `v1.<kid>.<salt>.<nonce>.<ciphertext>`, the last three base64url.

AES-256-GCM. Every write has its own key, HKDF-SHA256 of the master key with 16 random bytes of salt: one
key with random nonces would be used too often (Kubernetes' own advice: 200,000 writes). The additional
authenticated data binds the envelope to its connection: copied to another one, or replayed at another
token endpoint, it does not open.
"""

import base64
import binascii
import json
import os
import re
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from qbsync.tokens import grant as grants
from qbsync.tokens.errors import DamagedEnvelope, WrongKey
from qbsync.tokens.grant import Grant
from qbsync.tokens.keyring import KEY_BYTES, Keyring, MasterKey

VERSION: Final = "v1"
_PURPOSE: Final = "qbsync/envelope/v1"
_SALT_BYTES: Final = 16
_NONCE_BYTES: Final = 12
_KID: Final = re.compile(r"[0-9a-f]{8}")
_PARTS: Final = 5
_DAMAGED: Final = (
    "the stored tokens do not open: the envelope was changed, or was made for another namespace, name, "
    "realm, environment or token endpoint"
)


@dataclass(frozen=True, slots=True)
class EnvelopeBinding:
    """Whose envelope it is: with any other binding it does not open."""

    namespace: str
    name: str
    realm: str
    environment: str
    token_host: str
    """Host name of the token endpoint, without port."""


def seal(grant: Grant, *, binding: EnvelopeBinding, keyring: Keyring) -> str:
    """Encrypt with the primary key; two calls never give the same text."""
    return _seal(grants.dump(grant), binding=binding, key=keyring.primary)


def open(envelope: str, *, binding: EnvelopeBinding, keyring: Keyring) -> Grant:
    """Decrypt with whichever key it names.

    Raises `WrongKey` if that key is not in the keyring, `DamagedEnvelope` if it does not open.
    """
    plaintext = _unseal(envelope, binding=binding, keyring=keyring)
    try:
        return grants.load(plaintext)
    except ValueError as error:
        raise DamagedEnvelope(
            f"the stored tokens open, but {error}: was it written by a newer release?"
        ) from None


def rewrap(envelope: str, *, binding: EnvelopeBinding, keyring: Keyring) -> str:
    """The same content under the primary key, byte by byte: also what a newer release wrote there survives.

    Raises as `open` does.
    """
    plaintext = _unseal(envelope, binding=binding, keyring=keyring)
    return _seal(plaintext, binding=binding, key=keyring.primary)


def _seal(plaintext: bytes, *, binding: EnvelopeBinding, key: MasterKey) -> str:
    salt, nonce = os.urandom(_SALT_BYTES), os.urandom(_NONCE_BYTES)
    header = [VERSION, key.kid, _encode(salt), _encode(nonce)]
    sealed = _cipher(key, salt).encrypt(nonce, plaintext, _authenticated(binding, header))
    return ".".join([*header, _encode(sealed)])


def _unseal(envelope: str, *, binding: EnvelopeBinding, keyring: Keyring) -> bytes:
    parts = envelope.split(".")
    if len(parts) != _PARTS or parts[0] != VERSION or not _KID.fullmatch(parts[1]):
        raise DamagedEnvelope(_DAMAGED)
    key = keyring.find(parts[1])
    if key is None:
        raise WrongKey(sealed_with=parts[1], available=keyring.kids)
    salt, nonce, sealed = (_decode(part) for part in parts[2:])
    if len(salt) != _SALT_BYTES or len(nonce) != _NONCE_BYTES:
        raise DamagedEnvelope(_DAMAGED)
    try:
        return _cipher(key, salt).decrypt(nonce, sealed, _authenticated(binding, parts[:4]))
    except InvalidTag:
        raise DamagedEnvelope(_DAMAGED) from None


def kid_of(envelope: str) -> str:
    """The id of the key that an envelope says it was sealed with; empty if it is none."""
    parts = envelope.split(".")
    return parts[1] if len(parts) == _PARTS and _KID.fullmatch(parts[1]) else ""


def _cipher(key: MasterKey, salt: bytes) -> AESGCM:
    derived = HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=salt, info=_PURPOSE.encode())
    return AESGCM(derived.derive(key.material))


def _authenticated(binding: EnvelopeBinding, header: list[str]) -> bytes:
    """A JSON list: unambiguous, whatever the parts contain."""
    bound = [binding.namespace, binding.name, binding.realm, binding.environment, binding.token_host]
    return json.dumps([_PURPOSE, *bound, *header], separators=(",", ":")).encode()


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    """Only the one canonical spelling: the unused bits of the last character count too."""
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise DamagedEnvelope(_DAMAGED) from None
    if _encode(raw) != text:
        raise DamagedEnvelope(_DAMAGED)
    return raw

"""The operator's encryption keys: where they come from, how they are told apart, which one seals.

Sources: `ENCRYPTION_MASTER_KEY` with `ENCRYPTION_SALT`, or a directory with one key per file
(`ENCRYPTION_KEY_DIR`), where the first name in plain string order is the primary key: the one that
seals. All others only open. A file named `salt` or `ENCRYPTION_SALT` holds the salt; names that begin
with a dot (Kubernetes' own, in a mounted Secret) are passed over.

A key is `base64:<44 characters>` (32 bytes) or `passphrase:<32 characters or more>`, which goes through
scrypt with the salt. Without a prefix, exact base64 of 32 bytes is a key and everything else a
passphrase; `describe()` says which it was. Whitespace around any value is dropped.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from qbsync.tokens.errors import KeyringError

MASTER_KEY: Final = "ENCRYPTION_MASTER_KEY"
SALT: Final = "ENCRYPTION_SALT"
KEY_DIR: Final = "ENCRYPTION_KEY_DIR"

KEY_BYTES: Final = 32
KID_LENGTH: Final = 8
_KEY_CHARACTERS: Final = 44
_PASSPHRASE_CHARACTERS: Final = 32
_SALT_BYTES: Final = 16
_SALT_FILES: Final = ("salt", SALT)
_BASE64: Final = "base64:"
_PASSPHRASE: Final = "passphrase:"  # noqa: S105 - a prefix
_ADVICE: Final = "make one with: openssl rand -base64 32"


@dataclass(frozen=True, slots=True)
class MasterKey:
    """One key. Its material is never shown."""

    material: bytes = field(repr=False)
    """32 bytes."""
    kid: str
    """First 8 hex digits of HMAC-SHA256(key, "qbsync/kid/v1"): tells keys apart, says nothing about them."""
    source: str
    """The variable or file that it was read from."""
    interpretation: str
    """How its text was understood."""


class Keyring:
    """Keys in order, the first one primary. Never empty."""

    __slots__ = ("_keys",)

    def __init__(self, keys: Sequence[MasterKey]) -> None:
        """Raises `KeyringError` if there is none, or if two different keys have one key id."""
        by_kid: dict[str, MasterKey] = {}
        for key in keys:
            other = by_kid.setdefault(key.kid, key)
            if other.material != key.material:
                raise KeyringError(
                    f"{key.source} and {other.source} have the same key id: replace one of them"
                )
        if not by_kid:
            raise KeyringError(f"{MASTER_KEY} is not set: {_ADVICE}")
        self._keys = tuple(by_kid.values())

    @classmethod
    def from_environment(cls, env: Mapping[str, str]) -> Self:
        """Read `ENCRYPTION_MASTER_KEY` and `ENCRYPTION_SALT`, or the directory `ENCRYPTION_KEY_DIR`.

        Raises `KeyringError`, one line that names the variable.
        """
        text = env.get(MASTER_KEY, "").strip()
        directory = env.get(KEY_DIR, "").strip()
        if text and directory:
            raise KeyringError(f"{MASTER_KEY} and {KEY_DIR} are both set: keep one of them")
        if directory:
            return cls.from_directory(Path(directory), env)
        if not text:
            raise KeyringError(f"{MASTER_KEY} is not set: {_ADVICE}")
        return cls([_parse(text, source=MASTER_KEY, salt=env.get(SALT, ""))])

    @classmethod
    def from_directory(cls, directory: Path, env: Mapping[str, str] | None = None) -> Self:
        """Read one key per file, the first name in string order is primary; the salt from a file or `env`.

        Raises `KeyringError`, one line that names the file.
        """
        try:
            files = sorted(
                path for path in directory.iterdir() if path.is_file() and not path.name.startswith(".")
            )
        except OSError as error:
            raise KeyringError(f"{KEY_DIR}: cannot read {directory} ({error.strerror})") from None
        texts = {path: _read(path) for path in files}
        salt = next(
            (text for path, text in texts.items() if path.name in _SALT_FILES), (env or {}).get(SALT, "")
        )
        keys = [
            _parse(text, source=str(path), salt=salt)
            for path, text in texts.items()
            if path.name not in _SALT_FILES
        ]
        if not keys:
            raise KeyringError(f"{KEY_DIR}: {directory} holds no key file: {_ADVICE}")
        return cls(keys)

    def __repr__(self) -> str:
        return f"Keyring({', '.join(self.kids)})"

    @property
    def primary(self) -> MasterKey:
        """The key that seals."""
        return self._keys[0]

    @property
    def keys(self) -> tuple[MasterKey, ...]:
        """All keys, primary first."""
        return self._keys

    @property
    def kids(self) -> tuple[str, ...]:
        """The ids of all keys, primary first."""
        return tuple(key.kid for key in self._keys)

    def find(self, kid: str) -> MasterKey | None:
        """The key with that id."""
        return next((key for key in self._keys if key.kid == kid), None)

    def describe(self) -> str:
        """For the start log: each key's id, source and how its text was understood."""
        return "; ".join(
            f"key {key.kid} ({'primary' if key is self.primary else 'opens only'}) from {key.source}: "
            f"{key.interpretation}"
            for key in self._keys
        )


def key_id(material: bytes) -> str:
    """What an envelope says about the key it was sealed with."""
    return hmac.new(material, b"qbsync/kid/v1", hashlib.sha256).hexdigest()[:KID_LENGTH]


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise KeyringError(f"{KEY_DIR}: cannot read {path} ({error.strerror})") from None
    except UnicodeDecodeError:
        raise KeyringError(f"{KEY_DIR}: {path} is not text: store the key as base64") from None


def _parse(text: str, *, source: str, salt: str) -> MasterKey:
    text = text.strip()
    if text.startswith(_BASE64):
        material = _decode(text.removeprefix(_BASE64).strip())
        if material is None:
            raise KeyringError(f"{source}: after base64: come exactly 44 characters (32 bytes); {_ADVICE}")
        return _key(material, source, "base64 of 32 bytes, by its prefix")
    if text.startswith(_PASSPHRASE):
        passphrase = text.removeprefix(_PASSPHRASE).strip()
        return _key(
            _stretch(passphrase, source=source, salt=salt), source, "passphrase (scrypt), by its prefix"
        )
    material = _decode(text)
    if material is not None:
        return _key(material, source, "base64 of 32 bytes, no prefix")
    stretched = _stretch(text, source=source, salt=salt)
    return _key(stretched, source, "passphrase (scrypt), no prefix and not base64 of 32 bytes")


def _key(material: bytes, source: str, interpretation: str) -> MasterKey:
    return MasterKey(material, key_id(material), source, interpretation)


def _decode(text: str) -> bytes | None:
    """The 32 bytes, or None."""
    if len(text) != _KEY_CHARACTERS or not text.isascii():
        return None
    try:
        material = base64.b64decode(text, validate=True)
    except binascii.Error:
        return None
    return material if len(material) == KEY_BYTES else None


def _stretch(passphrase: str, *, source: str, salt: str) -> bytes:
    if len(passphrase) < _PASSPHRASE_CHARACTERS:
        raise KeyringError(
            f"{source} is too short: a passphrase has at least {_PASSPHRASE_CHARACTERS} characters, "
            f"a key is base64 of 32 bytes; {_ADVICE}"
        )
    seasoning = salt.strip().encode()
    if len(seasoning) < _SALT_BYTES:
        wrong = "too short" if seasoning else "not set"
        raise KeyringError(
            f"{SALT} is {wrong}: {source} is a passphrase, which needs a salt of at least {_SALT_BYTES} bytes"
        )
    return Scrypt(salt=seasoning, length=KEY_BYTES, n=2**15, r=8, p=1).derive(passphrase.encode())

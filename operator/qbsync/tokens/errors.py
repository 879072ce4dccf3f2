"""The room's exceptions.

TokenError
├── KeyringError        the operator's keys are missing or unusable: it does not start
├── EnvelopeError       an envelope does not open
│   ├── WrongKey        sealed with a key that this operator does not have
│   └── DamagedEnvelope changed, cut off, or sealed for another connection
├── SecretConflict      the token Secret's name is taken by something that is not ours
└── TokenUnavailable    no usable access token can be had now

EndpointRefused         the operator's flags do not let a connection talk to its endpoints

No message of any of them holds key material or a token.
"""

from qbsync.quickbooks.errors import NoAccessToken


class TokenError(Exception):
    """Base of everything this room raises; `str()` says what to do."""


class KeyringError(TokenError):
    """One line that names the variable or file, and what to write instead."""


class EnvelopeError(TokenError):
    """An envelope does not open."""


class WrongKey(EnvelopeError):
    """Sealed with a key that is not in the keyring."""

    def __init__(self, *, sealed_with: str, available: tuple[str, ...]) -> None:
        """Both as key ids: of the envelope, and of the keys that this operator has, primary first."""
        super().__init__(
            f"encrypted with key {sealed_with}, this operator has {', '.join(available)}: "
            "start it with the old key as well"
        )
        self.sealed_with = sealed_with
        self.available = available


class DamagedEnvelope(EnvelopeError):
    """The envelope was changed, cut off, or belongs to another connection, realm or token endpoint."""


class SecretConflict(TokenError):
    """A Secret that qbsync did not create for this connection has the name for its tokens; left untouched."""


class TokenUnavailable(TokenError, NoAccessToken):
    """There is no usable access token now; `reason` is one of the connection's reasons of Ready."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class EndpointRefused(Exception):
    """The operator's flags do not let this connection talk to its endpoints; says what to do."""

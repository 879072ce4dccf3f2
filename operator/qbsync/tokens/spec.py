"""What the keeper is told: whose grant, where it lies, and the operator's own figures."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Final, Protocol
from urllib.parse import urlsplit

from qbsync.quickbooks.oauth import Provider
from qbsync.tokens.envelope import EnvelopeBinding

DEFAULT_REFRESH_BEFORE: Final = timedelta(minutes=30)
_SUFFIX: Final = "-qbsync-tokens"
_NAME_LIMIT: Final = 253
_DIGEST: Final = 8


class Trigger(StrEnum):
    """Why a refresh is asked for; stands in `status.refreshHistory`."""

    SCHEDULED = "Scheduled"
    REQUESTED = "Requested"
    """A person asked (requested-at)."""
    UNAUTHORIZED = "Unauthorized"
    """An API call got a 401."""
    BEFORE_CALL = "BeforeCall"
    """An API call found less than a minute left."""
    IMPORT = "Import"
    AUTHORIZATION = "Authorization"
    """A person consented, and the code was exchanged."""


class Place(Protocol):
    """Where a grant lies, and whose it is: as much as reading and writing its Secret takes."""

    @property
    def namespace(self) -> str: ...

    @property
    def name(self) -> str:
        """Of the connection."""
        ...

    @property
    def uid(self) -> str:
        """Of the connection object."""
        ...

    @property
    def realm(self) -> str: ...

    @property
    def tokens_secret_name(self) -> str: ...

    @property
    def binding(self) -> EnvelopeBinding: ...


@dataclass(frozen=True, slots=True)
class ImportRef:
    """`spec.importTokensFrom`: a Secret of the connection's namespace with plaintext tokens."""

    name: str
    scrub: bool = True
    """Policy Scrub: empty it once its tokens are stored."""


@dataclass(frozen=True, slots=True)
class GrantSpec:
    """One connection, as far as its grant is concerned."""

    namespace: str
    name: str
    uid: str
    realm: str
    environment: str
    provider: Provider
    """With the actual endpoints."""
    client_secret_name: str
    tokens_secret_name: str
    """See `default_secret_name`."""
    import_ref: ImportRef | None = None
    """None also where the caller refuses that Secret's namespace."""
    refresh_before: timedelta = DEFAULT_REFRESH_BEFORE
    suspended: bool = False
    """Changes nothing here: a suspended connection keeps its grant alive."""
    requested_at: str | None = None
    """The value of the annotation requested-at."""
    known_sequence: int | None = None
    """`status.encryption.sequence`: a stored grant with a lower one is a rolled-back store."""

    @property
    def key(self) -> tuple[str, str]:
        """Namespace and name."""
        return self.namespace, self.name

    @property
    def binding(self) -> EnvelopeBinding:
        """What its envelope is bound to."""
        return EnvelopeBinding(
            namespace=self.namespace,
            name=self.name,
            realm=self.realm,
            environment=self.environment,
            token_host=urlsplit(self.provider.token_url).hostname or "",
        )


@dataclass(frozen=True, slots=True)
class KeeperSettings:
    """The operator's figures for all grants."""

    token_timeout: timedelta = timedelta(seconds=60)
    """Deadline of a call to the token endpoint (`--token-timeout`)."""
    server_timeout: timedelta = timedelta(seconds=120)
    """How long QuickBooks may work on a request (`--quickbooks-server-timeout`)."""
    fresh: timedelta = timedelta(seconds=60)
    """A token with less than this left is refreshed before it is used."""
    fence: timedelta = timedelta(seconds=10)
    """A claim older than this is not acted on."""
    secret_poll: timedelta = timedelta(seconds=15)
    """How often a missing Secret, or one with rejected credentials, is read again."""
    reauthorization_poll: timedelta = timedelta(seconds=30)
    """How often new content for a dead grant is looked for."""
    lock_poll: timedelta = timedelta(seconds=5)
    """How often a foreign intent is looked at."""
    patience: timedelta = timedelta(seconds=5)
    """`ensure` returns after this with a refresh still under way, if the access token is usable."""

    @property
    def lock(self) -> timedelta:
        """How long the same foreign intent must be seen unchanged before it counts as abandoned."""
        return self.token_timeout + self.server_timeout

    @property
    def claim_limit(self) -> timedelta:
        """The fence, also where the token timeout is scaled down."""
        return min(self.fence, self.token_timeout / 2)


class Fence(Protocol):
    """Whether this process may still act for its connections."""

    def holds(self) -> bool:
        """True while the lease is ours; asked right before a token is spent."""
        ...


OnChange = Callable[[GrantSpec], None]
"""Called when something worth reporting happened outside `ensure`: the connection should be looked at."""


def default_secret_name(connection: str) -> str:
    """`<connection>-qbsync-tokens`, shortened with a hash where that would exceed 253 characters."""
    return fitted(connection, _SUFFIX)


def fitted(connection: str, suffix: str) -> str:
    """A name made of the connection's: shortened with a hash where it would exceed 253 characters."""
    return _fit(connection, _NAME_LIMIT - len(suffix)) + suffix


def label_value(text: str) -> str:
    """The text as a label value: at most 63 characters, shortened with a hash."""
    return _fit(text, 63)


def _fit(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()[:_DIGEST]
    return f"{text[: limit - _DIGEST - 1].rstrip('-._')}-{digest}"

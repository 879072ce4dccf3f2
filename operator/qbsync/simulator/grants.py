"""The control door's view of grants: how old, how long still, how often rotated; never a whole token unless asked."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

from qbsync.simulator.oauth import AccessToken, Grant

if TYPE_CHECKING:  # World holds the authority
    from qbsync.simulator.world import World


class NoSuchGrant(LookupError):
    """No grant of that number, or nothing of that name to do with one."""


def masked(value: str) -> str:
    """The first and last characters of a secret: enough to tell two apart, not to use either."""
    return f"{value[:4]}…{value[-4:]}"


def listed(world: "World", realm_id: str | None = None, *, limit: int | None = None) -> list[dict[str, Any]]:
    """Every grant, or one company's, newest first; the newest `limit` of them."""
    known = world.authority.grants()
    numbered = zip(range(len(known), 0, -1), reversed(known), strict=True)
    wanted = ((number, grant) for number, grant in numbered if realm_id in (None, grant.realm_id))
    # Gathered once for all: there may be many thousands of grants and of tokens.
    living = defaultdict(list)
    for token in world.authority.living_access_tokens(world.clock.timestamp()):
        living[id(token.grant)].append(token)
    return [_described(world, number, grant, living[id(grant)]) for number, grant in islice(wanted, limit)]


def count(world: "World", realm_id: str) -> int:
    """How many grants a company has given."""
    return sum(1 for grant in world.authority.grants() if grant.realm_id == realm_id)


def described(world: "World", number: int, grant: Grant) -> dict[str, Any]:
    """One grant without its tokens' values."""
    return _described(world, number, grant, _living(world, grant))


def _described(world: "World", number: int, grant: Grant, living: Sequence[AccessToken]) -> dict[str, Any]:
    now = world.clock.timestamp()
    hard_end = world.authority.hard_end(grant)
    alive = world.authority.alive(grant, now)
    return {
        "number": number,
        "realmId": grant.realm_id,
        "clientId": grant.client_id,
        "scopes": list(grant.scopes),
        "state": "alive" if alive else "revoked" if grant.revoked else "expired",
        "refreshToken": masked(grant.current.value),
        "authorizedAt": _iso(grant.authorized_at),
        "refreshTokenIssuedAt": _iso(grant.current.issued_at),
        "expiresAt": _iso(min(grant.expires_at, hard_end)),
        "hardExpiresAt": _iso(hard_end),
        "rotations": len(grant.past),
        "oldValuesInGrace": _in_grace(world, grant, now),
        "accessTokens": [
            {"value": masked(token.value), "expiresAt": _iso(token.expires_at)} for token in living
        ],
    }


def issued(world: "World", realm_id: str) -> dict[str, Any]:
    """A new grant of the first app, as after a person's consent; its values are had with `copy`."""
    grant = world.issue_grant(realm_id).grant
    return described(world, len(world.authority.grants()), grant)


def treated(world: "World", number: str, verb: str) -> dict[str, Any]:
    """Do something to a grant, and show it. `copy` changes nothing and shows the tokens. Raises NoSuchGrant."""
    known = world.authority.grants()
    if not (number.isascii() and number.isdigit() and 1 <= int(number) <= len(known)):
        raise NoSuchGrant(f"there is no grant {number}")
    grant = known[int(number) - 1]
    if verb == "copy":
        return _values(world, grant)
    treatment = _TREATMENTS.get(verb)
    if treatment is None:
        raise NoSuchGrant(f"a grant takes copy, {', '.join(_TREATMENTS)}, not {verb!r}")
    treatment(world, grant)
    return described(world, int(number), grant)


_TREATMENTS: Mapping[str, Callable[["World", Grant], None]] = {
    "revoke": lambda world, grant: world.authority.end(grant),
    "rotate": lambda world, grant: world.authority.rotate(grant, world.clock.timestamp()),
    "endOldValues": lambda world, grant: world.authority.end_old_values(grant),
    "endAccess": lambda world, grant: world.authority.end_access_tokens(grant),
}


def _values(world: "World", grant: Grant) -> dict[str, Any]:
    app = world.authority.apps[grant.client_id]
    living = _living(world, grant)
    return {
        "client_id": app.client_id,
        "client_secret": app.client_secret,
        "realm_id": grant.realm_id,
        "access_token": living[-1].value if living else None,
        "refresh_token": grant.current.value,
    }


def _living(world: "World", grant: Grant) -> list[AccessToken]:
    known = world.authority.living_access_tokens(world.clock.timestamp())
    return [token for token in known if token.grant is grant]


def _in_grace(world: "World", grant: Grant, now: float) -> int:
    grace = world.switches.number("refreshGraceHours") * 3600
    return sum(1 for entry in grant.past if entry.replaced_at is not None and now < entry.replaced_at + grace)


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")

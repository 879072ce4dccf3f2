"""What has to stand in the token Secret after an answer, given what stands there now. Pure.

`None` means: leave it as it is.
"""

from dataclasses import replace

from qbsync.tokens.claim import Intent
from qbsync.tokens.errors import WrongKey
from qbsync.tokens.grant import Grant
from qbsync.tokens.schedule import Rejection
from qbsync.tokens.store import Draft, Stored


def deposit(stored: Stored, fresh: Grant, *, mine: Intent, floor: int, gone: bool) -> Draft | None:
    """What to write so that the answer is kept: of two answers, the one received last is current."""
    if isinstance(stored.unopened, WrongKey):
        raise stored.unopened
    if stored.secret is None:
        return None if gone else Draft(grant=replace(fresh, sequence=max(floor, fresh.sequence) + 1))
    current = stored.grant
    if current is not None and current.claim > mine.claim:
        return _closed(stored, current, mine)
    if current is not None and current.claim == mine.claim and _same_tokens(current, fresh):
        return None
    before = max(current.sequence if current is not None else 0, fresh.sequence, floor)
    return Draft(grant=replace(fresh, sequence=before + 1), intent=_foreign(stored, mine))


def recover(stored: Stored, fresh: Grant, *, mine: Intent) -> Draft | None:
    """What to write for an answer that a dead process left behind, sealed with the sequence it claimed.

    Other than for a live one, tokens stored since are current: an import that a person made meanwhile.
    """
    current = stored.grant
    if current is not None and current.sequence > fresh.sequence and not _same_tokens(current, fresh):
        return _closed(stored, current, mine)
    return deposit(stored, fresh, mine=mine, floor=fresh.sequence, gone=False)


def refuse(stored: Stored, before: Grant, rejection: Rejection, *, mine: Intent, gone: bool) -> Draft | None:
    """What to write after `invalid_grant`: a count next to the untouched tokens, or the grant that stood by."""
    if stored.secret is None:
        return None if gone else Draft(grant=before, rejection=rejection)
    current = stored.grant
    if current is None:
        return None
    if current.sequence != before.sequence:
        return _closed(stored, current, mine)
    if current.standby is not None:
        back = replace(
            current.standby, sequence=current.sequence + 1, memory=current.memory, claim=mine.claim
        )
        return Draft(grant=back, intent=_foreign(stored, mine))
    if stored.rejection == rejection:
        return None
    return Draft(grant=current, intent=_foreign(stored, mine), rejection=rejection)


def _closed(stored: Stored, current: Grant, mine: Intent) -> Draft | None:
    """The state without our intent; None if that is not there any more."""
    if stored.intent is None or stored.intent.nonce != mine.nonce:
        return None
    return Draft(grant=current, rejection=stored.rejection)


def _foreign(stored: Stored, mine: Intent) -> Intent | None:
    """The intent to leave standing: somebody else's, who may be spending a token right now."""
    if stored.intent is None or stored.intent.holder == mine.holder:
        return None
    return stored.intent


def _same_tokens(one: Grant, other: Grant) -> bool:
    return (one.access_token, one.refresh_token) == (other.access_token, other.refresh_token)

"""One call carried out in the books of its company."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from qbsync.simulator import jsoncodec
from qbsync.simulator.apps import Environment
from qbsync.simulator.calls import Call
from qbsync.simulator.company import Company
from qbsync.simulator.entities.kinds import INVOICE, Kind
from qbsync.simulator.faults import throttle_exceeded, unsupported_operation
from qbsync.simulator.ledger import Moment
from qbsync.simulator.world import World


@dataclass(frozen=True, slots=True)
class Part:
    """The content of an answer: its name, its JSON, and the Id of the entity it is about."""

    name: str
    body: bytes
    identifier: str = ""


@dataclass(frozen=True, slots=True)
class Setting:
    """Where and when a call is carried out, and for which app."""

    world: World
    company: Company
    moment: Moment
    client_id: str

    @classmethod
    def of(cls, world: World, realm_id: str, client_id: str) -> "Setting":
        """Here and now."""
        return cls(world, world.companies[realm_id], world.moment(), client_id)


def execute(setting: Setting, call: Call) -> Part:
    """Do what the call asks. Raises Refusal, and then nothing has changed."""
    if call.problem is not None:
        raise call.problem
    if call.operation == "query":
        answer = setting.world.ledger.query(setting.company, call.statement, setting.moment)
        return Part("QueryResponse", answer)
    if call.kind is None:
        raise unsupported_operation(call.path)
    return _ON_ENTITIES[call.operation](setting, call, call.kind)


def print_pdf(setting: Setting, call: Call) -> bytes:
    """The transaction as a PDF file. Raises Refusal."""
    if call.kind is None:
        raise unsupported_operation(call.path)
    return setting.world.ledger.pdf(setting.company, call.kind, call.identifier)


def may_read(world: World, realm_id: str, client_id: str) -> bool:
    """Whether the app's quota of metered reads has room for one of this company."""
    return not _is_metered(world, realm_id) or world.limits.read_allowed(client_id, _month(world))


def note_read(world: World, realm_id: str, client_id: str) -> None:
    """Count one read that was answered, if it is metered."""
    if _is_metered(world, realm_id):
        world.counters.metered_reads += 1
        world.limits.note_read(client_id, _month(world))


def _is_metered(world: World, realm_id: str) -> bool:
    return world.switches.on("sandboxMetered") or world.environment_of(realm_id) is not Environment.SANDBOX


def _month(world: World) -> str:
    return f"{world.clock.now():%Y-%m}"


def _read(setting: Setting, call: Call, kind: Kind) -> Part:
    body = setting.world.ledger.read(setting.company, kind, call.identifier)
    wanted = "invoiceLink" in call.included or setting.world.switches.choice("invoiceLink") == "always"
    if kind is INVOICE and wanted:
        link = _invoice_link(setting.company.realm_id, call.identifier)
        body = jsoncodec.dump({**jsoncodec.load_object(body), "InvoiceLink": link})
    return Part(kind.name, body, call.identifier)


def _invoice_link(realm_id: str, identifier: str) -> str:
    """Where a customer would see and pay the invoice; the form of Intuit's links, leading nowhere."""
    secret = hashlib.sha512(f"{realm_id}/{identifier}".encode()).hexdigest()[:80]
    return f"https://connect.intuit.com/t/scs-v1-{secret}?cta=v3invoicelink&locale=en_US"


def _create(setting: Setting, call: Call, kind: Kind) -> Part:
    allowed = _allows_duplicate(call)
    ledger = setting.world.ledger
    made = ledger.create(setting.company, kind, call.body, setting.moment, allow_duplicate=allowed)
    return Part(kind.name, made.body, made.id)


def _update(setting: Setting, call: Call, kind: Kind) -> Part:
    allowed = _allows_duplicate(call)
    ledger = setting.world.ledger
    changed = ledger.update(setting.company, kind, call.body, setting.moment, allow_duplicate=allowed)
    return Part(kind.name, changed.body, changed.id)


def _void(setting: Setting, call: Call, kind: Kind) -> Part:
    changed = setting.world.ledger.void(setting.company, kind, call.body, setting.moment)
    return Part(kind.name, changed.body, changed.id)


def _delete(setting: Setting, call: Call, kind: Kind) -> Part:
    gone = setting.world.ledger.delete(setting.company, kind, call.body, setting.moment)
    return Part(kind.name, jsoncodec.dump(gone), str(gone["Id"]))


def _send(setting: Setting, call: Call, kind: Kind) -> Part:
    world, now = setting.world, setting.moment.timestamp
    if not world.limits.email_allowed(call.realm_id, now):
        raise throttle_exceeded()
    address = call.params.get("sendTo")
    sent = world.ledger.send(setting.company, kind, call.identifier, setting.moment, send_to=address)
    world.limits.note_email(call.realm_id, now)
    world.counters.emails += 1
    return Part(kind.name, sent.body, sent.id)


def _allows_duplicate(call: Call) -> bool:
    return "allowduplicatedocnum" in call.included


_ON_ENTITIES: Mapping[str, Callable[[Setting, Call, Kind], Part]] = {
    "read": _read,
    "create": _create,
    "update": _update,
    "void": _void,
    "delete": _delete,
    "send": _send,
}

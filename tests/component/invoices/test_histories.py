"""Histories in which one guard alone stands between us and a second invoice, e-mail or customer.

Random histories (`test_model`) meet these combinations rarely. Each is played with several seeds, which decide
what the model leaves open: how many creates are a handful, and in which order things happen at one moment.
"""

from typing import Final

import pytest

from component.invoices.test_model import Step, play
from fakes import virtual_time

SEEDS: Final = range(1, 9)

FORGETS: Final[Step] = ("switch", ("requestidMemory", "forget"))
CRASH: Final[Step] = ("crash", ())


def applied(name: str = "a", number: str = "N-1", policy: str = "Retain", flavour: str = "") -> Step:
    return "apply", (name, number, policy, "2027-01-15", flavour)


def moved(name: str = "a") -> Step:
    return "move", (name, "2027-02-15")


def wait(seconds: float) -> Step:
    return "wait", (seconds,)


def lost(operation: str) -> Step:
    return "trouble", (operation, {"drop": "after"})


def late(operation: str) -> Step:
    """QuickBooks carries it out long after nobody waits for an answer any more."""
    return "trouble", (operation, {"commitAfterSeconds": 60, "drop": "after"})


HISTORIES: Final[dict[str, list[Step]]] = {
    "a late create of an object that is suspended, another one has its number": [
        *(FORGETS, late("create"), late("batch"), applied(), wait(3), ("suspend", ("a", True))),
        *(applied("b"), wait(130), ("suspend", ("a", False))),
    ],
    "a late create of an object that asks for too much, another one has its number": [
        *(FORGETS, late("create"), late("batch"), applied(), wait(3), ("ask_too_much", ("a", True))),
        *(applied("b"), wait(130), ("ask_too_much", ("a", False))),
    ],
    "a late create of an object that asks for too much, without a number": [
        *(FORGETS, lost("create"), lost("batch"), applied(flavour="unnumbered"), wait(3)),
        *(("ask_too_much", ("a", True)), wait(3), ("ask_too_much", ("a", False)), wait(130)),
    ],
    "a late create of an object that is observed from then on": [
        *(FORGETS, late("create"), late("batch"), applied(), wait(3), ("observe", ("a", True))),
        *(applied("b"), wait(130), ("observe", ("a", False))),
    ],
    "an observed object is deleted": [
        *(applied(policy="Void"), wait(5), ("observe", ("a", True)), wait(5), ("delete", ("a",)), wait(5)),
    ],
    "a suspended object is deleted": [
        *(applied(policy="Delete"), wait(5), ("suspend", ("a", True)), wait(5), ("delete", ("a",)), wait(5)),
    ],
    "a late create, and the process dies": [
        *(FORGETS, late("create"), late("batch"), applied(), wait(3), CRASH, wait(130)),
    ],
    "dead right after the create": [
        *(FORGETS, late("create"), late("batch"), ("arm", ("after create",)), applied(), wait(5), wait(130)),
    ],
    "a late create, and the object is deleted and applied again": [
        *(FORGETS, late("create"), late("batch"), applied(), wait(3), ("delete", ("a",)), wait(3)),
        *(applied(), wait(130)),
    ],
    "a late create, and the object is deleted, to be voided": [
        *(late("create"), late("batch"), applied(policy="Void"), wait(3), ("delete", ("a",)), wait(30)),
        *(applied(), wait(130)),
    ],
    "a late create, and the object is deleted, to be voided; nobody wants it again": [
        *(late("create"), late("batch"), applied(policy="Void"), wait(3), ("delete", ("a",)), wait(130)),
    ],
    "a late create, and another object with its number after the deletion": [
        *(FORGETS, late("create"), late("batch"), applied(), wait(1), ("delete", ("a",)), wait(1)),
        *(applied("b"), wait(130)),
    ],
    "a lost create without a number, and the process dies": [
        *(FORGETS, lost("create"), lost("batch"), applied(flavour="unnumbered"), wait(3), CRASH, wait(130)),
    ],
    "a lost create without number or source, and the process dies": [
        *(FORGETS, lost("create"), lost("batch"), applied(flavour="unnumbered sourceless"), wait(3)),
        *(CRASH, wait(130)),
    ],
    "a late create without a number, and the lease is lost": [
        *(FORGETS, late("create"), late("batch"), applied(flavour="unnumbered"), wait(1), ("freeze", ())),
        *(wait(130), wait(130)),
    ],
    "two objects with one number": [applied("a"), applied("b"), wait(40)],
    "two objects with one number, the first is deleted": [
        *(applied("a"), wait(5), applied("b"), wait(5), ("delete", ("a",)), wait(130)),
    ],
    "a number that is taken by hand": [("write_by_hand", ("N-1",)), wait(5), applied(), wait(40)],
    "an adopted invoice is not voided": [
        *(("write_by_hand", ("N-1",)), applied(policy="Void"), wait(5), ("delete", ("a",)), wait(40)),
    ],
    "an adopted invoice is not e-mailed": [
        *(("write_by_hand", ("N-1",)), wait(5), applied(flavour="mailed"), wait(400)),
    ],
    "deleted and applied again": [applied(), wait(5), ("delete", ("a",)), wait(5), applied(), wait(40)],
    "deleted in the books": [applied(), wait(5), ("book", ("delete", 0)), ("ask", ("a",)), wait(40)],
    "two customers of one address": [
        *(FORGETS, late("create"), applied("a", "N-1", flavour="addressed"), wait(5)),
        *(applied("b", "N-2", flavour="addressed"), wait(130)),
    ],
    "an e-mail whose answer is lost": [lost("send"), applied(flavour="mailed"), wait(130), wait(130)],
    "an e-mail that is late, and the object is applied again": [
        *(late("send"), applied(flavour="mailed"), wait(5), ("delete", ("a",)), applied(flavour="mailed")),
        *(wait(130), wait(130)),
    ],
    "an edit in the books, then one of the spec": [
        *(applied(), wait(5), ("book", ("edit", 0)), moved(), wait(40)),
    ],
    "an edit in the books while the spec's is under way": [
        *(applied(), wait(5), ("trouble", ("update", {"delaySeconds": 30})), moved(), wait(5)),
        *(("book", ("edit", 0)), wait(130)),
    ],
    "a late update": [FORGETS, applied(), wait(5), late("update"), moved(), wait(130)],
}


@pytest.mark.parametrize("name", HISTORIES)
def test_directed(name: str) -> None:
    for seed in SEEDS:
        virtual_time.run(play(seed, HISTORIES[name]))

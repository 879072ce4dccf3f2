"""Classes and locations on transactions, by the company's preferences."""

from typing import Any

import pytest

from qbsync.simulator.entities.kinds import CLASS, DEPARTMENT, INVOICE

from .desk import Desk, line

HOME, COMMERCIAL, PARKS = "5000000000000007280", "5000000000000007281", "5000000000000007282"
NAMED = {"value": PARKS, "name": "Commercial:Parks"}


def on(*preferences: str) -> dict[str, Any]:
    return {"AccountingInfoPrefs": dict.fromkeys(preferences, True)}


def test_one_class_for_the_transaction() -> None:
    desk = Desk(on("ClassTrackingPerTxn"))
    made = desk.invoice(line(1, ClassRef={"value": HOME}), ClassRef={"value": PARKS, "name": "as you like"})
    assert made["ClassRef"] == NAMED
    assert "ClassRef" not in made["Line"][0]["SalesItemLineDetail"]


def test_a_class_for_each_line() -> None:
    desk = Desk(on("ClassTrackingPerTxnLine"))
    made = desk.invoice(line(1, ClassRef={"value": PARKS}), line(1), ClassRef={"value": HOME})
    assert made["Line"][0]["SalesItemLineDetail"]["ClassRef"] == NAMED
    assert "ClassRef" not in made["Line"][1]["SalesItemLineDetail"]
    assert "ClassRef" not in made


def test_a_location() -> None:
    made = Desk(on("TrackDepartments")).invoice(DepartmentRef={"value": "3"})
    assert made["DepartmentRef"] == {"value": "3", "name": "Tucson:Greenhouse"}


def test_what_is_not_tracked_is_dropped() -> None:
    made = Desk().invoice(
        line(1, ClassRef={"value": "77"}), ClassRef={"value": PARKS}, DepartmentRef={"value": "1"}
    )
    assert not {"ClassRef", "DepartmentRef"} & made.keys()
    assert "ClassRef" not in made["Line"][0]["SalesItemLineDetail"]


def test_what_is_not_tracked_is_refused() -> None:
    desk = Desk(trackingOff="refuse")
    assert desk.refused(ClassRef={"value": PARKS})[0] == "6000"
    assert desk.refused(line(1, ClassRef={"value": PARKS}))[0] == "6000"
    assert desk.refused(DepartmentRef={"value": "1"})[0] == "6000"
    assert desk.code(lambda: desk.create(CLASS, {"Name": "x"})) == "6000"
    assert desk.code(lambda: desk.create(DEPARTMENT, {"Name": "x"})) == "6000"
    tracked = Desk(on("ClassTrackingPerTxn", "TrackDepartments"), trackingOff="refuse")
    assert tracked.create(CLASS, {"Name": "x"})["Active"]
    assert tracked.create(DEPARTMENT, {"Name": "x"})["Active"]


@pytest.mark.parametrize(("code", "fault"), [("610", "610"), ("2500", "2500")])
def test_a_class_that_is_gone(code: str, fault: str) -> None:
    desk = Desk(on("ClassTrackingPerTxn", "ClassTrackingPerTxnLine"), inactiveReference=code)
    gone = {"value": "5000000000000007283"}
    assert desk.refused(ClassRef=gone)[0] == fault
    assert desk.refused(line(1, ClassRef=gone))[0] == fault
    missing = desk.refused(ClassRef={"value": "77"})
    assert missing == ("2500", "Invalid Reference Id : Klasses element id 77 not found")
    assert desk.invoice(ClassRef={"value": ""})["TotalAmt"] == 100


def test_a_sparse_update_keeps_and_clears() -> None:
    desk = Desk(on("ClassTrackingPerTxn", "TrackDepartments"))
    made = desk.invoice(ClassRef={"value": PARKS}, DepartmentRef={"value": "1"})
    kept = desk.update(INVOICE, made, PrivateNote="x")
    assert (kept["ClassRef"], kept["DepartmentRef"]["value"]) == (NAMED, "1")
    cleared = desk.update(INVOICE, kept, ClassRef={"value": ""})
    assert "ClassRef" not in cleared
    assert cleared["DepartmentRef"]["value"] == "1"

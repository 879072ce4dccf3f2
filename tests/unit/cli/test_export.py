"""`qbsync invoices export`: both formats read back as they were, and only a page of objects is held."""

import csv
import io
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from qbsync.cli import session
from qbsync.cli.invoice_work import Csv, JsonArray, write
from qbsync.cli.main import app
from qbsync.invoices.register import COLUMNS
from qbsync.kube.desk import INVOICE_PAGE, Desk
from qbsync.kube.errors import NotFound, Rejected

NASTY = 'He said "5, or 6"\r\nand left; =1+1'


def invoice(name: str, *, namespace: str = "billing", **source: str) -> dict[str, Any]:
    return {
        "metadata": {"namespace": namespace, "name": name},
        "spec": {
            "connectionRef": {"name": "acme"},
            "source": source,
            "invoice": {"docNumber": name.upper()},
        },
    }


class Server:
    """`KubeApi`, as far as lists go: this many InvoiceSyncs, made page by page."""

    def __init__(self, count: int, *, gone_after: int | None = None, served: bool = True) -> None:
        self.count, self.gone_after, self.served = count, gone_after, served
        self.asked: list[tuple[str, dict[str, Any]]] = []

    async def get(self, path: str, **query: Any) -> dict[str, Any]:
        self.asked.append((path, query))
        if not self.served:
            raise NotFound("404", status=404)
        start = int(query.get("continue", 0))
        if self.gone_after is not None and start >= self.gone_after:
            raise Rejected("410 The provided continue parameter is too old", status=410)
        end = min(start + query["limit"], self.count)
        items = [invoice(f"inv-{n}", number=f"N-{n}") for n in range(start, end)]
        return {"items": items, "metadata": {"continue": str(end)} if end < self.count else {}}


def run(monkeypatch: pytest.MonkeyPatch, server: Server, *arguments: str) -> Any:
    async def logged_in(work: session.Work) -> int:
        return await work(Desk(server), "billing")  # type: ignore[arg-type]

    monkeypatch.setattr(session, "_run", logged_in)
    return CliRunner().invoke(app, ["invoices", "export", *arguments])


def test_csv_reads_back_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    done = run(monkeypatch, Server(2 * INVOICE_PAGE + 1))
    assert done.exit_code == 0, done.output
    assert done.stdout_bytes.count(b"\r\n") == 2 * INVOICE_PAGE + 2
    rows = list(csv.DictReader(io.StringIO(done.stdout, newline="")))
    assert tuple(rows[0]) == COLUMNS
    assert [row["sourceNumber"] for row in rows] == [f"N-{n}" for n in range(2 * INVOICE_PAGE + 1)]
    assert done.stderr == f"{2 * INVOICE_PAGE + 1} InvoiceSyncs\n"


async def test_quotes_commas_and_lines_in_a_cell_stay_in_their_cell() -> None:
    file = io.StringIO(newline="")
    assert await write(paged([invoice("a", number=NASTY), invoice("b", number="ü, 漢")]), Csv(file)) == 2
    rows = list(csv.DictReader(io.StringIO(file.getvalue(), newline="")))
    assert [row["sourceNumber"] for row in rows] == [NASTY, "ü, 漢"]


async def test_json_is_one_array_with_an_object_a_line() -> None:
    file = io.StringIO(newline="")
    await write(paged([invoice("a", number=NASTY)], [], [invoice("b", number="=1")]), JsonArray(file))
    rows = json.loads(file.getvalue())
    assert [row["sourceNumber"] for row in rows] == [NASTY, "=1"]
    assert all(tuple(row) == COLUMNS for row in rows)
    assert len(file.getvalue().splitlines()) == 4


@pytest.mark.parametrize(("form", "expected"), [("csv", ",".join(COLUMNS) + "\r\n"), ("json", "[]\n")])
def test_nothing_is_an_empty_table(monkeypatch: pytest.MonkeyPatch, form: str, expected: str) -> None:
    done = run(monkeypatch, Server(0), "-o", form)
    assert done.stdout_bytes.decode() == expected


async def test_a_page_is_written_before_the_next_one_is_asked_for() -> None:
    """So the memory needed does not depend on how many there are."""
    server, written = Server(5 * INVOICE_PAGE), Written()
    held = []
    async for page in Desk(server).invoices(None):  # type: ignore[arg-type]
        held.append(len(server.asked))
        await write(paged(page), written)
    assert held == [1, 2, 3, 4, 5]
    assert written.rows == 5 * INVOICE_PAGE


class Written:
    """A writer that counts."""

    rows = 0

    def row(self, row: Mapping[str, Any]) -> None:
        self.rows += 1

    def end(self) -> None: ...


@pytest.mark.parametrize(
    ("arguments", "path", "selector"),
    [
        ((), "/namespaces/billing/invoicesyncs", None),
        (("-n", "eu"), "/namespaces/eu/invoicesyncs", None),
        (("-A",), "/v1alpha1/invoicesyncs", None),
        (("--connection", "acme"), "/namespaces/billing/invoicesyncs", "spec.connectionRef.name=acme"),
        (("-A", "--connection", "billing/acme"), "/invoicesyncs", "spec.connectionRef.name=acme"),
    ],
)
def test_it_asks_for_no_more_than_it_shows(
    monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], path: str, selector: str | None
) -> None:
    server = Server(1)
    assert run(monkeypatch, server, *arguments).exit_code == 0
    ((asked, query),) = server.asked
    assert asked.endswith(path)
    assert query.get("fieldSelector") == selector


async def test_a_connection_of_another_namespace_is_another_connection() -> None:
    file = io.StringIO(newline="")
    pages = paged([invoice("a"), invoice("b", namespace="eu")])
    assert await write(pages, JsonArray(file), connection_namespace="eu") == 1
    assert [row["name"] for row in json.loads(file.getvalue())] == ["b"]


def test_a_file_appears_whole_or_not_at_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "register.json"
    assert run(monkeypatch, Server(3), "-o", "json", "--output", str(path)).exit_code == 0
    before = path.read_text()
    assert len(json.loads(before)) == 3
    done = run(
        monkeypatch,
        Server(3 * INVOICE_PAGE, gone_after=INVOICE_PAGE),
        *("-o", "json", "--output", str(path)),
    )
    assert done.exit_code == 2
    assert "run the command again" in done.stderr
    assert path.read_text() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["register.json"]


def test_what_cannot_be_done_is_said_in_a_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cases = {
        ("-n", "eu", "-A"): "either --namespace or --all-namespaces",
        ("--connection", "a=b,c"): "NAME or NAMESPACE/NAME",
        ("--output", str(tmp_path / "none" / "x.csv")): "cannot write",
    }
    for arguments, words in cases.items():
        done = run(monkeypatch, Server(1), *arguments)
        assert (done.exit_code, words in done.stderr) == (2, True), done.stderr
        assert (done.stdout, done.stderr.count("\n")) == ("", 1)
    done = run(monkeypatch, Server(1, served=False))
    assert (done.exit_code, "does not serve InvoiceSyncs" in done.stderr) == (2, True)


def test_help_shows_the_defaults() -> None:
    said = CliRunner().invoke(app, ["invoices", "export", "--help"]).output
    assert "[the kubeconfig's]" in said


async def paged(*pages: list[Any]) -> AsyncIterator[list[Any]]:
    for page in pages:
        yield page

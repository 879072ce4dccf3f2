"""What `qbsync invoices` does. Page by page: however many InvoiceSyncs there are, a page of them is in memory."""

import csv
import json
import re
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, Protocol

from qbsync.cli import output, session
from qbsync.invoices.register import COLUMNS, Row, cells, connection_of, row_of
from qbsync.kube.desk import Desk

Page = Sequence[Mapping[str, Any]]
_NAME: Final = re.compile(r"(?:([a-z0-9-]+)/)?([a-z0-9][a-z0-9.-]*)")


@dataclass(frozen=True, slots=True)
class Export:
    """The options of `qbsync invoices export`."""

    namespace: str | None
    everywhere: bool
    connection: str | None
    file: Path | None


class Writer(Protocol):
    """Writes rows in one format; `end` makes what was written whole."""

    def row(self, row: Row) -> None: ...

    def end(self) -> None: ...


def export(wanted: Export, *, as_json: bool) -> int:
    """`qbsync invoices export`; returns the exit code."""
    match = _NAME.fullmatch(wanted.connection) if wanted.connection is not None else None
    if wanted.connection is not None and match is None:
        output.complain("--connection is NAME or NAMESPACE/NAME of a connection, such as billing/acme")
        return output.FAILED
    if wanted.everywhere and wanted.namespace is not None:
        output.complain("say either --namespace or --all-namespaces")
        return output.FAILED
    place, name = match.groups() if match is not None else (None, None)

    async def work(desk: Desk, namespace: str) -> int:
        within = None if wanted.everywhere else wanted.namespace or namespace
        with _opened(wanted.file) as file:
            count = await write(
                desk.invoices(within, connection=name),
                JsonArray(file) if as_json else Csv(file),
                connection_namespace=place,
            )
        output.say(f"{count} InvoiceSync{'' if count == 1 else 's'}")
        return output.OK

    try:
        return session.run(work)
    except OSError as error:
        if error.filename is None:  # nobody reads standard output any more
            raise
        output.complain(f"cannot write {error.filename} ({error.strerror})")
    return output.FAILED


async def write(
    pages: AsyncIterator[Page], writer: Writer, *, connection_namespace: str | None = None
) -> int:
    """Write a row for each object, page by page; returns how many."""
    count = 0
    async for page in pages:
        for body in page:
            if connection_namespace in (None, connection_of(body)[0]):
                writer.row(row_of(body))
                count += 1
    writer.end()
    return count


class Csv:
    """RFC 4180, UTF-8, with a heading; cells that a spreadsheet would compute begin with an apostrophe."""

    def __init__(self, file: IO[str]) -> None:
        self._writer, self._headed = csv.writer(file), False

    def row(self, row: Row) -> None:
        self._head()
        self._writer.writerow(cells(row))

    def end(self) -> None:
        self._head()

    def _head(self) -> None:
        # Not before the first page: a list that is refused leaves nothing behind.
        if not self._headed:
            self._writer.writerow(COLUMNS)
            self._headed = True


class JsonArray:
    """One array, one object a line; what was cut short does not parse."""

    def __init__(self, file: IO[str]) -> None:
        self._file, self._before = file, "[\n"

    def row(self, row: Row) -> None:
        self._file.write(self._before + json.dumps(row, ensure_ascii=False))
        self._before = ",\n"

    def end(self) -> None:
        self._file.write("[]\n" if self._before == "[\n" else "\n]\n")


@contextmanager
def _opened(path: Path | None) -> Iterator[IO[str]]:
    """Standard output, or a file that takes its place only once it is whole; raises `OSError`."""
    if path is None:
        # CSV ends its lines itself.
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(encoding="utf-8", newline="")
        yield sys.stdout
        sys.stdout.flush()
        return
    with tempfile.NamedTemporaryFile(
        "w", encoding="utf-8", newline="", dir=path.parent, prefix=f".{path.name}.", delete=False
    ) as file:
        partial = Path(file.name)
        try:
            yield file
            file.close()
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)

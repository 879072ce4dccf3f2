"""HTTP without a client library: whatever bytes one likes, and an answer or none within a time."""

import contextlib
import socket
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

_PATIENCE = 30.0


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent; Content-Length comes by itself unless a header of that name is there."""

    method: bytes
    target: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes = field(default=b"")

    def encode(self) -> bytes:
        """The bytes on the wire."""
        lines = [b"%b %b HTTP/1.1" % (self.method, self.target), b"host: 127.0.0.1"]
        lines += [b"%b: %b" % header for header in self.headers]
        if b"content-length" not in {name.lower() for name, _ in self.headers}:
            lines.append(b"content-length: %d" % len(self.body))
        return b"\r\n".join(lines) + b"\r\n\r\n" + self.body


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes


class Wire:
    """One connection at a time, opened anew when the other side has closed it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket: socket.socket | None = None
        self._rest = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connection."""
        if self._socket is not None:
            self._socket.close()
        self._socket, self._rest = None, b""

    def ask(self, request: Request) -> Reply:
        """The answer. Raises TimeoutError where none comes, ConnectionError where the connection ends before."""
        if self._socket is None:
            self._socket = socket.create_connection(("127.0.0.1", self._port), timeout=_PATIENCE)
        with contextlib.suppress(BrokenPipeError):  # the answer may be there before all is sent
            self._socket.sendall(request.encode())
        reply = self._reply(request)
        if reply.headers.get("connection") == "close":
            self.close()
        return reply

    def _reply(self, request: Request) -> Reply:
        head = self._until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        status = int(head[0].split(" ")[1])
        if status == 100:
            return self._reply(request)
        pairs = (line.split(":", 1) for line in head[1:] if line)
        headers = {name.strip().lower(): value.strip() for name, value in pairs}
        return Reply(status, headers, b"" if request.method == b"HEAD" else self._body(headers))

    def _body(self, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding") != "chunked":
            return self._exactly(int(headers.get("content-length", "0")))
        parts = []
        while size := int(self._until(b"\r\n"), 16):
            parts.append(self._exactly(size))
            self._until(b"\r\n")
        self._until(b"\r\n")
        return b"".join(parts)

    def _until(self, mark: bytes) -> bytes:
        while mark not in self._rest:
            self._read()
        found, _, self._rest = self._rest.partition(mark)
        return found

    def _exactly(self, size: int) -> bytes:
        while len(self._rest) < size:
            self._read()
        found, self._rest = self._rest[:size], self._rest[size:]
        return found

    def _read(self) -> None:
        assert self._socket is not None
        data = self._socket.recv(65536)
        if not data:
            raise ConnectionError("the connection was closed before the end of an answer")
        self._rest += data

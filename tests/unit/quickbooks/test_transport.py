"""A real server at the other end of a real socket, and what its misbehaviour is taken for."""

import asyncio
import gzip
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from qbsync.quickbooks.errors import NoAnswer, NotSent, QuickBooksError
from qbsync.quickbooks.transport import HttpRequest, HttpResponse, HttpTransport

SECRET = "Bearer very-secret-token"
BODY = b'{"DocNumber":"secret-number"}'
GOOD = b"HTTP/1.1 200 OK\r\nIntuit_Tid: 1-abc\r\nContent-Length: 2\r\n\r\n{}"
LONG = timedelta(seconds=10)
Talk = Callable[["Server", asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Server:
    """Talks as the test says, and remembers every request it read whole."""

    def __init__(self, talk: Talk) -> None:
        self.talk = talk
        self.requests: list[bytes] = []
        self.connections = 0
        self.port = 0
        self.scheme = "http"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            await self.talk(self, reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def read(self, reader: asyncio.StreamReader) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            (
                int(line.split(b":")[1])
                for line in head.lower().split(b"\r\n")
                if line.startswith(b"content-length")
            ),
            0,
        )
        self.requests.append(head + await reader.readexactly(length))


def reset(writer: asyncio.StreamWriter) -> None:
    """Close with a RST instead of a FIN."""
    raw = writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    writer.close()


@asynccontextmanager
async def serving(talk: Talk, context: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    server = Server(talk)
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=context)
    server.port = listener.sockets[0].getsockname()[1]
    server.scheme = "https" if context is not None else "http"
    try:
        yield server
    finally:
        listener.close()


@asynccontextmanager
async def transport(**options: object) -> AsyncIterator[HttpTransport]:
    wire = HttpTransport(max_connections=5, **options)  # type: ignore[arg-type]
    try:
        yield wire
    finally:
        await wire.aclose()


def request_to(server: Server, path: str = "/v3?minorversion=75", **headers: str) -> HttpRequest:
    return HttpRequest(
        "POST",
        f"{server.scheme}://127.0.0.1:{server.port}{path}",
        {"authorization": SECRET, "accept": "application/json", **headers},
        BODY,
    )


async def outcome(
    wire: HttpTransport, request: HttpRequest, *, timeout: timedelta = LONG
) -> HttpResponse | QuickBooksError:
    ended: HttpResponse | QuickBooksError
    try:
        ended = await wire.send(request, timeout=timeout)
    except QuickBooksError as error:
        ended = error
    if isinstance(ended, QuickBooksError):
        assert "secret" not in f"{ended!r} {ended} {vars(ended)}"
        assert (ended.__cause__, ended.__context__) == (None, None)
    return ended


async def say(
    server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *raw: bytes
) -> None:
    await server.read(reader)
    for part in raw:
        writer.write(part)
        await writer.drain()


def saying(*raw: bytes) -> Talk:
    """Read one request, answer these bytes, close."""

    async def talk(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await say(server, reader, writer, *raw)

    return talk


async def keep_talking(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        await say(server, reader, writer, GOOD)


async def test_a_good_answer() -> None:
    async with serving(keep_talking) as server, transport() as wire:
        response = await wire.send(request_to(server), timeout=LONG)
        assert (response.status, response.body, response.headers["intuit_tid"]) == (200, b"{}", "1-abc")
        (sent,) = server.requests
        head, _, body = sent.partition(b"\r\n\r\n")
        assert head.startswith(b"POST /v3?minorversion=75 HTTP/1.1\r\n")
        assert b"authorization: " + SECRET.encode() in head
        assert b"accept: application/json" in head
        assert body == BODY


async def test_a_get_has_no_body() -> None:
    async with serving(keep_talking) as server, transport() as wire:
        await wire.send(HttpRequest("GET", f"http://127.0.0.1:{server.port}/x", {}), timeout=LONG)
        assert b"content-length" not in server.requests[0].lower()


async def test_connections_are_kept() -> None:
    async with serving(keep_talking) as server, transport() as wire:
        for _ in range(3):
            await wire.send(request_to(server), timeout=LONG)
        assert server.connections == 1


@pytest.mark.parametrize(
    "status", [b"301 Moved", b"307 Temporary Redirect", b"401 No", b"429 Slow", b"500 Oh"]
)
async def test_every_complete_answer_is_returned_and_no_redirect_followed(status: bytes) -> None:
    talk = saying(b"HTTP/1.1 " + status + b"\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n")
    async with serving(talk) as server, transport() as wire:
        response = await wire.send(request_to(server), timeout=LONG)
        assert response.status == int(status[:3])
        assert len(server.requests) == 1


async def test_cookies_are_not_kept() -> None:
    async def talk(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await say(server, reader, writer, GOOD.replace(b"OK\r\n", b"OK\r\nSet-Cookie: company=1\r\n"))

    async with serving(talk) as server, transport() as wire:
        for _ in range(2):
            await wire.send(request_to(server), timeout=LONG)
        assert b"cookie" not in server.requests[1].lower()


async def test_gzip_is_unpacked() -> None:
    packed = gzip.compress(b'{"Id":"1"}')
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(packed)}\r\n\r\n".encode()
    async with serving(saying(head, packed)) as server, transport() as wire:
        assert (await wire.send(request_to(server), timeout=LONG)).body == b'{"Id":"1"}'


async def test_no_proxy_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with serving(keep_talking) as server, transport() as wire:
        assert (await wire.send(request_to(server), timeout=LONG)).status == 200


async def test_a_refused_connection_is_not_sent() -> None:
    async with serving(keep_talking) as server:
        request = request_to(server)
    async with transport() as wire:
        error = await outcome(wire, request)
    assert isinstance(error, NotSent)
    assert "no connection" in str(error)


@pytest.mark.parametrize(
    "url",
    [
        "https://nowhere.invalid/",
        "ftp://127.0.0.1/x",
        "http://127.0.0.1:99999/",
        "no address",
        "http://[::x]/",
    ],
)
async def test_an_unreachable_address_is_not_sent(url: str) -> None:
    async with transport() as wire:
        assert isinstance(await outcome(wire, HttpRequest("GET", url, {"authorization": SECRET})), NotSent)


@pytest.mark.parametrize(
    "value", ["very-secret\nline", "very-secret\r\nInjected: 1", "very-secret-ü", "secret\x00"]
)
async def test_a_header_that_http_does_not_allow_is_not_sent(value: str) -> None:
    async with serving(keep_talking) as server, transport() as wire:
        error = await outcome(wire, request_to(server, authorization=value))
        assert isinstance(error, NotSent)
        assert server.requests == []


async def test_tls_that_is_no_tls_is_not_sent() -> None:
    async def talk(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with serving(talk) as server, transport() as wire:
        server.scheme = "https"
        assert isinstance(await outcome(wire, request_to(server)), NotSent)


async def test_tls_handshake_cut_off_is_not_sent() -> None:
    async def talk(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        reset(writer)

    async with serving(talk) as server, transport() as wire:
        server.scheme = "https"
        assert isinstance(await outcome(wire, request_to(server)), NotSent)
        assert server.connections == 1


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for 127.0.0.1 and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    file = tmp_path_factory.mktemp("tls") / "both.pem"
    unlocked = serialization.NoEncryption()
    file.write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, unlocked) + made.public_bytes(pem)
    )
    return file


def serving_tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


async def test_a_certificate_nobody_vouches_for_is_not_sent(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    async with serving(keep_talking, serving_tls(certificate)) as server, transport() as wire:
        error = await outcome(wire, request_to(server))
        assert isinstance(error, NotSent)
        assert "CERTIFICATE_VERIFY_FAILED" in str(error)
        assert server.requests == []


async def test_a_trusted_certificate(certificate: Path) -> None:
    trusting = ssl.create_default_context(cafile=certificate)
    async with (
        serving(keep_talking, serving_tls(certificate)) as server,
        transport(ssl_context=trusting) as wire,
    ):
        assert (await wire.send(request_to(server), timeout=LONG)).status == 200


async def close_half_way(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(10)
    reset(writer)


async def close_after_reading(
    server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    await server.read(reader)


async def reset_after_reading(
    server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    await server.read(reader)
    reset(writer)


@pytest.mark.parametrize(
    "talk",
    [
        close_half_way,
        close_after_reading,
        reset_after_reading,
        saying(b"HTTP/1.1 200 OK\r\nContent-Le"),
        saying(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}"),
        saying(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n"),
        saying(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}"),
        saying(b"secret nonsense\r\n\r\n"),
        saying(b"\x00" * 200_000),
    ],
)
async def test_what_ends_without_a_complete_answer_may_have_been_processed(talk: Talk) -> None:
    async with serving(talk) as server, transport() as wire:
        assert isinstance(await outcome(wire, request_to(server)), NoAnswer)


async def test_a_timeout_after_sending() -> None:
    over = asyncio.Event()

    async def talk(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.read(reader)
        await over.wait()

    async with serving(talk) as server, transport() as wire:
        error = await outcome(wire, request_to(server), timeout=timedelta(seconds=0.2))
        over.set()
        assert isinstance(error, NoAnswer)
        assert "within 0.2 s" in str(error)
        assert len(server.requests) == 1


async def test_the_timeout_bounds_the_whole_answer_not_the_gaps_in_it() -> None:
    async def talk(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await say(server, reader, writer, b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(1000):
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.02)

    async with serving(talk) as server, transport() as wire:
        async with asyncio.timeout(5):
            error = await outcome(wire, request_to(server), timeout=timedelta(seconds=0.3))
        assert isinstance(error, NoAnswer)


async def test_waiting_for_a_connection_in_vain_is_not_sent() -> None:
    over = asyncio.Event()

    async def talk(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.read(reader)
        await over.wait()
        writer.write(GOOD)

    async with serving(talk) as server, transport() as wire:
        busy = [asyncio.create_task(wire.send(request_to(server), timeout=LONG)) for _ in range(5)]
        while len(server.requests) < 5:
            await asyncio.sleep(0.01)
        error = await outcome(wire, request_to(server), timeout=timedelta(seconds=0.2))
        assert isinstance(error, NotSent)
        over.set()
        assert [response.status for response in await asyncio.gather(*busy)] == [200] * 5


async def test_a_kept_connection_closed_under_a_request_is_no_answer() -> None:
    """The second request reaches a server that hangs up on it: it may have been read."""

    async def talk(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await say(server, reader, writer, GOOD)
        await server.read(reader)
        reset(writer)

    async with serving(talk) as server, transport() as wire:
        await wire.send(request_to(server), timeout=LONG)
        assert isinstance(await outcome(wire, request_to(server)), NoAnswer)
        assert (server.connections, len(server.requests)) == (1, 2)


async def test_a_kept_connection_closed_while_idle_is_not_used() -> None:
    closed = asyncio.Event()

    async def talk(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await say(server, reader, writer, GOOD)
        writer.close()
        await writer.wait_closed()
        closed.set()

    async with serving(talk) as server, transport() as wire:
        await wire.send(request_to(server), timeout=LONG)
        await closed.wait()
        assert (await wire.send(request_to(server), timeout=LONG)).status == 200
        assert server.connections == 2


async def test_closing_ends_calls_under_way_without_an_answer() -> None:
    over = asyncio.Event()

    async def talk(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.read(reader)
        await over.wait()

    async with serving(talk) as server, transport() as wire:
        task = asyncio.create_task(outcome(wire, request_to(server)))
        while not server.requests:
            await asyncio.sleep(0.01)
        await wire.aclose()
        assert isinstance(await task, NoAnswer)
        over.set()


async def test_a_cancelled_call_is_cancelled_and_leaves_the_others_alone() -> None:
    over = asyncio.Event()

    async def talk(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.read(reader)
        await over.wait()
        writer.write(GOOD)

    async with serving(talk) as server, transport() as wire:
        doomed = asyncio.create_task(wire.send(request_to(server), timeout=LONG))
        other = asyncio.create_task(wire.send(request_to(server), timeout=LONG))
        while len(server.requests) < 2:
            await asyncio.sleep(0.01)
        doomed.cancel()
        with pytest.raises(asyncio.CancelledError):
            await doomed
        over.set()
        assert (await other).status == 200


async def test_an_answer_beyond_all_measure_is_no_answer() -> None:
    async def talk(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        bomb = gzip.compress(b"\0" * 80_000_000, compresslevel=1)
        head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(bomb)}\r\n\r\n"
        await say(server, reader, writer, head.encode(), bomb)

    async with serving(talk) as server, transport() as wire:
        assert isinstance(await outcome(wire, request_to(server)), NoAnswer)

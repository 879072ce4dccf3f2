"""A TCP proxy before the simulator that can hold what passes, in either direction: the network at its worst."""

import contextlib
import select
import socket
import threading
from typing import Self
from urllib.parse import urlsplit

from cluster.harness.eavesdropper import TOKEN_PATH

_CHUNK = 65536


class Gate:
    """Forwards to `base_url` until the `with` block is left.

    `hold_requests` and `hold_answers` stop one direction, `shut` stops everybody on the doorstep; `let_pass` opens
    all, and what was held goes on.
    """

    def __init__(self, base_url: str, *, listening: bool = True) -> None:
        """Not `listening`: everybody is refused until `let_pass`."""
        target = urlsplit(base_url)
        self._target = (target.hostname or "127.0.0.1", target.port or 80)
        self._requests_pass, self._answers_pass = threading.Event(), threading.Event()
        self.held = threading.Event()
        """Something is being held, or was."""
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self._losses = 0
        self._sockets: list[socket.socket] = []
        self._open = threading.Event()
        self._queue: list[socket.socket] = []
        if listening:
            self.let_pass()

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    @property
    def token_url(self) -> str:
        return self.origin + TOKEN_PATH

    def shut(self) -> None:
        """Connecting takes for ever from now on: nobody gets as far as sending anything."""
        self._open.clear()
        for end in self._sockets:
            _hang_up(end)
        self._listener.listen(0)
        # Strangers queue up until there is no room.
        while True:
            stranger = socket.socket()
            stranger.setblocking(False)
            stranger.connect_ex(self._listener.getsockname())
            self._queue.append(stranger)
            if not select.select([], [stranger], [], 0.5)[1]:
                return

    def hold_requests(self) -> None:
        """The provider hears nothing from now on."""
        self.held.clear()
        self._requests_pass.clear()

    def hold_answers(self) -> None:
        """Nobody hears the provider from now on."""
        self.held.clear()
        self._answers_pass.clear()

    def let_pass(self) -> None:
        """Everything passes, also what was held."""
        for stranger in self._queue:
            stranger.close()
        self._queue.clear()
        self._listener.listen()
        self._open.set()
        self._requests_pass.set()
        self._answers_pass.set()

    def lose(self) -> None:
        """Everything that comes from now on passes; what was held is lost."""
        self._losses += 1
        self.let_pass()

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, name="gate", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.let_pass()
        for end in (self._listener, *self._sockets):
            _hang_up(end)
            end.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                self._open.wait()
                near, _ = self._listener.accept()
                far = socket.create_connection(self._target)
                self._sockets += [near, far]
                for source, sink, passing in (
                    (near, far, self._requests_pass),
                    (far, near, self._answers_pass),
                ):
                    arguments = (source, sink, passing, self._losses)
                    threading.Thread(target=self._pump, args=arguments, daemon=True).start()

    def _pump(
        self, source: socket.socket, sink: socket.socket, passing: threading.Event, losses: int
    ) -> None:
        with contextlib.suppress(OSError):
            while chunk := source.recv(_CHUNK):
                if not passing.is_set():
                    self.held.set()
                    passing.wait()
                if losses != self._losses:
                    break
                sink.sendall(chunk)
        for end in (source, sink):
            _hang_up(end)


def _hang_up(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)

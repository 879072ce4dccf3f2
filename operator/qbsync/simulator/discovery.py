"""What an OpenID client reads before anything else: the discovery documents and the public keys."""

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from qbsync.simulator import headers, jsoncodec
from qbsync.simulator.oauth_http import DISCOVERY_PATHS, JWKS_PATH, discovery_document
from qbsync.simulator.responses import TOKEN_JSON, Answer
from qbsync.simulator.world import World


class Discovery:
    """Both documents, with and without a trailing slash. Their addresses point back at this server."""

    def __init__(self, world: Callable[[], World]) -> None:
        self._world = world

    def routes(self) -> list[Route]:
        """Every path, as starlette wants it."""
        paths = (path for known in sorted(DISCOVERY_PATHS) for path in (known, f"{known}/"))
        return [*(Route(path, self._document) for path in paths), Route(JWKS_PATH, self._jwks)]

    async def _document(self, request: Request) -> Response:
        base = f"{request.url.scheme}://{request.headers.get('host', 'localhost')}"
        return self._response(Answer(200, jsoncodec.dump(discovery_document(base)), TOKEN_JSON))

    async def _jwks(self, _: Request) -> Response:
        return self._response(Answer(200, jsoncodec.dump(self._world().signer.jwks()), TOKEN_JSON))

    def _response(self, answer: Answer) -> Response:
        world = self._world()
        response = Response(answer.body, answer.status)
        tid = headers.new_tid(world.tids, world.clock.timestamp())
        response.raw_headers = headers.for_token_answer(answer, tid=tid)
        return response

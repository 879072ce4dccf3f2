"""One POST over the network. The only module of the simulator that knows the HTTP client."""

import ssl
from collections.abc import Mapping
from functools import cache

import httpx2

from qbsync.simulator.webhooks.deliverer import NotDelivered


async def post(url: str, body: bytes, headers: Mapping[str, str]) -> int:
    """The status of the answer, whose body nobody reads. No redirects, no proxy, no time limit of its own.

    Raises NotDelivered.
    """
    try:
        async with (
            httpx2.AsyncClient(
                verify=_trusted(), trust_env=False, follow_redirects=False, timeout=None
            ) as client,
            client.stream("POST", url, content=body, headers=dict(headers)) as response,
        ):
            return response.status_code
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise NotDelivered(f"{type(error).__name__}: {error}") from None


@cache
def _trusted() -> ssl.SSLContext:
    return ssl.create_default_context()

"""What the Kubernetes API can answer, classified once.

KubeError
├── NotFound      404: the object is gone
├── Conflict      409: somebody wrote in between, or it exists already
├── Invalid       422: refused by the schema, or a JSON patch `test` did not hold
├── Forbidden     401, 403: the operator's RBAC or login lacks something
├── Rejected      any other 4xx
└── Unavailable   no answer, 429, 5xx: try again later
"""


class KubeError(Exception):
    """A call to the Kubernetes API failed; `status` is the HTTP status, None without an answer."""

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class NotFound(KubeError):
    """The object is gone."""


class Conflict(KubeError):
    """The object was written in between, or exists already."""


class Invalid(KubeError):
    """The API server refused the content, or a `test` of a JSON patch did not hold."""


class Forbidden(KubeError):
    """The operator may not do this: its Role, ClusterRole or login lacks something."""


class Rejected(KubeError):
    """The request can never work as it is."""


class Unavailable(KubeError):
    """The API server did not answer, or asks to come back later."""


_BY_STATUS: dict[int, type[KubeError]] = {
    401: Forbidden,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    422: Invalid,
}


def from_status(status: int, message: str) -> KubeError:
    """The exception for a non-2xx answer."""
    if status == 429 or status >= 500:
        return Unavailable(message, status=status)
    return _BY_STATUS.get(status, Rejected)(message, status=status)

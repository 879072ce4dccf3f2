"""What the engine passes around: which object, of which company; never its content."""

from dataclasses import dataclass

from qbsync.api.meta import Kind


@dataclass(frozen=True, slots=True)
class Company:
    """The unit of work: the connection an object belongs to, whether that exists or not."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """One object's identity. A re-created object has another uid and is another key."""

    kind: Kind
    namespace: str
    name: str
    uid: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.namespace}/{self.name}"

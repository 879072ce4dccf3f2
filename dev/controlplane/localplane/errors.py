"""What can go wrong, told to a person."""


class ControlPlaneError(Exception):
    """Something that the user has to know; the message says what, and what to do about it."""


class BuildError(ControlPlaneError):
    """A program could not be built, or the Go toolchain not be found."""


class StartError(ControlPlaneError):
    """The control plane did not come up; nothing of it is left."""

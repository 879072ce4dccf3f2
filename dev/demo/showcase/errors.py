"""What goes wrong in a demo, in words for whoever watches it."""


class DemoError(Exception):
    """The demo cannot go on; the message says why and where to look."""

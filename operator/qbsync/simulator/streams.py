"""Randomness from the seed: one independent stream per purpose, so that one use never shifts another."""

import random


class Streams:
    """Named random generators, all derived from one seed."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._streams: dict[str, random.Random] = {}

    def stream(self, name: str) -> random.Random:
        """The generator of that name; the same object every time."""
        if name not in self._streams:
            self._streams[name] = random.Random(f"{self._seed}:{name}")  # noqa: S311
        return self._streams[name]

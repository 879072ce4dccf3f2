"""How long answers take: log-normal, from the seed, through the median and the 99th percentile asked for."""

import math
from random import Random

from qbsync.simulator.options import Latency

_Z99 = 2.3263478740408408


class LatencySampler:
    """Draws one duration in seconds per call; 0 without a latency."""

    def __init__(self, latency: Latency | None, random: Random) -> None:
        self._random = random
        self._mu = self._sigma = 0.0
        self._none = latency is None or latency.p50.total_seconds() == 0
        if latency is not None and not self._none:
            self._mu = math.log(latency.p50.total_seconds())
            self._sigma = (math.log(latency.p99.total_seconds()) - self._mu) / _Z99

    def draw(self) -> float:
        """Seconds for one call."""
        return 0.0 if self._none else self._random.lognormvariate(self._mu, self._sigma)

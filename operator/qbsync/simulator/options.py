"""How a simulator is started: one frozen object, and the readers of its textual forms."""

import ipaddress
import re
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path

from qbsync.simulator.webhooks.endpoints import url_problem
from qbsync.simulator.webhooks.events import Format

_DURATION = re.compile(r"(?P<number>\d+(?:\.\d+)?)(?P<unit>ms|s|m|h)?")
_UNITS = {"ms": 0.001, "s": 1.0, None: 1.0, "m": 60.0, "h": 3600.0}


class Profile(StrEnum):
    """How hard the simulator makes life; what each one sets is in profiles.py."""

    REALISTIC = "realistic"
    STRICT = "strict"
    HOSTILE = "hostile"
    UNLIMITED = "unlimited"


@dataclass(frozen=True, slots=True)
class Latency:
    """How long answers take, in real time: half of them at most `p50`, all but one in a hundred at most `p99`."""

    p50: timedelta
    p99: timedelta


@dataclass(frozen=True, slots=True)
class SimulatorOptions:
    """Everything that can be chosen before the start.

    `latency` None leaves it to the profile; `server_timeout` bounds late commits and slow answers, as
    QuickBooks' own 120 s do; `control_token` is mandatory when `host` is not a loopback address. The first app
    hears of changes at `webhook_url`, signed with the verifier token (one from the seed by default), in the format
    `cloudevents` or `legacy`.
    """

    port: int = 8480
    host: str = "127.0.0.1"
    seed: int = 1
    company: Path | None = None
    profile: Profile = Profile.REALISTIC
    latency: Latency | None = None
    server_timeout: timedelta = timedelta(seconds=120)
    json: bool = False
    control_token: str | None = None
    webhook_url: str | None = None
    webhook_verifier_token: str | None = None
    webhook_format: str = "cloudevents"

    @property
    def on_loopback(self) -> bool:
        """Whether only this machine can reach the simulator."""
        return is_loopback(self.host)

    @property
    def on_every_address(self) -> bool:
        """Whether `host` is a wildcard, so that the Host header can be any name of this machine."""
        return self.host in {"0.0.0.0", "::", ""}  # noqa: S104

    def problem(self) -> str | None:
        """What stands in the way of a start, in one line, or None."""
        if not self.on_loopback and not self.control_token:
            return (
                f"--host {self.host} is not a loopback address: the control door then needs --control-token"
            )
        if self.server_timeout <= timedelta():
            return "--server-timeout must be more than nothing"
        if self.webhook_url is not None and url_problem(self.webhook_url) is not None:
            return f"--webhook-url {self.webhook_url} {url_problem(self.webhook_url)}"
        if self.webhook_format not in set(Format):
            return f"--webhook-format is {' or '.join(Format)}, not {self.webhook_format}"
        return None


def is_loopback(host: str) -> bool:
    """Whether a name or address without port means this machine only."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def parse_duration(text: str) -> timedelta:
    """`120s`, `500ms`, `2m` or plain seconds. Raises ValueError."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"not a duration such as 120s or 500ms: {text!r}")
    return timedelta(seconds=float(match["number"]) * _UNITS[match["unit"]])


def parse_latency(text: str) -> Latency:
    """`160,800`: the median and the 99th percentile in milliseconds. Raises ValueError."""
    try:
        p50, p99 = (timedelta(milliseconds=float(part.removesuffix("ms"))) for part in text.split(","))
    except ValueError:
        raise ValueError(
            f"not a latency such as 160,800 (milliseconds, median and 99th percentile): {text!r}"
        ) from None
    if not timedelta() <= p50 <= p99:
        raise ValueError(f"the 99th percentile must not be below the median: {text!r}")
    return Latency(p50, p99)

"""One simulator per worker, as new for every test, and a person who gives consent on its page."""

from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import pytest

from fixtures.simulator_server import RunningSimulator
from sdk.consent import Person


@pytest.fixture(scope="session")
def shared_simulator() -> Iterator[RunningSimulator]:
    with RunningSimulator(profile="unlimited") as simulator:
        yield simulator


@pytest.fixture
def simulator(shared_simulator: RunningSimulator, monkeypatch: pytest.MonkeyPatch) -> RunningSimulator:
    """The worker's simulator, as at its start."""
    # A developer's proxy is not for loopback; oauthlib, which python-quickbooks uses, speaks plain HTTP when told.
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")
    shared_simulator.ready = {**shared_simulator.ready, **shared_simulator.reset()}
    shared_simulator.realm_id = shared_simulator.ready["realmId"]
    return shared_simulator


@pytest.fixture
def person() -> Iterator[Person]:
    """Somebody with a browser and a QuickBooks company."""
    with Person() as somebody:
        yield somebody


def parameters(url: str) -> dict[str, str]:
    """The query of an address, one value a name."""
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}

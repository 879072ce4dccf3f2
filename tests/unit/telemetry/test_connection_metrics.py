"""What the metrics say about connections: circuits, keys, whether a token was taken."""

import random
from datetime import timedelta

from fakes.clock import FakeClock
from qbsync.api.meta import API_VERSION, Kind
from qbsync.engine.breaker import Circuits, Endpoint
from qbsync.engine.keys import Company
from qbsync.engine.store import ObjectStore
from qbsync.leading import company_of
from qbsync.telemetry.metrics import Metrics

ACME = Company("ns", "acme")


def _lines(metrics: Metrics, name: str) -> list[str]:
    text = metrics.exposition().decode()
    return sorted(line for line in text.splitlines() if line.startswith(f"qbsync_{name}"))


async def test_circuit_state_by_endpoint_gone_with_the_connection() -> None:
    clock, metrics = FakeClock(), Metrics()
    circuits = Circuits(clock=clock, rng=random.Random(1))
    for _ in range(5):
        with circuits.of(ACME, Endpoint.API).call() as call:
            call.failed = True
    metrics.measure_circuits(ACME, circuits.each(ACME))
    labels = 'connection="acme",endpoint="{}",namespace="ns"'
    assert _lines(metrics, "circuit_state") == [
        f"qbsync_circuit_state{{{labels.format('api')}}} 2.0",
        f"qbsync_circuit_state{{{labels.format('token')}}} 0.0",
    ]
    await clock.advance(timedelta(seconds=45))
    metrics.measure_circuits(ACME, circuits.each(ACME))
    assert _lines(metrics, "circuit_state")[0].endswith(" 1.0")
    metrics.forget(ACME)
    assert _lines(metrics, "circuit_state") == []


def test_secrets_by_key_counts_what_each_key_still_holds() -> None:
    metrics, store = Metrics(), ObjectStore(clock=FakeClock(), company_of=company_of)
    for number, key in enumerate(["aaaaaaaa", "aaaaaaaa", "bbbbbbbb", None]):
        status = {"encryption": {"keyId": key, "sequence": 1}} if key else {}
        metadata = {"namespace": "ns", "name": f"c{number}", "uid": str(number), "generation": 1}
        body = {
            "apiVersion": API_VERSION,
            "kind": Kind.CONNECTION.value,
            "metadata": {**metadata, "resourceVersion": "1"},
            "spec": {},
            "status": status,
        }
        store.observe(Kind.CONNECTION, body)
    for _ in range(2):
        metrics.count_keys(store.all(Kind.CONNECTION))
    assert _lines(metrics, "secrets_by_key") == [
        'qbsync_secrets_by_key{key_id="aaaaaaaa"} 2.0',
        'qbsync_secrets_by_key{key_id="bbbbbbbb"} 1.0',
    ]


def test_auth_checks_say_whether_the_token_was_taken() -> None:
    metrics = Metrics()
    observer = metrics.requests_of(ACME)
    for status in (200, 200, 401, 403, 400, 500, None):
        observer.observed(operation="query", status=status, code=None, seconds=0.1, metered=False)
    counted = {line.split('result="')[1].split('"')[0]: line[-3:] for line in _lines(metrics, "auth_checks")}
    assert counted == {"accepted": "2.0", "unauthorized": "1.0", "forbidden": "1.0"}

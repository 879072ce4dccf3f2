"""The kube room against a real API server: what the in-memory fakes of other tests promise in its place."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from kubernetes.aio import client, config

from qbsync.api.meta import API_VERSION, Kind
from qbsync.kube import errors
from qbsync.kube.api import KubeApi
from qbsync.kube.election import Election
from qbsync.kube.events import EventRecorder, EventType, Occurrence, Regarding
from qbsync.kube.lease import LeaseTimes
from qbsync.kube.objects import KubeObjects
from qbsync.kube.secrets import KubeSecrets, Secret

TIMES = LeaseTimes(timedelta(seconds=2))


async def connected(kubeconfig: Path, timeout: timedelta = timedelta(seconds=30)) -> KubeApi:
    configuration = client.Configuration()
    await config.load_kube_config(config_file=str(kubeconfig), client_configuration=configuration)
    return KubeApi(configuration, timeout=timeout)


@pytest.fixture
async def api(controlplane: Path) -> AsyncIterator[KubeApi]:
    made = await connected(controlplane)
    yield made
    await made.aclose()


def invoice(namespace: str, name: str) -> dict[str, Any]:
    return {
        "apiVersion": API_VERSION,
        "kind": "InvoiceSync",
        # Nobody's: operators of other tests leave it alone.
        "metadata": {"name": name, "namespace": namespace, "labels": {"qbsync.dev/instance": "none"}},
        "spec": {
            "connectionRef": {"name": "acme"},
            "invoice": {
                "docNumber": "1",
                "customer": {"id": "1"},
                "lines": [{"item": {"id": "1"}, "amount": "1.00"}],
            },
        },
    }


async def test_a_secret_is_replaced_only_in_the_version_that_was_read(api: KubeApi, namespace: str) -> None:
    secrets = KubeSecrets(api)
    made = await secrets.create(Secret(namespace, "tokens", "qbsync.dev/tokens", {"envelope": b"one"}))
    with pytest.raises(errors.Conflict):
        await secrets.create(made)
    second = await secrets.replace(Secret(**{**_fields(made), "data": {"envelope": b"two"}}))
    with pytest.raises(errors.Conflict):
        await secrets.replace(made)
    assert (await secrets.get(namespace, "tokens")).data == {"envelope": b"two"}
    assert "two" not in repr(second)
    with pytest.raises(errors.NotFound):
        await secrets.get(namespace, "nothing")


async def test_emptied_keys_are_empty_and_the_others_stay(api: KubeApi, namespace: str) -> None:
    secrets = KubeSecrets(api)
    made = await secrets.create(
        Secret(namespace, "import", data={"refresh_token": b"secret", "note": b"mine"})
    )
    emptied = await secrets.empty_keys(made, ["refresh_token", "access_token"])
    assert emptied.data == {"refresh_token": b"", "note": b"mine"}
    with pytest.raises(errors.Conflict):
        await secrets.empty_keys(made, ["note"])


@pytest.mark.usefixtures("crds_installed")
async def test_a_status_lands_only_on_the_object_with_that_uid(api: KubeApi, namespace: str) -> None:
    objects = KubeObjects(api, namespaces=[namespace])
    path = f"/apis/{API_VERSION}/namespaces/{namespace}/invoicesyncs"
    made = await api.post(path, invoice(namespace, "a"))
    uid = made["metadata"]["uid"]
    status = {"observedGeneration": 1, "quickbooksId": "7"}
    written = await objects.replace_status(Kind.INVOICE, namespace, "a", uid, status)
    assert written["status"] == status
    with pytest.raises(errors.Invalid):
        await objects.replace_status(Kind.INVOICE, namespace, "a", "another-uid", {"quickbooksId": "8"})
    with pytest.raises(errors.Invalid):
        await objects.replace_status(Kind.INVOICE, namespace, "a", uid, {"quickbooksId": 8})
    with pytest.raises(errors.NotFound):
        await objects.replace_status(Kind.INVOICE, namespace, "b", uid, status)
    assert (await objects.read(Kind.INVOICE, namespace, "a"))["status"] == status


@pytest.mark.usefixtures("crds_installed")
async def test_a_list_names_every_object_over_all_its_pages(
    api: KubeApi, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qbsync.kube.objects.LIST_PAGE", 2)
    objects = KubeObjects(api, namespaces=[namespace])
    path = f"/apis/{API_VERSION}/namespaces/{namespace}/invoicesyncs"
    made = {(await api.post(path, invoice(namespace, f"i{n}")))["metadata"]["uid"] for n in range(5)}
    assert {meta.uid async for meta in objects.list_metadata(Kind.INVOICE)} == made
    assert await objects.missing() == set()


async def test_what_repeats_is_one_event_with_a_series(api: KubeApi, namespace: str) -> None:
    recorder = EventRecorder(api, instance="test")
    regarding = Regarding(API_VERSION, "InvoiceSync", namespace, "a", "uid-a")
    for _ in range(3):
        recorder.record(Occurrence(regarding, EventType.WARNING, "InvoiceRejected", "Reconcile", "no"))
    recorder.record(Occurrence(regarding, EventType.NORMAL, "InvoiceCreated", "Reconcile", "yes"))
    await recorder.flush()
    listed = (await api.get(f"/apis/events.k8s.io/v1/namespaces/{namespace}/events"))["items"]
    seen = {event["reason"]: (event.get("series") or {}).get("count") for event in listed}
    assert seen == {"InvoiceRejected": 3, "InvoiceCreated": None}


async def test_a_released_lease_passes_on_at_once_and_cleanly(controlplane: Path, namespace: str) -> None:
    first, second = election(controlplane, namespace, "first"), election(controlplane, namespace, "second")
    first.start()
    assert (await asyncio.wait_for(first.won(), 20)).clean
    assert first.holds()
    second.start()
    await first.stop(release=True)
    assert not first.holds()
    assert (await asyncio.wait_for(second.won(), 20)).clean
    await second.stop(release=True)


async def test_a_lease_that_was_not_released_passes_on_after_its_time_and_not_cleanly(
    controlplane: Path, namespace: str
) -> None:
    first, second = election(controlplane, namespace, "first"), election(controlplane, namespace, "second")
    first.start()
    await asyncio.wait_for(first.won(), 20)
    await first.stop(release=False)
    second.start()
    takeover = await asyncio.wait_for(second.won(), 20)
    assert not takeover.clean
    assert takeover.rival_duration == TIMES.duration
    assert takeover.rival_last_seen > 0
    await second.stop(release=True)


async def test_a_holder_whose_lease_was_taken_notices_and_stops(
    api: KubeApi, controlplane: Path, namespace: str
) -> None:
    holder = election(controlplane, namespace, "holder")
    holder.start()
    await asyncio.wait_for(holder.won(), 20)
    path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/qbsync"
    await api.json_patch(path, [{"op": "replace", "path": "/spec/holderIdentity", "value": "thief"}])
    await asyncio.wait_for(holder.lost(), 20)
    assert not holder.holds()
    await holder.stop(release=True)
    assert (await api.get(path))["spec"]["holderIdentity"] == "thief"


def election(kubeconfig: Path, namespace: str, identity: str) -> Election:
    return Election(
        connect=lambda timeout: connected(kubeconfig, timeout),
        namespace=namespace,
        name="qbsync",
        identity=identity,
        times=TIMES,
    )


def _fields(secret: Secret) -> dict[str, Any]:
    names = ("namespace", "name", "type", "data", "labels", "annotations", "resource_version", "uid")
    return {name: getattr(secret, name) for name in names}

"""The token Secret under the keeper's feet: taken, damaged, deleted, rolled back, moved."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from qbsync.api.reasons import ConnectionReason
from qbsync.kube.secrets import Secret
from qbsync.tokens.health import RefreshOutcome
from qbsync.tokens.keyring import Keyring
from unit.tokens.world import KEYS, NAMESPACE, TOKENS, World, events, outcomes, requested

FRESH = ConnectionReason.TOKEN_FRESH


async def test_a_secret_of_somebody_else_is_left_alone() -> None:
    world = World()
    theirs = world.secrets.put(Secret(NAMESPACE, TOKENS, data={"envelope": b"mine"}))
    world.set_import()
    health = await world.keeper().ensure(world.spec)
    assert health.reason is ConnectionReason.SECRET_CONFLICT
    assert "spec.tokens.secretName" in health.message
    assert world.secrets.peek(NAMESPACE, TOKENS) == theirs
    assert world.sent() == []


async def test_a_secret_of_another_connection_or_company_is_left_alone() -> None:
    world = World()
    await world.started()
    theirs = world.stored()
    for spec in (replace(world.spec, name="other"), replace(world.spec, realm="1")):
        health = await world.keeper().ensure(spec)
        assert health.reason is ConnectionReason.SECRET_CONFLICT
        assert world.stored() == theirs


async def test_a_copied_envelope_does_not_open() -> None:
    world = World()
    await world.started()
    other = replace(world.spec, name="other", tokens_secret_name="other-qbsync-tokens")
    copied = replace(
        world.stored(),
        name=other.tokens_secret_name,
        labels={**world.stored().labels, "qbsync.dev/connection": "other"},
    )
    kept = world.secrets.put(copied)
    health = await world.keeper().ensure(other)
    assert (health.reason, health.usable) == (ConnectionReason.DECRYPTION_FAILED, False)
    assert events(health) == ["DecryptionFailed"]
    assert world.secrets.peek(NAMESPACE, other.tokens_secret_name) == kept


async def test_a_wrong_key_is_named_and_nothing_is_overwritten() -> None:
    world = World()
    await world.started()
    old = world.keyring.primary.kid
    world.keyring = Keyring.from_environment({"ENCRYPTION_MASTER_KEY": "base64:" + "B" * 43 + "="})
    kept = world.stored()
    spec, how = requested(world.spec, "please")
    health = await world.keeper().ensure(spec, **how)
    assert health.reason is ConnectionReason.DECRYPTION_FAILED
    assert f"encrypted with key {old}, this operator has {world.keyring.primary.kid}" in health.message
    assert health.handled
    assert world.stored() == kept


async def test_the_old_key_still_opens_and_the_next_write_uses_the_new_one(tmp_path: Path) -> None:
    world = World()
    await world.started()
    (tmp_path / "1-new").write_text("base64:" + "B" * 43 + "=\n")
    (tmp_path / "2-old").write_text(KEYS["ENCRYPTION_MASTER_KEY"])
    world.keyring = Keyring.from_directory(tmp_path)
    keeper = world.keeper()
    health = await keeper.ensure(world.spec)
    assert (health.reason, health.key_id) == (FRESH, world.keyring.kids[1])
    await world.advance(minutes=40)
    health = await keeper.ensure(world.spec)
    assert health.key_id == world.keyring.kids[0]


async def test_damaged_while_the_token_lives_is_said_and_the_token_serves_on() -> None:
    world = World()
    keeper = await world.started()
    whole = world.stored()
    world.secrets.put(replace(whole, data={"envelope": whole.data["envelope"][:-4] + b"AAAA"}))
    await world.advance(minutes=40)
    health = await keeper.ensure(world.spec)
    assert (health.reason, health.usable) == (ConnectionReason.DECRYPTION_FAILED, True)
    world.secrets.put(whole)
    await world.until(health.next_due)
    assert (await keeper.ensure(world.spec)).reason is FRESH


async def test_deleted_between_refreshes_is_made_again_from_memory() -> None:
    world = World()
    keeper = await world.started()
    world.secrets.delete(NAMESPACE, TOKENS)
    await world.advance(minutes=40)
    health = await keeper.ensure(world.spec)
    assert (health.reason, outcomes(health)) == (FRESH, [RefreshOutcome.REFRESHED])
    assert world.grant().refresh_token.get_secret_value() == world.endpoint.current


async def test_an_older_copy_is_corrected_from_memory() -> None:
    world = World()
    keeper = await world.started()
    old = world.stored()
    await world.advance(minutes=40)
    await keeper.ensure(world.spec)
    world.secrets.put(replace(old, resource_version=""))
    await world.advance(minutes=40)
    health = await keeper.ensure(world.spec)
    assert "TokenStoreRolledBack" in events(health)
    assert outcomes(health) == [RefreshOutcome.REFRESHED]
    assert world.endpoint.refusals == 0
    assert health.sequence == 4


async def test_rolled_back_store_after_a_restart_is_probed_with_care() -> None:
    world = World()
    world.endpoint.rotate = False
    await world.started()
    await world.advance(minutes=90)
    world.spec = replace(world.spec, known_sequence=9)
    keeper = world.keeper()
    health = await keeper.ensure(world.spec)
    assert events(health) == ["TokenStoreRolledBack"]
    assert len(world.sent()) == 1
    assert "rolled back" in health.message
    await world.advance(seconds=181)
    health = await keeper.ensure(world.spec)
    assert outcomes(health) == [RefreshOutcome.REFRESHED]
    assert health.sequence == 10


async def test_a_restored_object_takes_the_secret_over() -> None:
    world = World()
    await world.started()
    world.spec = replace(world.spec, uid="uid-after-restore")
    keeper = world.keeper()
    health = await keeper.ensure(world.spec)
    assert (health.reason, events(health)) == (FRESH, ["TokensAdopted"])
    assert events(await keeper.ensure(world.spec)) == []
    await world.advance(minutes=40)
    await keeper.ensure(world.spec)
    assert world.grant().uid == "uid-after-restore"
    assert len(world.sent()) == 2


async def test_other_keys_labels_and_annotations_survive_a_write() -> None:
    world = World()
    keeper = await world.started()
    secret = world.stored()
    world.secrets.put(
        replace(
            secret,
            data={**secret.data, "note": b"hands off"},
            labels={**secret.labels, "team": "billing"},
            annotations={"velero.io/backup": "yes"},
        )
    )
    await world.advance(minutes=40)
    await keeper.ensure(world.spec)
    after = world.stored()
    assert after.data["note"] == b"hands off"
    assert after.labels["team"] == "billing"
    assert after.annotations == {"velero.io/backup": "yes"}


async def test_no_grant_and_no_import() -> None:
    world = World()
    world.spec = replace(world.spec, import_ref=None)
    keeper = world.keeper()
    health = await keeper.ensure(world.spec)
    assert health.reason is ConnectionReason.REAUTHORIZATION_REQUIRED
    assert (health.authorized.status, health.next_refresh, health.sequence) == (False, None, None)
    assert health.next_due - world.clock.now() <= timedelta(minutes=1)
    calls = len(world.secrets.calls)
    await keeper.ensure(world.spec)
    assert len(world.secrets.calls) == calls


async def test_a_changed_spec_is_looked_at_at_once() -> None:
    world = World()
    with_import = world.spec
    keeper = world.keeper()
    await keeper.ensure(replace(with_import, import_ref=None))
    world.set_import()
    assert (await keeper.ensure(with_import)).reason is FRESH


async def test_changed_realm_is_another_grant() -> None:
    world = World()
    keeper = await world.started()
    health = await keeper.ensure(replace(world.spec, realm="77", tokens_secret_name="others"))
    assert not health.usable
    assert world.grant().sequence == 2

"""What opens a token Secret, and what is said of one that does not open."""

from dataclasses import replace

from fakes.clock import FakeClock
from fakes.desk import FakeDesk, connection
from qbsync.tokens.custody import Problem, examine, find_owner, owner_of
from qbsync.tokens.store import BOUND_TO
from unit.tokens.stored import TOKEN, binding, grant, keys, put

OLD, NEW = keys("o"), keys("n", "o")


async def test_it_opens_for_its_connection_whatever_the_secret_is_called() -> None:
    desk, clock = FakeDesk(), FakeClock()
    secret = await put(desk, clock, OLD, secret_name="elsewhere")
    owner = owner_of(connection(tokens={"secretName": "elsewhere"}))
    looked = examine(secret, [owner], NEW)
    assert (looked.problem, looked.grant, looked.binding) == (None, grant(), owner.binding)
    assert looked.kid == OLD.primary.kid
    assert looked.owner == owner


async def test_it_opens_without_a_connection_by_what_it_says_of_itself() -> None:
    desk, clock = FakeDesk(), FakeClock()
    bound = binding("a" * 100, environment="Custom", token_host="127.0.0.1")
    secret = await put(desk, clock, OLD, bound=bound)
    looked = examine(secret, [], OLD)
    assert (looked.problem, looked.binding, looked.connection) == (None, bound, "a" * 100)


async def test_an_older_secret_without_that_opens_where_it_is_intuits() -> None:
    desk, clock = FakeDesk(), FakeClock()
    for environment in ("Production", "Sandbox"):
        bound = binding(f"c-{environment.lower()}", environment=environment)
        secret = replace(await put(desk, clock, OLD, bound=bound), annotations={})
        assert examine(secret, [], OLD).binding == bound
    secret = replace(
        await put(desk, clock, OLD, bound=binding("own", environment="Custom", token_host="h")),
        annotations={},
    )
    looked = examine(secret, [], OLD)
    assert looked.problem is Problem.DAMAGED
    assert "apply that connection again" in looked.message
    owner = owner_of(
        connection(
            "own", environment="Custom", endpoints={"api": "https://h", "token": "https://h/oauth2/token"}
        )
    )
    assert examine(secret, [owner], OLD).problem is None


async def test_a_wrong_key_a_damaged_envelope_and_a_wrong_connection_are_told_apart() -> None:
    desk, clock = FakeDesk(), FakeClock()
    secret = await put(desk, clock, OLD)
    owner = owner_of(connection())

    wrong_key = examine(secret, [owner], keys("x"))
    assert wrong_key.problem is Problem.WRONG_KEY
    assert OLD.primary.kid in wrong_key.message
    assert keys("x").primary.kid in wrong_key.message

    text = secret.data["envelope"].decode()
    damaged = examine(
        replace(secret, data={"envelope": f"{text[:-1]}{'A' if text[-1] != 'A' else 'B'}".encode()}),
        [owner],
        OLD,
    )
    assert damaged.problem is Problem.DAMAGED
    assert "restore the Secret" in damaged.message

    thief = owner_of(connection("thief"))
    labels = {**secret.labels, "qbsync.dev/connection": "thief"}
    stolen = examine(replace(secret, name="thief-qbsync-tokens", labels=labels), [thief], OLD)
    assert stolen.problem is Problem.WRONG_CONNECTION
    assert "billing/acme" in stolen.message
    moved = examine(replace(secret, namespace="other"), [], OLD)
    assert moved.problem is Problem.WRONG_CONNECTION

    other_realm = examine(secret, [owner_of(connection(realm="1"))], OLD)
    assert other_realm.problem is Problem.WRONG_CONNECTION

    empty = examine(replace(secret, data={}), [owner], OLD)
    assert empty.problem is Problem.EMPTY
    for looked in (wrong_key, damaged, stolen, moved, other_realm, empty):
        assert TOKEN not in repr(looked) + looked.message


async def test_what_it_says_of_itself_opens_nothing_by_itself() -> None:
    desk, clock = FakeDesk(), FakeClock()
    secret = await put(desk, clock, OLD)
    lying = {**secret.annotations, BOUND_TO: secret.annotations[BOUND_TO].replace("acme", "thief")}
    assert examine(replace(secret, annotations=lying), [], OLD).problem is Problem.DAMAGED
    assert examine(replace(secret, annotations=lying), [owner_of(connection())], OLD).problem is None
    assert examine(replace(secret, annotations={BOUND_TO: "[]"}), [], OLD).problem is None


async def test_a_long_name_finds_its_connection_by_the_shortened_label() -> None:
    desk, clock = FakeDesk(), FakeClock()
    secret = await put(desk, clock, OLD, bound=binding("b" * 80))
    assert find_owner(secret, [owner_of(connection("b" * 80))]) is not None
    assert find_owner(secret, [owner_of(connection("b" * 79))]) is None
    assert find_owner(secret, [owner_of(connection("b" * 80, namespace="other"))]) is None

"""Where keys come from, and the one line that refuses them."""

import base64
import hashlib
import hmac
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qbsync.tokens.errors import KeyringError
from qbsync.tokens.keyring import Keyring, key_id

RAW = bytes(range(32))
KEY = base64.b64encode(RAW).decode()
PHRASE = "correct horse battery staple, and then some"
SALT = "sixteen bytes at least"


def _env(key: str, salt: str | None = None) -> dict[str, str]:
    return {"ENCRYPTION_MASTER_KEY": key} | ({"ENCRYPTION_SALT": salt} if salt is not None else {})


@pytest.mark.parametrize("text", [KEY, f"base64:{KEY}", f"  base64:{KEY}\n", f"{KEY}\r\n", f"base64: {KEY}"])
def test_a_key_with_and_without_prefix(text: str) -> None:
    keyring = Keyring.from_environment(_env(text))
    assert keyring.primary.material == RAW
    assert keyring.kids == (key_id(RAW),)


def test_the_key_id_is_the_documented_one() -> None:
    assert key_id(RAW) == hmac.new(RAW, b"qbsync/kid/v1", hashlib.sha256).hexdigest()[:8]


@pytest.mark.parametrize("text", [PHRASE, f"passphrase:{PHRASE}", f" passphrase: {PHRASE} \n"])
def test_a_passphrase_goes_through_scrypt(text: str) -> None:
    keyring = Keyring.from_environment(_env(text, f" {SALT}\n"))
    memory = 64 * 1024 * 1024
    expected = hashlib.scrypt(PHRASE.encode(), salt=SALT.encode(), n=2**15, r=8, p=1, dklen=32, maxmem=memory)
    assert keyring.primary.material == expected


def test_the_prefix_decides_where_the_text_could_be_both() -> None:
    as_phrase = Keyring.from_environment(_env(f"passphrase:{KEY}", SALT))
    assert as_phrase.primary.material != RAW


@pytest.mark.parametrize(
    ("env", "named", "said"),
    [
        ({}, "ENCRYPTION_MASTER_KEY", "not set"),
        (_env("  \n"), "ENCRYPTION_MASTER_KEY", "not set"),
        (_env("tiny-key"), "ENCRYPTION_MASTER_KEY", "too short"),
        (_env(f"passphrase:{'x' * 31}", SALT), "ENCRYPTION_MASTER_KEY", "too short"),
        (_env(f"base64:{KEY[:-4]}"), "ENCRYPTION_MASTER_KEY", "44 characters"),
        (_env("base64:" + "?" * 44), "ENCRYPTION_MASTER_KEY", "44 characters"),
        (_env("base64:" + base64.b64encode(b"x" * 31).decode()), "ENCRYPTION_MASTER_KEY", "44 characters"),
        (_env(PHRASE), "ENCRYPTION_SALT", "not set"),
        (_env(PHRASE, " "), "ENCRYPTION_SALT", "not set"),
        (_env(PHRASE, "x" * 15), "ENCRYPTION_SALT", "too short"),
        (_env(KEY) | {"ENCRYPTION_KEY_DIR": "/keys"}, "ENCRYPTION_KEY_DIR", "both set"),
        ({"ENCRYPTION_KEY_DIR": "/no/such/place"}, "ENCRYPTION_KEY_DIR", "cannot read"),
    ],
)
def test_refusals_are_one_line_that_names_the_variable(env: dict[str, str], named: str, said: str) -> None:
    with pytest.raises(KeyringError) as refused:
        Keyring.from_environment(env)
    text = str(refused.value)
    assert named in text
    assert said in text
    assert "\n" not in text
    assert not any(
        value.strip() in text for key, value in env.items() if "KEY_DIR" not in key and value.strip()
    )


def _write(directory: Path, **files: str) -> Path:
    for name, text in files.items():
        (directory / name).write_text(text)
    return directory


def test_a_directory_in_order_of_names(tmp_path: Path) -> None:
    other = base64.b64encode(b"o" * 32).decode()
    _write(
        tmp_path,
        **{"b-old": f"base64:{KEY}\n", "a-new": other, ".hidden": "x", "c-phrase": PHRASE, "salt": SALT},
    )
    (tmp_path / "..data").mkdir()
    keyring = Keyring.from_environment({"ENCRYPTION_KEY_DIR": str(tmp_path)})
    assert keyring.kids[:2] == (key_id(b"o" * 32), key_id(RAW))
    assert len(keyring.kids) == 3
    found = keyring.find(key_id(RAW))
    assert found is not None
    assert found.material == RAW
    assert keyring.find("00000000") is None


def test_the_salt_may_come_from_the_environment_and_a_key_may_be_there_twice(tmp_path: Path) -> None:
    _write(tmp_path, one=PHRASE, two=f"passphrase:{PHRASE}")
    assert len(Keyring.from_directory(tmp_path, {"ENCRYPTION_SALT": SALT}).kids) == 1


def test_an_empty_directory_and_a_binary_file(tmp_path: Path) -> None:
    with pytest.raises(KeyringError, match="holds no key file"):
        Keyring.from_directory(tmp_path)
    (tmp_path / "key").write_bytes(b"\xff" * 32)
    with pytest.raises(KeyringError, match="store the key as base64"):
        Keyring.from_directory(tmp_path)


def test_describe_says_which_interpretation_was_chosen_and_shows_nothing() -> None:
    plain = Keyring.from_environment(_env(KEY))
    assert "base64 of 32 bytes, no prefix" in plain.describe()
    phrase = Keyring.from_environment(_env(PHRASE, SALT))
    assert "passphrase" in phrase.describe()
    shown = (
        f"{plain!r} {plain.primary!r} {phrase!r} {phrase.primary!r} {plain.describe()} {phrase.describe()}"
    )
    for secret in (KEY, PHRASE, SALT, RAW.hex(), str(RAW), phrase.primary.material.hex()):
        assert secret not in shown
    assert plain.primary.kid in shown


@given(st.text(max_size=31))
def test_no_short_text_makes_a_key(text: str) -> None:
    with pytest.raises(KeyringError, match="ENCRYPTION_MASTER_KEY") as refused:
        Keyring.from_environment(_env(text))
    assert len(text.strip()) < 8 or text.strip() not in str(refused.value)


@given(st.binary(min_size=32, max_size=32))
def test_every_32_bytes_are_a_key(raw: bytes) -> None:
    text = base64.b64encode(raw).decode()
    plain = Keyring.from_environment(_env(text))
    assert plain.primary.material == raw
    assert plain.kids == Keyring.from_environment(_env(f"base64:{text}")).kids

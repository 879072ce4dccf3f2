"""What commands that speak to a cluster share: the login, the keyring, and errors as exit codes."""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from qbsync.cli import output
from qbsync.kube import errors
from qbsync.kube.api import KubeApi, login
from qbsync.kube.desk import Desk
from qbsync.tokens.errors import KeyringError
from qbsync.tokens.keyring import KEY_DIR, MASTER_KEY, Keyring

Work = Callable[[Desk, str], Awaitable[int]]
"""Gets the cluster and the namespace of the login's context; returns the exit code."""


def run(work: Work) -> int:
    """Log in, do the work, log out; what cannot be done is said in one line."""
    logging.getLogger("qbsync").addHandler(logging.NullHandler())
    try:
        return asyncio.run(_run(work))
    except errors.Forbidden as error:
        output.complain(
            f"{error}: the account of this kubeconfig lacks a right (docs/operations.md has the list)"
        )
    except errors.KubeError as error:
        output.complain(error)
    except KeyringError as error:
        output.complain(error)
    return output.FAILED


async def _run(work: Work) -> int:
    entry = await login()
    api = KubeApi(entry.configuration)
    try:
        return await work(Desk(api), entry.namespace or "default")
    finally:
        await api.aclose()


def keyring(key_dir: Path | None) -> Keyring:
    """The keys of that directory, or as the operator finds them. Raises `KeyringError`."""
    if key_dir is not None:
        return Keyring.from_directory(key_dir, os.environ)
    if not _given():
        raise KeyringError(
            f"no key to open tokens with: set {MASTER_KEY} or {KEY_DIR} as the operator has them, or say --key-dir"
        )
    return Keyring.from_environment(os.environ)


def keyring_if_given(key_dir: Path | None) -> Keyring | None:
    """The same; None where no source is named at all."""
    return keyring(key_dir) if key_dir is not None or _given() else None


def _given() -> bool:
    return any(os.environ.get(name, "").strip() for name in (MASTER_KEY, KEY_DIR))

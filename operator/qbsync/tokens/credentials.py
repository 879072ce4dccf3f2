"""The app's client id and secret: read, one GET, before every token call; never cached, listed or watched."""

from pydantic import SecretStr

from qbsync.kube.errors import NotFound
from qbsync.kube.secrets import Secret, SecretsApi
from qbsync.quickbooks.oauth import ClientCredentials

CLIENT_ID = "client_id"
CLIENT_SECRET = "client_secret"  # noqa: S105 - a key's name


class CredentialsMissing(Exception):
    """The Secret, or one of its keys, is not there; `str()` says which."""


async def read_credentials(secrets: SecretsApi, *, namespace: str, name: str) -> ClientCredentials:
    """The credentials in that Secret; raises `CredentialsMissing`, or a `KubeError`."""
    try:
        secret = await secrets.get(namespace, name)
    except NotFound:
        raise CredentialsMissing(
            f"Secret {namespace}/{name} of spec.clientSecretRef does not exist: "
            f"create it with the keys {CLIENT_ID} and {CLIENT_SECRET}"
        ) from None
    return ClientCredentials(
        client_id=_text(secret, CLIENT_ID), client_secret=SecretStr(_text(secret, CLIENT_SECRET))
    )


def identity(credentials: ClientCredentials) -> str:
    """Both values as one text, to be hashed with a key and compared; never stored or shown."""
    return f"{credentials.client_id}\n{credentials.client_secret.get_secret_value()}"


def _text(secret: Secret, key: str) -> str:
    where = f"Secret {secret.namespace}/{secret.name} of spec.clientSecretRef"
    try:
        text = secret.data.get(key, b"").decode().strip()
    except UnicodeDecodeError:
        raise CredentialsMissing(f"{where}: the value of {key} is not text") from None
    if not text:
        raise CredentialsMissing(f"{where} has no key {key}")
    return text

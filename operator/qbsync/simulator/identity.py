"""Who the person is: OpenID Connect's id_token, the keys it is signed with, and userinfo."""

import base64
import hashlib
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from qbsync.simulator import jsoncodec
from qbsync.simulator.oauth import Grant

_SECONDS = 3600
# A published key: nothing is protected by it, every simulator has the same, and a restart leaves cached JWKS valid.
_EXPONENT = 65537
_P = int(
    "f32925b3a483b7a2efe837bb18d35e7b44b48c295a0b33958f67f655f183688f5083904ba8c688c492730ae6aa9a4fd0"
    "9e353c34abde7e15edb1b034b5035f74fc85f348cabaf96a693c585e12b77165b0a1047d09141b14e58f40c43e10f08e"
    "f46044af2a8610feffa0a7674b8ec97a0b53de9338a1d3c5756867a02f76b59b",
    16,
)
_Q = int(
    "d67577facb074f6a2c85730be4799e3859c9a9bf377e0e3e054b15e7e27febae8c67c9d78f5718c7979351ee9a8bf0ba"
    "f654580036ccef80a84857c4d5f12212d6a9e0608c67801187c6fcffdb01d99bf7ddf8ad14f0b924ac3ffbb14786d977"
    "962b2355f322a612d78c3160358c81fbec15dfe9356c9f5d69373ac29f0d3757",
    16,
)
_PERSON: Mapping[str, Mapping[str, Any]] = {
    "openid": {"sub": "1182d6ec-2a1f-4aa3-af3f-bb3b95db45af"},
    "email": {"email": "craig@example.com", "emailVerified": True},
    "profile": {"givenName": "Craig", "familyName": "Carlson"},
    "phone": {"phoneNumber": "+1 6505550101", "phoneNumberVerified": False},
    "address": {
        "address": {
            "streetAddress": "123 Sierra Way",
            "locality": "San Pablo",
            "region": "CA",
            "postalCode": "87999",
            "country": "US",
        }
    },
}


def userinfo(scopes: tuple[str, ...] | None) -> dict[str, Any]:
    """What userinfo tells of the person; None for all there is."""
    told: dict[str, Any] = {}
    for scope, claims in _PERSON.items():
        if scopes is None or scope in scopes:
            told.update(claims)
    return told


class Signer:
    """The key of this Intuit."""

    def id_token(self, grant: Grant, *, issuer: str, now: float) -> str:
        """An RS256 JWT with Intuit's claims; `aud` is a list there."""
        claims = {
            **userinfo(("openid",)),
            "aud": [grant.client_id],
            "realmid": grant.realm_id,
            "auth_time": int(grant.authorized_at),
            "iss": issuer,
            "exp": int(now) + _SECONDS,
            "iat": int(now),
        }
        head = {"kid": self._kid, "alg": "RS256"}
        signed = b".".join(_encoded(jsoncodec.dump(part)) for part in (head, claims))
        return b".".join((signed, _encoded(self._key.sign(signed, padding.PKCS1v15(), SHA256())))).decode()

    def jwks(self) -> dict[str, Any]:
        """The public key, as the discovery document's `jwks_uri` answers it."""
        public = self._key.public_key().public_numbers()
        return {
            "keys": [
                {
                    "kty": "RSA",
                    "e": _encoded(_big_endian(public.e)).decode(),
                    "use": "sig",
                    "kid": self._kid,
                    "alg": "RS256",
                    "n": _encoded(_big_endian(public.n)).decode(),
                }
            ]
        }

    @cached_property
    def _key(self) -> rsa.RSAPrivateKey:
        d = pow(_EXPONENT, -1, (_P - 1) * (_Q - 1))
        return rsa.RSAPrivateNumbers(
            p=_P,
            q=_Q,
            d=d,
            dmp1=rsa.rsa_crt_dmp1(d, _P),
            dmq1=rsa.rsa_crt_dmq1(d, _Q),
            iqmp=rsa.rsa_crt_iqmp(_P, _Q),
            public_numbers=rsa.RSAPublicNumbers(_EXPONENT, _P * _Q),
        ).private_key()

    @cached_property
    def _kid(self) -> str:
        number = _big_endian(self._key.public_key().public_numbers().n)
        return base64.urlsafe_b64encode(hashlib.sha256(number).digest())[:20].decode()


def _encoded(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _big_endian(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")

"""A software authenticator: what `navigator.credentials` and a security key do together, right or wrong.

    phone = Authenticator("ES256")
    credential = phone.create(options)      # for registration
    credential = phone.get(options)         # to sign in

Each takes `origin`, `rp_id` and so on, for a test that wants something wrong in it.
"""

import base64
import hashlib
import json
import secrets
from dataclasses import dataclass, field
from typing import Any

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

ORIGIN = "https://site.example.org"
USER_PRESENT, USER_VERIFIED, ATTESTED = 0x01, 0x04, 0x40


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@dataclass
class Passkey:
    """One that the authenticator holds, for one relying party."""

    credential_id: bytes
    user_handle: bytes
    key: Any
    rp_id: str


@dataclass
class Authenticator:
    """`counts=False` is one without a counter, as those are that are copied to all of a person's devices."""

    algorithm: str = "ES256"
    counts: bool = True
    count: int = 0
    passkeys: list[Passkey] = field(default_factory=list)

    def create(self, options: dict[str, Any], **wrong: Any) -> dict[str, Any]:
        """What the browser answers with when a passkey is made."""
        key = ec.generate_private_key(ec.SECP256R1()) if self.algorithm == "ES256" else _ed25519()
        credential_id = wrong.get("credential_id", secrets.token_bytes(16))
        rp_id = wrong.get("rp_id", options["rp"]["id"])
        self.passkeys.append(Passkey(credential_id, decoded(options["user"]["id"]), key, rp_id))
        public = cbor2.dumps(self._cose(key))
        attested = bytes(15) + b"\x01" + len(credential_id).to_bytes(2, "big") + credential_id + public
        flags = wrong.get("flags", USER_PRESENT | USER_VERIFIED) | ATTESTED
        data = self._data(rp_id, flags) + attested
        client_data = _client_data("webauthn.create", options, wrong)
        attestation = cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": data})
        return _credential(
            credential_id,
            clientDataJSON=encoded(client_data),
            attestationObject=encoded(attestation),
            transports=["internal"],
        )

    def get(self, options: dict[str, Any], **wrong: Any) -> dict[str, Any]:
        """What the browser answers with when somebody signs in with the newest passkey."""
        passkey = wrong.get("passkey", self.passkeys[-1])
        self.count = wrong.get("count", self.count + 1 if self.counts else 0)
        data = self._data(wrong.get("rp_id", passkey.rp_id), wrong.get("flags", USER_PRESENT | USER_VERIFIED))
        client_data = _client_data("webauthn.get", options, wrong)
        signature = self._sign(passkey.key, data + hashlib.sha256(client_data).digest())
        return _credential(
            passkey.credential_id,
            clientDataJSON=encoded(client_data),
            authenticatorData=encoded(data),
            signature=encoded(wrong.get("signature", signature)),
            userHandle=encoded(wrong.get("user_handle", passkey.user_handle)),
        )

    def _data(self, rp_id: str, flags: int) -> bytes:
        return hashlib.sha256(rp_id.encode()).digest() + bytes([flags]) + self.count.to_bytes(4, "big")

    def _cose(self, key: Any) -> dict[int, Any]:
        """RFC 9053: the public key as authenticators write it."""
        if self.algorithm == "ES256":
            numbers = key.public_key().public_numbers()
            return {1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")}
        raw = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        return {1: 1, 3: -8, -1: 6, -2: raw}

    def _sign(self, key: Any, data: bytes) -> bytes:
        return key.sign(data, ec.ECDSA(hashes.SHA256())) if self.algorithm == "ES256" else key.sign(data)


def _ed25519() -> ed25519.Ed25519PrivateKey:
    return ed25519.Ed25519PrivateKey.generate()


def _client_data(kind: str, options: dict[str, Any], wrong: dict[str, Any]) -> bytes:
    said = {
        "type": wrong.get("kind", kind),
        "challenge": wrong.get("challenge", options["challenge"]),
        "origin": wrong.get("origin", ORIGIN),
        "crossOrigin": False,
    }
    return json.dumps(said).encode()


def _credential(credential_id: bytes, **response: Any) -> dict[str, Any]:
    return {
        "id": encoded(credential_id),
        "rawId": encoded(credential_id),
        "type": "public-key",
        "authenticatorAttachment": "platform",
        "clientExtensionResults": {},
        "response": response,
    }

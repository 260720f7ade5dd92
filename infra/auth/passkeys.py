"""Passkeys: WebAuthn level 3, by the library `webauthn`; `commands.passkeys.PasskeyRecords`.

Authenticators must verify their user (a finger, a PIN), and hold the key so that signing in needs no name.
"""

import json
import secrets
from collections.abc import Mapping
from typing import Any, Final, NoReturn

import msgspec
import structlog

from commands.passkeys import PasskeyRefused, PasskeyTaken
from domain.identifiers import StreamId
from infra.auth.passkeys_table import CHALLENGE_GOOD_FOR, PasskeyTable, PasskeyUse, StoredPasskey
from infra.http.base64url import decode_base64url

_CHALLENGE_BYTES: Final = 32
_LONGEST_CREDENTIAL_ID: Final = 1_023
"""Bytes; WebAuthn level 3, section 7.1, step 25."""

log = structlog.get_logger("auth")


class RelyingParty(msgspec.Struct, frozen=True, kw_only=True):
    """Us, as authenticators know us: passkeys of one `rp_id` are good for no other."""

    rp_id: str
    name: str
    origins: tuple[str, ...]


class Passkeys:
    def __init__(self, table: PasskeyTable, relying_party: RelyingParty) -> None:
        self._table = table
        self._relying_party = relying_party

    async def registration_options(self, user_id: StreamId, name: str) -> dict[str, Any]:
        """For `navigator.credentials.create()`; `name` is shown when a passkey is chosen later on."""
        from webauthn import generate_registration_options
        from webauthn.helpers.structs import (
            AuthenticatorSelectionCriteria,
            PublicKeyCredentialDescriptor,
            ResidentKeyRequirement,
            UserVerificationRequirement,
        )

        challenge = secrets.token_bytes(_CHALLENGE_BYTES)
        known = await self._table.of_user(user_id)
        options = generate_registration_options(
            rp_id=self._relying_party.rp_id,
            rp_name=self._relying_party.name,
            user_id=user_id.encode(),
            user_name=name,
            challenge=challenge,
            timeout=_timeout_ms(),
            authenticator_selection=AuthenticatorSelectionCriteria(
                resident_key=ResidentKeyRequirement.REQUIRED,
                user_verification=UserVerificationRequirement.REQUIRED,
            ),
            exclude_credentials=[PublicKeyCredentialDescriptor(id=each) for each in known],
            supported_pub_key_algs=_algorithms(),
        )
        await self._table.challenge(challenge, user_id)
        return _as_json(options)

    async def sign_in_options(self) -> dict[str, Any]:
        """For `navigator.credentials.get()`: the same for everybody, whoever they are."""
        from webauthn import generate_authentication_options
        from webauthn.helpers.structs import UserVerificationRequirement

        challenge = secrets.token_bytes(_CHALLENGE_BYTES)
        options = generate_authentication_options(
            rp_id=self._relying_party.rp_id,
            challenge=challenge,
            timeout=_timeout_ms(),
            user_verification=UserVerificationRequirement.REQUIRED,
        )
        await self._table.challenge(challenge, None)
        return _as_json(options)

    async def keep(self, user_id: StreamId, credential: Mapping[str, Any], credential_ref: str) -> None:
        from webauthn import verify_registration_response

        challenge = await self._answered(credential, user_id)
        with _Refusing():
            said_id = decode_base64url(credential["rawId"])
            verified = verify_registration_response(
                credential=dict(credential),
                expected_challenge=challenge,
                expected_rp_id=self._relying_party.rp_id,
                expected_origin=list(self._relying_party.origins),
                require_user_verification=True,
                supported_pub_key_algs=_algorithms(),
            )
        # The library compares neither: the browser's word with the authenticator's, nor with what may be.
        if len(verified.credential_id) > _LONGEST_CREDENTIAL_ID:
            _refuse("its id is too long")
        if verified.credential_id != said_id:
            _refuse("its id is not the one that the authenticator gave it")
        stored = StoredPasskey(
            credential_ref,
            user_id,
            verified.credential_id,
            verified.credential_public_key,
            verified.sign_count,
        )
        if not await self._table.add(stored):
            raise PasskeyTaken

    async def proven(self, credential: Mapping[str, Any]) -> tuple[StreamId, str]:
        from webauthn import verify_authentication_response

        challenge = await self._answered(credential, None)
        with _Refusing():
            credential_id = decode_base64url(credential["rawId"])
            handle = decode_base64url(credential["response"].get("userHandle") or "")
        stored = await self._table.find(credential_id)
        if stored is None:
            _refuse("nobody has this passkey")
        if handle != stored.user_id.encode():
            _refuse("it is the passkey of another account")
        with _Refusing():
            verified = verify_authentication_response(
                credential=dict(credential),
                expected_challenge=challenge,
                expected_rp_id=self._relying_party.rp_id,
                expected_origin=list(self._relying_party.origins),
                credential_public_key=stored.public_key,
                # Looked at below: the library would do so before it has checked the signature, and anybody
                # could make us suspect a passkey.
                credential_current_sign_count=0,
                require_user_verification=True,
            )
        if not await self._table.used(stored.credential_ref, verified.new_sign_count):
            await self._table.suspect(stored.credential_ref)
            log.warning(
                "a passkey may have been copied",
                credential_ref=stored.credential_ref,
                user_id=stored.user_id,
                sign_count=verified.new_sign_count,
                sign_count_before=stored.sign_count,
            )
            _refuse("its counter did not go forward")
        return stored.user_id, stored.credential_ref

    async def forget(self, credential_ref: str) -> None:
        await self._table.forget(credential_ref)

    async def uses(self, user_id: StreamId) -> Mapping[str, PasskeyUse]:
        return await self._table.uses(user_id)

    async def sweep(self, now: Any) -> None:
        await self._table.sweep(now)

    async def _answered(self, credential: Mapping[str, Any], user_id: StreamId | None) -> bytes:
        """The challenge that the credential answers: one of ours, made for this person, and now used up."""
        with _Refusing():
            said = json.loads(decode_base64url(credential["response"]["clientDataJSON"]))
            challenge = decode_base64url(said["challenge"])
        if not await self._table.answered(challenge, user_id):
            _refuse("its challenge is not one that waits for an answer")
        return challenge


class _Refusing:
    """What an authenticator may send is anything: whatever cannot be read or verified is refused.

    No list of exceptions would be whole: the libraries for certificates and keys raise plain ones too
    (`cryptography.x509.InvalidVersion`). Only reading and verifying stand in such a block, not our own table.
    """

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        if isinstance(error, Exception):
            _refuse(f"{type(error).__name__}: {error}", error)


def _refuse(reason: str, error: BaseException | None = None) -> NoReturn:
    log.warning("passkey refused", reason=reason[:200])
    raise PasskeyRefused(reason=reason) from error


def _algorithms() -> list[Any]:
    from webauthn.helpers.cose import COSEAlgorithmIdentifier

    # The last for those that are built into many computers and know no other.
    return [
        COSEAlgorithmIdentifier.EDDSA,
        COSEAlgorithmIdentifier.ECDSA_SHA_256,
        COSEAlgorithmIdentifier.RSASSA_PKCS1_v1_5_SHA_256,
    ]


def _timeout_ms() -> int:
    return int(CHALLENGE_GOOD_FOR.total_seconds() * 1000)


def _as_json(options: Any) -> dict[str, Any]:
    from webauthn import options_to_json

    made: dict[str, Any] = json.loads(options_to_json(options))
    return made

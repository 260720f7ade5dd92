"""Sign in: a person with e-mail and password, a program with client credentials."""

from typing import NamedTuple

from commands.found_organization import CLIENT_SCOPE
from commands.kinds import ORGANIZATION, USER
from commands.register_user import EMAIL_SCOPE, normal_email
from commands.write_side import WriteSide
from domain.errors import Denied
from domain.identifiers import StreamId
from domain.organizations.organization import Founded, ServiceClient
from domain.users.account import Registered

NOBODYS_STREAM = "user-00000000-0000-7000-8000-000000000000"
NOBODYS_CREDENTIAL = "nobody"


class SignedIn(NamedTuple):
    """Somebody, and their account as it was at a version of its stream."""

    user_id: StreamId
    account: Registered
    version: int


class WrongCredentials(Denied):
    """Does not tell whether the account exists."""

    code = "wrong-credentials"
    title = "These sign-in details are not right"


async def sign_in(write: WriteSide, email: str, password: str) -> SignedIn:
    """The account behind the details; raises `WrongCredentials`, after the same work in every case."""
    with write.hasher.place():
        user_id = await write.claims.holder(EMAIL_SCOPE, write.keyed_hash(normal_email(email)))
        # Of an address that nobody has, the same is asked: how long it takes must not tell.
        loaded = await write.streams.read(USER, user_id or NOBODYS_STREAM)
        account = loaded.state
        credential_id = account.credential_id if isinstance(account, Registered) else None
        if not await secret_matches(write, credential_id, password):
            raise WrongCredentials
    assert user_id is not None
    assert isinstance(account, Registered)
    return SignedIn(user_id, account, loaded.version)


async def signed_in(write: WriteSide, user_id: StreamId) -> SignedIn:
    """The account as it is now, for somebody whose sign-in goes on; raises `WrongCredentials`."""
    loaded = await write.streams.read(USER, user_id)
    if not isinstance(loaded.state, Registered):
        raise WrongCredentials
    return SignedIn(user_id, loaded.state, loaded.version)


async def still_signed_in(write: WriteSide, who: SignedIn) -> SignedIn:
    """The account as it is now, for somebody who proved a moment ago who they are.

    Raises `WrongCredentials` where the password or a way in was taken away since then, be it that they came
    by another one: a sign-in that was there already would have ended with it.
    """
    now = await signed_in(write, who.user_id)
    proved, known = who.account.ways_in, now.account.ways_in
    if (
        now.account.credential_id != who.account.credential_id
        or not all(known.knows(each.subject_hash) for each in proved.identities)
        or not all(known.passkey(each.credential_ref) for each in proved.passkeys)
    ):
        raise WrongCredentials
    return now


async def sign_in_service(
    write: WriteSide, client_id: str, client_secret: str
) -> tuple[StreamId, Founded, ServiceClient]:
    """The organisation and the client behind the credentials; raises `WrongCredentials`."""
    with write.hasher.place():
        org_id = await write.claims.holder(CLIENT_SCOPE, client_id)
        organization = None if org_id is None else (await write.streams.read(ORGANIZATION, org_id)).state
        client = organization.client(client_id) if isinstance(organization, Founded) else None
        credential_id = None if client is None else client.credential_id
        if not await secret_matches(write, credential_id, client_secret):
            raise WrongCredentials
    assert org_id is not None
    assert isinstance(organization, Founded)
    assert client is not None
    return org_id, organization, client


async def secret_matches(write: WriteSide, credential_id: str | None, secret: str) -> bool:
    """Takes as long where there is no credential."""
    hash_ = await write.credentials.get(credential_id or NOBODYS_CREDENTIAL)
    if hash_ is None:
        await write.hasher.verify_dummy(secret)
        return False
    return await write.hasher.verify(secret, hash_)

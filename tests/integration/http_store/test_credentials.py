from datetime import UTC, datetime

import pytest

from infra.auth.credentials import CredentialConflict, CredentialStore

USER = "user-01901646-a2b4-7c3d-8e5f-0a1b2c3d4e5f"


def store_in(pool):
    return CredentialStore(pool, clock=lambda: datetime(2026, 3, 1, tzinfo=UTC))


def test_a_hash_is_found_again_by_its_credential_id(with_pool):
    async def story(pool):
        store = store_in(pool)
        await store.put("credential-1", USER, "password", "$argon2id$1")
        assert await store.get("credential-1") == "$argon2id$1"
        assert await store.get("credential-2") is None

    with_pool(story)


def test_putting_a_credential_twice_keeps_the_first_hash(with_pool):
    async def story(pool):
        store = store_in(pool)
        await store.put("credential-1", USER, "password", "$argon2id$1")
        await store.put("credential-1", USER, "password", "$argon2id$2")
        assert await store.get("credential-1") == "$argon2id$1"

    with_pool(story)


@pytest.mark.parametrize(
    ("subject_id", "kind"), [("user-somebody-else", "password"), (USER, "client_secret")]
)
def test_a_credential_id_cannot_change_hands(with_pool, subject_id, kind):
    async def story(pool):
        store = store_in(pool)
        await store.put("credential-1", USER, "password", "$argon2id$1")
        with pytest.raises(CredentialConflict):
            await store.put("credential-1", subject_id, kind, "$argon2id$2")
        assert await store.get("credential-1") == "$argon2id$1"

    with_pool(story)

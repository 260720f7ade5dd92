import asyncio
import threading
import unicodedata

import pytest
from pwdlib.hashers.argon2 import Argon2Hasher

from infra.auth.common_passwords import COMMON_PASSWORDS
from infra.auth.passwords import MIN_LENGTH, PasswordHasher, check_password
from infra.http.errors import SignInBusy, WeakPassword


class GatedHasher(Argon2Hasher):
    """Works only while its gate is open; counts how many work at once."""

    def __init__(self):
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Semaphore(0)
        self.lock = threading.Lock()
        self.now_working = self.most_working = 0

    def hash(self, password, *, salt=None):
        with self.lock:
            self.now_working += 1
            self.most_working = max(self.most_working, self.now_working)
        self.entered.release()
        self.gate.wait(timeout=30)
        with self.lock:
            self.now_working -= 1
        return super().hash(password, salt=salt)


@pytest.fixture
def quick():
    hasher = PasswordHasher(hasher=Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1))
    yield hasher
    hasher.close()


@pytest.mark.parametrize(
    "password", ["correct horse", "x7!kQ2pz", "안녕하세요반갑습니다", "🦆" * 7 + "x", "ab" * 128]
)
def test_a_decent_password_is_accepted(password):
    check_password(password)


@pytest.mark.parametrize(
    ("password", "reason"),
    [
        ("", "is shorter than 8 characters"),
        ("seven77", "is shorter than 8 characters"),
        ("한" * 3, "is shorter than 8 characters"),
        ("x" * 255 + "yz", "is longer than 256 characters"),
        ("ﷺ" * 20, "is longer than 256 characters"),  # 20 characters that NFKC makes 360
        ("password", "is one of the commonest"),
        ("Password", "is one of the commonest"),
        # Full-width letters, which NFKC makes plain ones.
        ("\uff30\uff21\uff33\uff33\uff37\uff2f\uff32\uff24", "is one of the commonest"),
        ("zzzzzzzzzz", "is one of the commonest"),
        ("qwer1234", "is one of the commonest"),
        ("nul\x00nul12", "has control characters"),
        ("line\nline", "has control characters"),
        ("\ud800surrogate", "has control characters"),
    ],
)
def test_a_poor_password_is_refused_with_the_reason(password, reason):
    with pytest.raises(WeakPassword) as refused:
        check_password(password)
    assert refused.value.reason == reason


def test_the_list_holds_only_what_could_be_chosen():
    assert all(len(each) >= MIN_LENGTH and each == each.casefold() for each in COMMON_PASSWORDS)
    assert len(COMMON_PASSWORDS) > 150


def test_the_right_password_opens_and_no_other_does(quick):
    async def story():
        hash_ = await quick.hash("correct horse")
        assert hash_.startswith("$argon2id$")
        assert await quick.verify("correct horse", hash_)
        assert not await quick.verify("Correct horse", hash_)
        assert not await quick.verify("", hash_)
        assert not await quick.verify("\ud800", hash_)

    asyncio.run(story())


def test_the_same_password_typed_on_another_keyboard_opens_too(quick):
    async def story():
        hash_ = await quick.hash("한글 비밀번호")
        assert await quick.verify(unicodedata.normalize("NFD", "한글 비밀번호"), hash_)

    asyncio.run(story())


def test_two_hashes_of_one_password_differ(quick):
    async def story():
        assert await quick.hash("correct horse") != await quick.hash("correct horse")

    asyncio.run(story())


def test_the_cost_is_that_of_the_library_and_a_dummy_costs_the_same():
    hasher = PasswordHasher()

    async def story():
        hash_ = await hasher.hash("correct horse")
        costs = hash_.split("$")[1:4]
        assert costs[0] == "argon2id"
        assert hasher._nobodys_hash.split("$")[1:4] == costs
        assert await hasher.verify_dummy("correct horse") is None

    asyncio.run(story())
    hasher.close()


def test_work_beyond_the_bound_waits_and_beyond_that_is_turned_away():
    gated = GatedHasher()
    hasher = PasswordHasher(max_parallel=2, max_waiting=3, hasher=gated)

    async def story():
        gated.gate.clear()
        gated.entered = threading.Semaphore(0)
        taken = [asyncio.create_task(hasher.hash(f"password {number}")) for number in range(5)]
        await asyncio.sleep(0)  # each task runs up to its wait
        with pytest.raises(SignInBusy) as refused:
            await hasher.hash("one too many")
        assert refused.value.retry_after_s >= 1
        gated.gate.set()
        assert len(set(await asyncio.gather(*taken))) == 5
        assert gated.most_working == 2
        assert await hasher.hash("room again")

    asyncio.run(story())
    hasher.close()


def test_whoever_gives_up_waiting_leaves_the_place_to_others():
    gated = GatedHasher()
    hasher = PasswordHasher(max_parallel=1, max_waiting=1, hasher=gated)

    async def story():
        gated.gate.clear()
        gated.entered = threading.Semaphore(0)
        working = asyncio.create_task(hasher.hash("working"))
        await asyncio.to_thread(gated.entered.acquire, timeout=30)
        waiting = asyncio.create_task(hasher.hash("waiting"))
        await asyncio.sleep(0)
        with pytest.raises(SignInBusy):
            await hasher.hash("no room")
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        next_one = asyncio.create_task(hasher.hash("next"))
        await asyncio.sleep(0)
        gated.gate.set()
        assert await working
        assert await next_one

    asyncio.run(story())
    hasher.close()


def test_a_place_is_good_for_one_hash_and_is_given_back():
    gated = GatedHasher()
    hasher = PasswordHasher(max_parallel=1, max_waiting=1, hasher=gated)

    async def story():
        gated.gate.clear()
        with hasher.place():
            held = asyncio.create_task(hasher.hash("in the place that is held"))
            await asyncio.sleep(0)
            waiting = asyncio.create_task(hasher.hash("in the other place"))
            await asyncio.sleep(0)
            with pytest.raises(SignInBusy):
                await hasher.hash("no room for a second one")
        # Whoever left does not give back what the hash still uses.
        with pytest.raises(SignInBusy), hasher.place():
            raise AssertionError("there was room")
        gated.gate.set()
        await asyncio.gather(held, waiting)

    asyncio.run(story())
    hasher.close()


def test_a_place_in_which_nothing_is_hashed_is_given_back_too():
    hasher = PasswordHasher(max_parallel=1, max_waiting=0, hasher=GatedHasher())

    async def story():
        for _ in range(3):
            with pytest.raises(ValueError, match="no such account"), hasher.place():
                raise ValueError("no such account")
        hasher.require_room()
        with hasher.place(), pytest.raises(SignInBusy):
            hasher.require_room()
        assert await hasher.hash("room again")

    asyncio.run(story())
    hasher.close()

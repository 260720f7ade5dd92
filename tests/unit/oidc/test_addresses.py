"""Addresses that a provider vouches for are taken where a registration would take them."""

import pytest
from pydantic import TypeAdapter, ValidationError

from commands.api.auth import Email
from infra.auth.oidc import _verified_email

ADDRESSES = {
    "minji@example.org": True,
    "o'neil+school=1?@mail.example.org": True,
    ":;@x.org": False,
    "a,b@x.org": False,
    "<a@x.org": False,
    '"a b"@x.org': False,
    "민지@example.org": False,
    "=?utf-8?q?a=0Ab?=@x.org": False,
    "=?utf-8?q??=@x.org": False,
    "a@x.org\n": False,
    "a@x": False,
    "a" * 65 + "@x.org": False,
    "a@" + "b" * 60 + (".c" + "b" * 60) * 4 + ".org": False,
}


@pytest.mark.parametrize(("address", "good"), ADDRESSES.items())
def test_providers_and_people_who_register_name_the_same_addresses(address, good):
    assert _verified_email({"email": address, "email_verified": True}) == (address if good else None)
    try:
        assert TypeAdapter(Email).validate_python(address) == address
        taken = True
    except ValidationError:
        taken = False
    assert taken is good

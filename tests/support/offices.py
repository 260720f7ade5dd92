"""A school with an administrator, over HTTP: members, classes, invitations, and the mails that are sent."""

from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import httpx

from commands.found_organization import FoundOrganization, found_organization
from commands.kinds import USER
from commands.register_user import normal_email
from domain.users.account import GrantedRole, register, verify_email
from domain.users.events import UserRegistered
from infra.composition import new_id
from infra.http.principal import RoleGrant
from tests.support.api import Api, Person, School, bootstrap_context

STAFF = ("teacher", "org_admin")


@dataclass
class Office:
    """The administrator asks."""

    school: School
    admin: Person

    @property
    def api(self) -> Api:
        return self.school.api

    @property
    def org_id(self) -> str:
        return self.school.org_id

    @property
    def url(self) -> str:
        return f"/organizations/{self.org_id}"

    def member(self, *roles: str) -> Person:
        """Somebody who holds these roles here."""
        held = tuple(GrantedRole(role, self.org_id) for role in roles)
        return somebody(self.api, *held, zone_id=self.school.zone_id)

    def open_class(self, **body: Any) -> str:
        answer = self.admin.http.post(f"{self.url}/classes", json={"name": "3학년 2반", **body})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["class_id"])

    def put_into(self, class_id: str, part: str, *user_ids: str) -> httpx.Response:
        answer = self.admin.http.post(
            f"{self.url}/classes/{class_id}/{part}", json={"user_ids": list(user_ids)}
        )
        assert answer.status_code == 200, answer.text
        return answer

    def invite(self, email: str | None, role: str = "teacher", **more: Any) -> httpx.Response:
        return self.admin.http.post(f"{self.url}/invitations", json={"email": email, "role": role, **more})


def an_office(api: Api, zone_id: str = "univprep") -> Office:
    founding = FoundOrganization(name="Test school", zone_id=zone_id)
    org_id = api.run(found_organization(api.write, bootstrap_context(), founding)).stream_id
    teacher, admin = (somebody(api, GrantedRole(each, org_id), zone_id=zone_id) for each in STAFF)
    return Office(School(api=api, org_id=org_id, zone_id=zone_id, teacher=teacher), admin)


def somebody(api: Api, *roles: GrantedRole, zone_id: str = "univprep", email: str | None = None) -> Person:
    """A person without a password, so that no hash is waited for."""
    email = email or f"somebody-{new_id()}@example.org"
    registered = UserRegistered(
        origin="bootstrap",
        zone_id=zone_id,
        display_name="민지",
        language="ko",
        email=email,
        email_hash=api.write.keyed_hash(normal_email(email)),
    )
    made = api.run(
        api.write.streams.execute(
            bootstrap_context().within(zone_id, None),
            USER,
            f"user-{new_id()}",
            lambda state: register(state, registered, roles),
        )
    )
    token = api.token(made.stream_id, *(RoleGrant(each.role, each.org_id) for each in roles), zone_id=zone_id)
    return Person(user_id=made.stream_id, token=token, http=api.client(token), email=email)


def after(answer: httpx.Response) -> dict[str, str]:
    """The headers of a read that is to see this write."""
    assert answer.is_success, answer.text
    return {"Consistency-Token": answer.headers["Consistency-Token"]}


def verified(api: Api, person: Person) -> Person:
    """Somebody who has read the mail that was sent to the address."""
    email_hash = api.write.keyed_hash(normal_email(person.email or ""))
    zone_id = api.services.token_verifier.verify(person.token).zone_id
    api.run(
        api.write.streams.execute(
            bootstrap_context().within(zone_id, None),
            USER,
            person.user_id,
            lambda state: verify_email(state, email_hash),
        )
    )
    return person


def mails_to(api: Api, address: str) -> list[EmailMessage]:
    """What lies in the folder for this address."""
    found = [
        message_from_bytes(each.read_bytes(), policy=policy.default)
        for each in api.settings.mail_dir.glob("*.eml")
    ]
    return [each for each in found if each["To"] == address]

"""What may be done with a class and with an invitation, in each of their states."""

from datetime import timedelta

import msgspec
import pytest

from commands.kinds import CLASS, INVITATION, ORGANIZATION
from domain.classes.events import (
    ClassClosed,
    ClassOpened,
    ClassRenamed,
    StudentEnrolled,
    StudentWithdrawn,
    TeacherAssigned,
    TeacherWithdrawn,
)
from domain.classes.school_class import (
    ClassExists,
    ClassIsClosed,
    ClassNotFound,
    assign_teachers,
    close,
    enroll_students,
    open_class,
    organization_of,
    rename,
    take_out,
    withdraw_students,
    withdraw_teachers,
)
from domain.invitations.events import InvitationAccepted, InvitationExpired, InvitationRevoked, MemberInvited
from domain.invitations.invitation import InvitationNotFound, InvitationOver, accept, expire, invite, revoke
from domain.organizations.events import OrganizationFounded, OrganizationRenamed
from domain.organizations.organization import OrganizationNotFound
from domain.organizations.organization import rename as rename_organization
from tests.support.exam_parts import NOON, SCHOOL, STUDENT, TEACHER
from tests.support.given import given

OPENED = ClassOpened(org_id=SCHOOL, zone_id="univprep", name="3학년 2반")
CLOSED = ClassClosed(reason="over")
INSIDE = (StudentEnrolled(user_id=STUDENT), TeacherAssigned(user_id=TEACHER))
HASH = "d1" * 32
INVITED = MemberInvited(
    org_id=SCHOOL,
    org_name="School",
    zone_id="univprep",
    role="teacher",
    email="jiwoo@example.org",
    email_hash=HASH,
    language="ko",
    expires_at=NOON + timedelta(days=14),
)
IN_TIME, TOO_LATE = NOON + timedelta(days=13), NOON + timedelta(days=14)
ACCEPTED = InvitationAccepted(user_id=TEACHER)


def test_a_class_is_opened_once():
    given(CLASS).when(open_class, OPENED).then(OPENED)
    given(CLASS, OPENED).when(open_class, OPENED).then_refused(ClassExists)
    given(CLASS, OPENED, CLOSED).when(open_class, OPENED).then_refused(ClassExists)


@pytest.mark.parametrize(
    ("decide", "argument"),
    [
        (rename, "Name"),
        (enroll_students, [STUDENT]),
        (assign_teachers, [TEACHER]),
        (withdraw_students, [STUDENT]),
        (withdraw_teachers, [TEACHER]),
    ],
)
def test_nothing_happens_in_a_class_before_it_is_opened_and_after_it_is_closed(decide, argument):
    given(CLASS).when(decide, argument).then_refused(ClassNotFound)
    given(CLASS, OPENED, *INSIDE, CLOSED).when(decide, argument).then_refused(ClassIsClosed)


def test_a_name_that_it_has_already_changes_nothing():
    given(CLASS, OPENED).when(rename, "3학년 2반").then()
    given(CLASS, OPENED).when(rename, "3학년 3반").then(ClassRenamed(name="3학년 3반"))
    given(CLASS, OPENED, ClassRenamed(name="3학년 3반")).when(rename, "3학년 3반").then()


def test_whoever_is_in_a_class_is_not_put_into_it_again():
    given(CLASS, OPENED, *INSIDE).when(enroll_students, [STUDENT, TEACHER, TEACHER]).then(
        StudentEnrolled(user_id=TEACHER)
    )
    given(CLASS, OPENED, *INSIDE).when(assign_teachers, [STUDENT, TEACHER, STUDENT]).then(
        TeacherAssigned(user_id=STUDENT)
    )


def test_whoever_is_not_in_a_class_is_not_taken_out():
    given(CLASS, OPENED, *INSIDE).when(withdraw_students, [TEACHER, STUDENT, STUDENT]).then(
        StudentWithdrawn(user_id=STUDENT)
    )
    given(CLASS, OPENED, *INSIDE).when(withdraw_teachers, [STUDENT]).then()


def test_who_is_both_student_and_teacher_leaves_as_both_or_as_one():
    both = (OPENED, StudentEnrolled(user_id=STUDENT), TeacherAssigned(user_id=STUDENT))
    gone = (StudentWithdrawn(user_id=STUDENT), TeacherWithdrawn(user_id=STUDENT))
    given(CLASS, *both).when(take_out, STUDENT).then(*gone)
    assert take_out(given(CLASS, *both).state, STUDENT, student=False) == [gone[1]]
    given(CLASS, *both, *gone).when(take_out, STUDENT).then()
    given(CLASS, *both, CLOSED).when(take_out, STUDENT).then()
    given(CLASS).when(take_out, STUDENT).then()


def test_a_class_is_closed_once_and_still_belongs_to_its_organisation():
    given(CLASS).when(close, "over").then_refused(ClassNotFound)
    after = given(CLASS, OPENED, *INSIDE).when(close, "over").then(CLOSED)
    given(CLASS, OPENED, CLOSED).when(close, "again").then()
    assert organization_of(after.state) == SCHOOL
    assert organization_of(CLASS.initial) is None


def test_an_invitation_that_is_open_is_not_made_again():
    given(INVITATION).when(invite, INVITED, NOON).then(INVITED)
    given(INVITATION, INVITED).when(invite, INVITED, IN_TIME).then()


@pytest.mark.parametrize("end", [ACCEPTED, InvitationRevoked(), InvitationExpired()])
def test_when_an_invitation_has_ended_somebody_may_be_invited_anew(end):
    anew = msgspec.structs.replace(INVITED, expires_at=NOON + timedelta(days=30))
    given(INVITATION, INVITED, end).when(invite, anew, NOON).then(anew)


def test_one_whose_time_is_over_ends_before_the_next_begins():
    given(INVITATION, INVITED).when(invite, INVITED, TOO_LATE).then(InvitationExpired(), INVITED)


def test_an_invitation_is_accepted_once_by_whoever_has_the_address():
    given(INVITATION, INVITED).when(accept, TEACHER, HASH, IN_TIME).then(ACCEPTED)
    given(INVITATION, INVITED, ACCEPTED).when(accept, TEACHER, HASH, IN_TIME).then()
    given(INVITATION, INVITED).when(accept, TEACHER, "00" * 32, IN_TIME).then_refused(InvitationNotFound)
    given(INVITATION, INVITED, ACCEPTED).when(accept, STUDENT, "00" * 32, IN_TIME).then_refused(
        InvitationNotFound
    )
    given(INVITATION).when(accept, TEACHER, HASH, IN_TIME).then_refused(InvitationNotFound)


@pytest.mark.parametrize(
    ("events", "now"),
    [
        ((INVITED,), TOO_LATE),
        ((INVITED, InvitationExpired()), IN_TIME),
        ((INVITED, InvitationRevoked()), IN_TIME),
        ((INVITED, InvitationAccepted(user_id=STUDENT)), IN_TIME),
    ],
)
def test_an_invitation_that_is_over_is_accepted_by_nobody(events, now):
    given(INVITATION, *events).when(accept, TEACHER, HASH, now).then_refused(InvitationOver)


def test_what_was_accepted_is_not_taken_back():
    given(INVITATION).when(revoke).then_refused(InvitationNotFound)
    given(INVITATION, INVITED).when(revoke).then(InvitationRevoked())
    given(INVITATION, INVITED, InvitationRevoked()).when(revoke).then()
    given(INVITATION, INVITED, ACCEPTED).when(revoke).then_refused(InvitationOver)


def test_an_invitation_expires_in_its_time_and_once():
    given(INVITATION, INVITED).when(expire, IN_TIME).then()
    given(INVITATION, INVITED).when(expire, TOO_LATE).then(InvitationExpired())
    given(INVITATION, INVITED, ACCEPTED).when(expire, TOO_LATE).then()
    given(INVITATION).when(expire, TOO_LATE).then()


def test_an_organisation_is_renamed_where_the_name_is_another():
    founded = OrganizationFounded(name="하늘 학원", zone_id="univprep")
    given(ORGANIZATION).when(rename_organization, "바다").then_refused(OrganizationNotFound)
    given(ORGANIZATION, founded).when(rename_organization, "하늘 학원").then()
    after = given(ORGANIZATION, founded).when(rename_organization, "바다 학원")
    after.then(OrganizationRenamed(name="바다 학원"))

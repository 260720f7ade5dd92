"""All routes of the write API."""

from fastapi import APIRouter

from commands.api import (
    access,
    attempts,
    auth,
    calibrations,
    classes,
    examinees,
    exams,
    invitations,
    item_banks,
    next_items,
    oidc,
    organizations,
    passkeys,
    passwords,
    policies,
    roles,
    rosters,
    sessions,
    subscriptions,
    users,
    zones,
)


def write_routers() -> list[APIRouter]:
    parts = [
        part.router
        for part in (
            auth,
            sessions,
            passwords,
            oidc,
            passkeys,
            users,
            roles,
            subscriptions,
            zones,
            organizations,
            invitations,
            classes,
            rosters,
            policies,
            access,
            item_banks,
            calibrations,
            exams,
            attempts,
            next_items,
            examinees,
        )
    ]
    return [*parts, sessions.well_known]

"""People of an identity provider, and the steps by which they sign in here."""

import itertools

_numbers = itertools.count(1)


def new_person():
    number = next(_numbers)
    return {"subject": f"subject-{number}", "email": f"oidc-{number}@example.org", "name": "김민지"}


def start(http, provider="example", **body):
    answer = http.post(f"/auth/oidc/{provider}/start", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def callback(http, started, returned, provider="example", **changes):
    body = {**returned, "binding": started["binding"], **changes}
    return http.post(f"/auth/oidc/{provider}/callback", json=body)


def sign_in(http, issuer, person, provider="example", **body):
    started = start(http, provider, **body)
    return callback(http, started, issuer.sign_in(started["authorization_url"], **person), provider)


def linked_providers(api, tokens):
    read = api.client(tokens["access_token"])
    return read.get("/users/me/identities").json()["providers"]


def subject_of(api, tokens):
    return api.services.token_verifier.verify(tokens["access_token"]).subject_id


def event_names(api, user_id):
    return [type(event).__name__ for event in api.events(user_id)]

"""How the player's client meets servers that fail, against a socket that fails on purpose."""

import asyncio
import json
from contextlib import asynccontextmanager

import pytest

from infra.sample.api_client import ApiRefused, ApiUnreachable, as_service, open_api

HANG_UP = None


def answer(status, body, **headers):
    content = json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} Whatever", f"content-length: {len(content)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


def problem(status, slug, detail="It was refused.", **more):
    return answer(status, {"type": f"urn:megacity:problem:{slug}", "detail": detail, **more})


class Script:
    """Answers requests one after the other with what it was given; notes what was asked."""

    def __init__(self, answers):
        self.answers = list(answers)
        self.heads = []

    async def serve(self, reader, writer):
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                self.heads.append(head.lower())
                length = next(
                    (
                        int(line[15:])
                        for line in head.lower().split("\r\n")
                        if line.startswith("content-length:")
                    ),
                    0,
                )
                await reader.readexactly(length)
                given = self.answers.pop(0)
                if given is HANG_UP:
                    return
                writer.write(given)
                await writer.drain()
        except asyncio.IncompleteReadError:
            return
        finally:
            writer.close()


@asynccontextmanager
async def scripted(*answers, patience_s=20.0, on_trouble=lambda _: None):
    script = Script(answers)
    server = await asyncio.start_server(script.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with open_api(
        f"http://127.0.0.1:{port}", connections=2, patience_s=patience_s, on_trouble=on_trouble
    ) as api:
        yield api, script
    server.close()


def test_a_request_is_sent_again_until_the_server_is_well():
    async def story():
        troubles = []
        async with scripted(
            HANG_UP,
            problem(503, "unavailable", "Not now."),
            problem(409, "request-in-flight"),
            answer(200, {"fine": True}, Consistency_Token="abc"),
            on_trouble=troubles.append,
        ) as (api, script):
            found = await api.send("POST", "/things", body={"a": 1}, idempotency_key="k")
        return found, troubles, script.heads

    found, troubles, heads = asyncio.run(story())
    assert found.read(dict) == {"fine": True}
    assert found.consistency_token == "abc"
    assert len(troubles) == 3
    assert "status 503: Not now." in troubles
    assert all("idempotency-key: k\r\n" in head for head in heads)


def test_a_refusal_is_told_with_its_reason_and_what_is_wrong_where():
    async def story():
        errors = [{"pointer": "#/title", "detail": "Field required"}]
        async with scripted(problem(422, "invalid-request", "One value is not valid.", errors=errors)) as (
            api,
            _,
        ):
            await api.send("POST", "/exams", body={})

    with pytest.raises(ApiRefused, match=r"One value is not valid\. #/title: Field required") as refused:
        asyncio.run(story())
    assert (refused.value.status, refused.value.slug) == (422, "invalid-request")


def test_a_refusal_names_the_rows_that_are_wrong():
    async def story():
        rows = [{"row": 3, "errors": [{"pointer": "/code", "detail": "Not a code"}]}]
        async with scripted(problem(422, "rows-refused", "Some rows are wrong.", rows=rows)) as (api, _):
            await api.send("POST", "/import", body=b"{}")

    with pytest.raises(ApiRefused, match=r"Some rows are wrong\. row 3 /code: Not a code"):
        asyncio.run(story())


def test_an_answer_that_is_no_problem_document_is_a_refusal_too():
    async def story():
        async with scripted(b"HTTP/1.1 404 Not Here\r\ncontent-length: 4\r\n\r\noops") as (api, _):
            await api.send("GET", "/things")

    with pytest.raises(ApiRefused, match="404"):
        asyncio.run(story())


def test_patience_ends():
    async def story():
        async with scripted(*[problem(503, "unavailable", "Not now.")] * 50, patience_s=0.3) as (api, _):
            await api.send("GET", "/things")

    with pytest.raises(ApiUnreachable, match=r"within 0.3 s: status 503: Not now\."):
        asyncio.run(story())


def test_where_nobody_listens_patience_ends_with_a_sentence():
    async def story():
        async with open_api(
            "http://127.0.0.1:1", connections=1, patience_s=0.2, on_trouble=lambda _: None
        ) as api:
            await api.send("GET", "/things")

    with pytest.raises(ApiUnreachable, match="no API answers there"):
        asyncio.run(story())


def tokens(name, expires_in=900):
    return answer(200, {"access_token": name, "token_type": "Bearer", "expires_in": expires_in})


def test_a_token_is_fetched_once_and_used_until_it_runs_out():
    async def story():
        async with scripted(tokens("t1"), answer(200, {}), answer(200, {})) as (api, script):
            sign_in = as_service(api, "client", "secret")
            await sign_in.send("GET", "/things")
            await sign_in.send("GET", "/things")
        return script.heads

    heads = asyncio.run(story())
    assert [head.split(" ")[1] for head in heads] == [
        "/api/v1/auth/token",
        "/api/v1/things",
        "/api/v1/things",
    ]
    assert all("authorization: bearer t1\r\n" in head for head in heads[1:])


def test_a_token_that_is_about_to_run_out_is_renewed_before_it_is_used():
    async def story():
        async with scripted(tokens("t1", expires_in=0), answer(200, {}), tokens("t2"), answer(200, {})) as (
            api,
            script,
        ):
            sign_in = as_service(api, "client", "secret")
            await sign_in.send("GET", "/things")
            await sign_in.send("GET", "/things")
        return script.heads

    heads = asyncio.run(story())
    assert "authorization: bearer t2\r\n" in heads[-1]


def test_a_refused_token_is_renewed_once():
    async def story():
        async with scripted(tokens("t1"), problem(401, "invalid-token"), tokens("t2"), answer(200, {})) as (
            api,
            script,
        ):
            await as_service(api, "client", "secret").send("GET", "/things")
        return script.heads

    assert "authorization: bearer t2\r\n" in asyncio.run(story())[-1]


def test_a_token_that_is_refused_again_ends_it():
    async def story():
        async with scripted(
            tokens("t1"), problem(401, "invalid-token"), tokens("t2"), problem(401, "invalid-token")
        ) as (api, _):
            await as_service(api, "client", "secret").send("GET", "/things")

    with pytest.raises(ApiRefused, match="invalid-token"):
        asyncio.run(story())


def test_many_who_need_a_token_at_once_fetch_one():
    async def story():
        async with scripted(tokens("t1"), *[answer(200, {})] * 5) as (api, script):
            sign_in = as_service(api, "client", "secret")
            await asyncio.gather(*(sign_in.send("GET", "/things") for _ in range(5)))
        return script.heads

    assert sum("/auth/token" in head for head in asyncio.run(story())) == 1

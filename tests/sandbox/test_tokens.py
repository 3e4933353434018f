"""Both kinds of token, in the words of the real server."""

import time

import httpx
import pytest

from label_studio_sandbox import Sandbox

MISSING = "Authentication credentials were not provided."


def asked(client: httpx.Client, **headers: str) -> httpx.Response:
    return client.get("/api/projects/", headers={name.replace("_", "-"): text for name, text in headers.items()})


def access(client: httpx.Client, sandbox: Sandbox) -> str:
    answer = client.post("/api/token/refresh/", json={"refresh": sandbox.personal_access_token})
    token: str = answer.json()["access"]
    return token


def claims(token: str) -> dict[str, object]:
    import base64
    import json

    part = token.split(".")[1]
    decoded: dict[str, object] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return decoded


@pytest.mark.parametrize(
    ("header", "detail"),
    [
        pytest.param("", MISSING, id="none"),
        pytest.param("Token", "Invalid token header. No credentials provided.", id="token without a key"),
        pytest.param("Token a b", "Invalid token header. Token string should not contain spaces.", id="two keys"),
        pytest.param("Token " + "0" * 40, "Invalid token.", id="another key"),
        pytest.param("Bearer {token}", MISSING, id="legacy key as bearer"),
        pytest.param("Bearer {personal}", MISSING, id="personal token as bearer"),
        pytest.param("Token {personal}", "Invalid token.", id="personal token as key"),
        pytest.param("Token {access}", "Invalid token.", id="access token as key"),
        pytest.param("bearer {access}", MISSING, id="bearer in lower case"),
        pytest.param("JWT {access}", MISSING, id="another scheme"),
        pytest.param("Bearer {access}x", MISSING, id="tampered access token"),
    ],
)
def test_a_token_that_does_not_fit_is_refused(
    sandbox: Sandbox, anonymous: httpx.Client, header: str, detail: str
) -> None:
    known = {"token": sandbox.token, "personal": sandbox.personal_access_token, "access": access(anonymous, sandbox)}
    answer = asked(anonymous, Authorization=header.format(**known))
    assert (answer.status_code, answer.json()["detail"]) == (401, detail)
    assert answer.headers["WWW-Authenticate"] == "Token"
    assert set(answer.json()) == {"id", "status_code", "version", "detail", "exc_info"}


def test_the_scheme_of_a_legacy_token_may_be_written_small(sandbox: Sandbox, anonymous: httpx.Client) -> None:
    assert asked(anonymous, Authorization=f"token {sandbox.token}").status_code == 200


def test_an_api_key_header_overrides_the_other(sandbox: Sandbox, anonymous: httpx.Client) -> None:
    assert asked(anonymous, X_Api_Key=sandbox.token, Authorization="Token nonsense").status_code == 200


def test_an_access_token_lives_for_five_minutes(sandbox: Sandbox, anonymous: httpx.Client) -> None:
    token = access(anonymous, sandbox)
    assert asked(anonymous, Authorization=f"Bearer {token}").status_code == 200
    left = float(str(claims(token)["exp"])) - time.time()
    assert 298 <= left <= 300


def test_an_expired_access_token_is_answered_as_if_there_were_none() -> None:
    with Sandbox(access_token_seconds=-1) as sandbox, httpx.Client(base_url=sandbox.url) as client:
        answer = asked(client, Authorization=f"Bearer {access(client, sandbox)}")
    assert (answer.status_code, answer.json()["detail"]) == (401, MISSING)


def test_a_refresh_needs_its_field(anonymous: httpx.Client) -> None:
    answer = anonymous.post("/api/token/refresh/", json={})
    assert (answer.status_code, answer.json()["validation_errors"]) == (400, {"refresh": ["This field is required."]})


@pytest.mark.parametrize(
    ("kind", "detail"),
    [
        pytest.param("nonsense", "Token is invalid", id="nonsense"),
        pytest.param("legacy", "Token is invalid", id="legacy"),
        pytest.param("access", "Token has wrong type", id="access"),
        pytest.param("revoked", "Token is blacklisted", id="revoked"),
    ],
)
def test_only_a_valid_personal_token_is_refreshed(sandbox: Sandbox, http: httpx.Client, kind: str, detail: str) -> None:
    tokens = {"nonsense": "a.b.c", "legacy": sandbox.token, "access": access(http, sandbox)}
    if kind == "revoked":
        http.post("/api/token/blacklist/", json={"refresh": sandbox.personal_access_token})
    refresh = tokens.get(kind, sandbox.personal_access_token)
    answer = http.post("/api/token/refresh/", json={"refresh": refresh})
    assert (answer.status_code, answer.json()["detail"]) == (401, detail)


def test_there_is_one_personal_token_for_a_user(sandbox: Sandbox, http: httpx.Client) -> None:
    assert http.post("/api/token/").status_code == 409
    assert http.post("/api/token/blacklist/", json={"refresh": sandbox.personal_access_token}).status_code == 204
    answer = http.post("/api/token/")
    assert (answer.status_code, claims(answer.json()["token"])["token_type"]) == (201, "refresh")


def test_a_token_is_revoked_once(sandbox: Sandbox, http: httpx.Client) -> None:
    http.post("/api/token/blacklist/", json={"refresh": sandbox.personal_access_token})
    answer = http.post("/api/token/blacklist/", json={"refresh": sandbox.personal_access_token})
    assert (answer.status_code, answer.json()) == (404, {"detail": "Token is invalid or already blacklisted."})


def test_listed_tokens_lack_their_signature(sandbox: Sandbox, http: httpx.Client) -> None:
    [listed] = http.get("/api/token/").json()
    assert listed["token"] == sandbox.personal_access_token.rpartition(".")[0]


def test_a_rotation_leaves_running_access_tokens_alone(sandbox: Sandbox, http: httpx.Client) -> None:
    running = access(http, sandbox)
    rotated = http.post("/api/token/rotate/", json={"refresh": sandbox.personal_access_token}).json()["refresh"]
    assert asked(http, Authorization=f"Bearer {running}").status_code == 200
    assert http.post("/api/token/refresh/", json={"refresh": rotated}).status_code == 200

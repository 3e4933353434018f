"""What the environment says of the way to a server: proxies, certificates, headers."""

import ssl
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from label_studio_stencil.labelstudio.client import LabelStudio
from label_studio_stencil.labelstudio.environment import BadConnectionSetting, headers_in, proxy_for, ssl_context
from label_studio_stencil.labelstudio.errors import Unsure
from tests.labelstudio.scripted import LEGACY, Script, answer
from tests.labelstudio.virtual import VirtualClock

SECRET = "s3cret-of-a-service-account"


@pytest.fixture(autouse=True)
def nothing_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("excepted", "url", "proxy"),
    [
        ("", "https://ls.test", "http://proxy.test:3128"),
        ("ls.test", "https://ls.test", None),
        (".test", "https://ls.test", None),
        ("10.0.0.0/8, 192.168.0.0/16", "https://10.1.2.3:8080", None),
        ("10.0.0.0/8", "https://11.1.2.3", "http://proxy.test:3128"),
        ("fd00::/8", "https://[fd12::1]", None),
        ("not/a-network", "https://10.1.2.3", "http://proxy.test:3128"),
    ],
)
def test_no_proxy_excepts_hosts_domains_and_networks(
    monkeypatch: pytest.MonkeyPatch, excepted: str, url: str, proxy: str | None
) -> None:
    monkeypatch.setenv("https_proxy", "proxy.test:3128")
    monkeypatch.setenv("no_proxy", excepted)
    assert proxy_for(url) == proxy


@pytest.mark.parametrize("value", ["ftp://p.test:1", "http://", "http://me:hunter2@p.test:port", "://x"])
def test_an_address_that_can_be_no_proxys_is_named_by_its_variable(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("https_proxy", value)
    with pytest.raises(BadConnectionSetting, match=r"^HTTPS_PROXY can't be the address of a proxy") as caught:
        proxy_for("https://ls.test")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"])
def test_certificates_that_are_not_there_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    monkeypatch.setenv(name, str(tmp_path / "ca.pem"))
    with pytest.raises(BadConnectionSetting, match=rf"^{name} names .*ca\.pem, which does not exist"):
        ssl_context()
    (tmp_path / "ca.pem").write_text("no certificate", encoding="utf-8")
    with pytest.raises(BadConnectionSetting, match=rf"^{name} names .*ca\.pem, which holds no PEM certificates"):
        ssl_context()


def test_certificates_of_a_folder_or_a_bundle_are_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import certifi

    monkeypatch.setenv("REQUESTS_CA_BUNDLE", certifi.where())
    assert ssl_context().cert_store_stats()["x509_ca"] > 50
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    assert isinstance(ssl_context(), ssl.SSLContext)


@pytest.mark.parametrize(
    "text",
    ['{"CF-Access-Client-Id": "a:b", "X-B": "c"}', "CF-Access-Client-Id: a:b\n\n X-B : c \n"],
    ids=["JSON", "lines"],
)
def test_headers_are_json_or_lines(text: str) -> None:
    assert {name: value.get_secret_value() for name, value in headers_in(text).items()} == {
        "cf-access-client-id": "a:b",
        "x-b": "c",
    }


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{"X-A": ', "starts like a JSON object"),
        (SECRET, "line 1 has no colon"),
        (f"X A: {SECRET}", "'X A' can't be the name of a header"),
        (f"Authorization: {SECRET}", "the header Authorization is Stencil's own"),
        (f"X-A: {SECRET}ß", "the value of the header X-A is not one line of ASCII text"),
        (f'{{"X-A": ["{SECRET}"]}}', "the value of the header X-A is not one line of ASCII text"),
    ],
)
def test_what_can_be_no_header_is_refused_without_its_value(text: str, sentence: str) -> None:
    with pytest.raises(BadConnectionSetting, match=sentence) as caught:
        headers_in(text)
    assert SECRET not in str(caught.value)


async def test_headers_go_with_each_request_and_are_shown_nowhere(clock: VirtualClock) -> None:
    script = Script(answer(500, {"detail": f"seen: {SECRET}"}))
    studio = LabelStudio(
        "https://ls.test", LEGACY, transport=script, clock=clock, headers={"x-pass": SecretStr(SECRET)}
    )
    with pytest.raises(Unsure) as caught:
        await studio.create_project({"title": "Birds"})
    assert [request.headers["x-pass"] for request in script.requests] == [SECRET]
    assert SECRET not in str(caught.value) + repr(studio) + repr(vars(studio))


@pytest.mark.parametrize(
    ("reply", "sentence"),
    [
        (httpx.Response(302, headers={"location": "https://accounts.test/o/auth?x=1"}), "ask for a sign-in"),
        (httpx.Response(301, headers={"location": "https://ls.test/label/"}), "at another path"),
        (httpx.Response(200, html="<html>Sign in</html>"), "ask for a sign-in"),
    ],
    ids=["sent to a sign-in", "sent elsewhere", "a page"],
)
async def test_a_sign_in_proxy_is_distinguished_from_label_studio(
    clock: VirtualClock, reply: httpx.Response, sentence: str
) -> None:
    with pytest.raises(Unsure, match=sentence) as caught:
        await LabelStudio("https://ls.test", LEGACY, transport=Script(reply), clock=clock).whoami()
    assert "https://ls.test answered" in str(caught.value)


async def test_a_certificate_that_is_not_trusted_names_the_variables(clock: VirtualClock) -> None:
    error = httpx.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED] unable to get local issuer certificate")
    with pytest.raises(
        Unsure, match=r"https://ls\.test/.*: no connection .*SSL_CERT_FILE, SSL_CERT_DIR or REQUESTS_CA_BUNDLE"
    ):
        await LabelStudio("https://ls.test", LEGACY, transport=Script(error), clock=clock).whoami()

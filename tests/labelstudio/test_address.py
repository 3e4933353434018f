import pytest

from label_studio_stencil.labelstudio.address import base_address, host_of, is_loopback, keep_alive_for
from label_studio_stencil.labelstudio.client import LabelStudio
from label_studio_stencil.labelstudio.errors import InvalidAddress
from label_studio_stencil.labelstudio.models import Edition


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("https://studio.test", "https://studio.test"),
        (" https://Studio.test:8443/ ", "https://studio.test:8443"),
        ("https://studio.test/projects/7/data?tab=3", "https://studio.test"),
        ("https://studio.test/api/", "https://studio.test"),
        ("https://studio.test/user/account", "https://studio.test"),
        ("https://host.test/studio/projects", "https://host.test/studio"),
        ("http://[::1]:8080/", "http://[::1]:8080"),
        ("https://studio.test/#x", "https://studio.test"),
        ("HTTPS://Studio.Test:443/", "https://studio.test"),
        ("http://studio.test:080//", "http://studio.test"),
        ("http://studio.test:443", "http://studio.test:443"),
        ("http://[FE80:0:0:0::1%Eth0]:8080", "http://[fe80::1%Eth0]:8080"),
        # Paths that a Label Studio is served under, whatever their names.
        ("https://host.test/user/ada/proxy/8080", "https://host.test/user/ada/proxy/8080"),
        ("https://host.test/projects/label-studio/projects/7/data", "https://host.test/projects/label-studio"),
        ("https://host.test/api/label-studio/", "https://host.test/api/label-studio"),
    ],
)
def test_whatever_is_pasted_the_studios_base_remains(url: str, base: str) -> None:
    assert base_address(url) == base
    assert repr(LabelStudio(url, "a" * 40)) == f"LabelStudio({base!r})"


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("", "must begin with http"),
        ("studio.test", "Did you mean https://studio.test"),
        ("ftp://studio.test", "must begin with http"),
        ("https://", "must begin with http"),
        ("https://me:secret@studio.test", "must not carry a user name"),
        ("https://studio.test:port", "can't be read"),
        ("https://[studio", "can't be read"),
        ("https://[fe80::1::2]", "can't be read"),
    ],
)
def test_what_can_be_no_address_is_refused(url: str, sentence: str) -> None:
    with pytest.raises(InvalidAddress, match=sentence) as caught:
        base_address(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("host", "urls"),
    [
        (
            "studio.test",
            ["http://studio.test", "HTTP://Studio.test:80/", "http://studio.test:/projects", "https://studio.test:443"],
        ),
        ("studio.test:8080", ["http://STUDIO.test:8080/", "http://studio.test:08080"]),
        (
            "[fe80::1]:8080",
            ["http://[fe80::1]:8080", "http://[FE80:0::0001%eth0]:8080/", "http://[fe80::1%25eth0]:8080"],
        ),
    ],
)
def test_a_label_studio_has_one_name_however_its_address_is_written(host: str, urls: list[str]) -> None:
    assert {host_of(url) for url in urls} == {host_of(base_address(url)) for url in urls} == {host}


@pytest.mark.parametrize(
    ("edition", "url", "kept"),
    [
        (Edition.COMMUNITY, "http://localhost:8080", False),
        (Edition.COMMUNITY, "https://studio.test", True),
        (Edition.ENTERPRISE, "http://localhost:8080", True),
        (Edition.ENTERPRISE, "https://app.humansignal.com", True),
    ],
)
def test_connections_are_kept_but_for_communitys_own_server(edition: Edition, url: str, kept: bool) -> None:
    assert keep_alive_for(edition, url) is kept


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("http://127.0.0.1:1", True),
        ("http://[::1]", True),
        ("http://localhost", True),
        ("https://studio.test", False),
    ],
)
def test_a_server_on_this_machine_is_known(url: str, local: bool) -> None:
    assert is_loopback(url) is local

import pytest

from label_studio_stencil.labelstudio.errors import InvalidAddress
from label_studio_stencil.labelstudio.models import Edition
from label_studio_stencil.settings import (
    LabelStudioSettings,
    MissingSettings,
    default_max_concurrency,
    default_path_rates,
    default_requests_per_second,
)

URL = {"LABEL_STUDIO_URL": "https://studio.test/projects"}
TOKEN = {"LABEL_STUDIO_API_KEY": " 0123456789abcdef\n"}


def test_two_variables_name_the_studio() -> None:
    settings = LabelStudioSettings.from_environment({**URL, **TOKEN})
    assert settings.url == "https://studio.test"
    assert settings.token.get_secret_value() == "0123456789abcdef"
    assert "0123456789abcdef" not in repr(settings)


@pytest.mark.parametrize(
    ("environ", "missing"),
    [
        ({}, "LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY are not set."),
        (URL, ": LABEL_STUDIO_API_KEY is not set."),
        (TOKEN, ": LABEL_STUDIO_URL is not set."),
        ({**URL, "LABEL_STUDIO_API_KEY": "  "}, ": LABEL_STUDIO_API_KEY is not set."),
    ],
    ids=["both", "token", "url", "blank"],
)
def test_what_is_missing_is_named_beside_both_variables(environ: dict[str, str], missing: str) -> None:
    with pytest.raises(MissingSettings) as caught:
        LabelStudioSettings.from_environment(environ)
    message = str(caught.value)
    assert missing in message
    assert "LABEL_STUDIO_URL to" in message
    assert "LABEL_STUDIO_API_KEY to" in message
    assert "`sandbox=True`" in message


def test_the_environment_is_read_when_it_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABEL_STUDIO_URL", "https://other.test")
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", "abc")
    assert LabelStudioSettings.from_environment().url == "https://other.test"


def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidAddress):
        LabelStudioSettings.from_environment({"LABEL_STUDIO_URL": "studio.test", **TOKEN})


@pytest.mark.parametrize(
    ("url", "rate"),
    [
        ("https://app.humansignal.com", 10),
        ("https://APP.HumanSignal.com./projects", 10),
        ("https://acme.humansignal.com", 10),
        ("https://app.heartex.com", 10),
        ("https://app.humansignal.eu", 10),
        ("https://humansignal.com.evil.test", 0),
        ("https://nothumansignal.com", 0),
        ("http://localhost:8080", 0),
    ],
)
def test_only_the_vendors_cloud_has_a_rate_by_default(url: str, rate: float) -> None:
    assert default_requests_per_second(url) == rate
    assert bool(default_path_rates(url)) == bool(rate)


def test_community_is_asked_one_request_at_a_time_by_default() -> None:
    assert default_max_concurrency(Edition.COMMUNITY) == 1
    assert default_max_concurrency(Edition.ENTERPRISE) == 4

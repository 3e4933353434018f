"""Which Label Studio, and its token: from a Prefect block, or from the environment."""

import re
from typing import Self

from prefect.blocks.abstract import CredentialsBlock
from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound
from pydantic import Field, HttpUrl, SecretStr, ValidationError

from label_studio_stencil.labelstudio.address import base_address
from label_studio_stencil.labelstudio.client import LabelStudio
from label_studio_stencil.labelstudio.environment import headers_in
from label_studio_stencil.labelstudio.pacing import Pacer
from label_studio_stencil.problems import StencilError
from label_studio_stencil.settings import LabelStudioSettings, default_requests_per_second

_SLUG = "label-studio-credentials"
#: Names that Prefect gives blocks, but for legacy tokens. Other tokens have upper-case letters and dots.
_NAME = re.compile("(?![0-9a-f]{40}$)[a-z0-9-]+")


class CredentialsUnusable(StencilError):
    """The block that was named does not exist, or does not hold what it should."""


def block_name(credentials: str) -> str:
    """Return the name of the block that a parameter `credentials` names; `staging` for `label-studio-credentials/staging` too.

    Raises:
        CredentialsUnusable: It is none, but perhaps a token, which goes nowhere then.
    """
    # With its type is how Prefect's own commands write it.
    name = credentials.strip().removeprefix(f"{_SLUG}/")
    if not _NAME.fullmatch(name):
        raise CredentialsUnusable(
            "credentials: this is not the name of a block; the Prefect UI shows the names under Blocks. If it was a token, "
            "revoke it in Label Studio: others can read the parameters of a run."
        )
    return name


class LabelStudioCredentials(CredentialsBlock):
    """Where a Label Studio server is, and a token for it.

    Attributes:
        url: Base URL, as you open it in the browser.
        token: A personal access token or a legacy token. Prefect keeps it encrypted and never shows it.
        headers: Further headers of each request, kept like the token.
    """

    _block_type_name = "Label Studio Credentials"
    _block_type_slug = _SLUG
    _description = "The address of a Label Studio server and a token for it."
    _logo_url = HttpUrl(
        "https://raw.githubusercontent.com/HumanSignal/label-studio/develop/label_studio/core/static/images/heidi.png"
    )
    _documentation_url = HttpUrl("https://labelstud.io/guide/access_tokens")
    # Prefect would take the class's docstring and show its reST as an example.
    _code_example = """
    ```python
    from label_studio_stencil.prefect import LabelStudioCredentials

    credentials = LabelStudioCredentials.load("BLOCK_NAME")

    async def email() -> str:
        async with credentials.get_client() as client:
            return (await client.whoami()).email
    ```
    """

    url: str = Field(
        title="URL",
        description="Address of Label Studio as you open it in the browser: `https://label-studio.example.com`.",
    )
    token: SecretStr = Field(title="Token", description="A personal access token, or a legacy token.")
    headers: SecretStr = Field(
        default=SecretStr(""),
        title="Headers",
        description="Additional headers of each request, such as those of a sign-in proxy: one `Name: value` per line.",
    )

    def get_client(self) -> LabelStudio:
        """Return a client, to be opened by `async with`: four requests at once and, on the vendor's cloud, ten a second.

        Raises:
            InvalidAddress: The URL can't be a Label Studio's.
            BadConnectionSetting: The headers can't be sent.
        """
        settings = self.settings()
        pacer = Pacer(requests_per_second=default_requests_per_second(settings.url))
        return LabelStudio(settings.url, settings.token, pacer=pacer, headers=settings.headers)

    def settings(self) -> LabelStudioSettings:
        """Return address and token as a client takes them.

        Raises:
            InvalidAddress: The URL can't be a Label Studio's.
            BadConnectionSetting: The headers can't be sent.
        """
        headers = headers_in(self.headers.get_secret_value(), source="the block's headers")
        return LabelStudioSettings(base_address(self.url), SecretStr(self.token.get_secret_value().strip()), headers)

    @classmethod
    async def named(cls, name: str) -> Self:
        """Load a block by its name.

        Raises:
            CredentialsUnusable: There is none, or it has no URL or no token.
        """
        short = block_name(name)
        try:
            async with get_client() as client:
                document = await client.read_block_document_by_name(short, _SLUG)
                block: Self = cls._from_block_document(document)
        except ObjectNotFound:
            raise CredentialsUnusable(
                f"credentials: there is no block {short!r} of type Label Studio Credentials.",
                hint="Make one in the Prefect UI (Blocks), or by `python -m deployments.bootstrap --credentials NAME`.",
            ) from None
        except ValidationError as error:
            # Not chained: it repeats values.
            fields = ", ".join(sorted({str(each["loc"][0]) for each in error.errors() if each["loc"]}))
            raise CredentialsUnusable(
                f"credentials: the block {short!r} has missing or invalid fields: {fields}."
            ) from None
        if not block.token.get_secret_value().strip():
            raise CredentialsUnusable(f"credentials: the block {short!r} has an empty token.")
        return block


async def label_studio_settings(credentials: LabelStudioCredentials | str) -> LabelStudioSettings:
    """Return address and token from a block, from the block with a name or, if that is empty, from the environment.

    Raises:
        CredentialsUnusable: There is no such block.
        MissingSettings: No block was named, and the environment names no Label Studio either.
        InvalidAddress: The URL can't be a Label Studio's.
    """
    if isinstance(credentials, LabelStudioCredentials):
        return credentials.settings()
    if not credentials.strip():
        return LabelStudioSettings.from_environment()
    return (await LabelStudioCredentials.named(credentials)).settings()

"""What can go wrong between us and a Label Studio server, in the four kinds that call for different acts.

    StencilError
    ├── InvalidAddress           the URL can't be a server's; nothing was sent
    └── LabelStudioError
        ├── Rejected             the application said no: never send it again as it is
        ├── Unauthorized         the token is not taken: stop the batch
        ├── Throttled            asked too fast: everyone waits; for a create it is unsure besides
        └── Unsure               anything else: it may have been carried out; look before sending again

Every error is one sentence for the user, names the request, passes on the server's own words, and never holds
a token. All of them survive pickling, since Prefect moves exceptions between processes.
"""

from collections.abc import Mapping

from label_studio_stencil.problems import StencilError

#: How to get a token, for every message about one.
ADVICE = (
    "Copy a token from Account & Settings in Label Studio, either the personal access token, as it was shown "
    "when it was created, or the legacy token where the organization allows those, and set "
    "LABEL_STUDIO_API_KEY to it."
)


class InvalidAddress(StencilError):
    """The URL can't be the address of a Label Studio server."""


class LabelStudioError(StencilError):
    """A request to Label Studio did not end well.

    Attributes:
        method: The request's method, such as `POST`; empty where no request was made.
        path: The request's path, without its query.
        status: The answer's status, or `None` where there was no answer.
    """

    def __init__(
        self, message: str, *, method: str = "", path: str = "", status: int | None = None, hint: str = ""
    ) -> None:
        super().__init__(message, hint=hint)
        self.method = method
        self.path = path
        self.status = status


class Rejected(LabelStudioError):
    """The application refused the request and carried nothing out.

    Attributes:
        detail: The server's sentence.
        fields: The server's sentences about single fields, by field.
        reference: The id under which the server logged the refusal; empty where it gave none.
        absent: Whether the server has no such endpoint at all, as Community has none for templates and
            workspaces.
    """

    def __init__(
        self,
        message: str,
        *,
        method: str = "",
        path: str = "",
        status: int | None = None,
        detail: str = "",
        fields: Mapping[str, list[str]] | None = None,
        reference: str = "",
        absent: bool = False,
    ) -> None:
        super().__init__(message, method=method, path=path, status=status)
        self.detail = detail
        self.fields = dict(fields or {})
        self.reference = reference
        self.absent = absent


class Unauthorized(LabelStudioError):
    """The server does not take the token, not even a fresh one, or the token can't be one."""


class Throttled(LabelStudioError):
    """The server was asked too fast, or is briefly out of service, and said when to come back.

    Attributes:
        retry_after: Seconds to wait.
    """

    def __init__(
        self,
        message: str,
        *,
        method: str = "",
        path: str = "",
        status: int | None = None,
        retry_after: float = 1.0,
    ) -> None:
        super().__init__(message, method=method, path=path, status=status)
        self.retry_after = retry_after


class Unsure(LabelStudioError):
    """The request may or may not have been carried out.

    Attributes:
        reason: What happened, in a few words.
        sent: `False` where the request certainly was not carried out: it never left, or was refused before.
            It may be sent again without a look.
        may_pass: `False` where the next try will end the same way, as with a redirect.
    """

    def __init__(
        self,
        message: str,
        *,
        method: str = "",
        path: str = "",
        status: int | None = None,
        hint: str = "",
        reason: str = "",
        sent: bool = True,
        may_pass: bool = True,
    ) -> None:
        super().__init__(message, method=method, path=path, status=status, hint=hint)
        self.reason = reason or message
        self.sent = sent
        self.may_pass = may_pass

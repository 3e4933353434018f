"""Errors of requests to Label Studio, in the four kinds that need different reactions.

    StencilError
    ├── InvalidAddress           the URL is not a server's; nothing was sent
    └── LabelStudioError
        ├── Rejected             the application refused: don't send the same request again
        ├── Unauthorized         the token is not accepted: stop the batch
        ├── Throttled            too many requests: all requests wait; a create may have been carried out
        └── Unsure               anything else: it may have been carried out, so look before you send it again

Every error is one sentence for the user, names the request, quotes the server, and never contains a token. All can be
pickled, because Prefect moves exceptions between processes.
"""

from collections.abc import Mapping

from label_studio_stencil.problems import StencilError

#: How to get a token, for every message about one.
ADVICE = (
    "Set LABEL_STUDIO_API_KEY to a token from Account & Settings in Label Studio: a personal access token, which is "
    "shown in full only when it is created, or a legacy token, if the organization allows it."
)


class InvalidAddress(StencilError):
    """The URL is not the address of a Label Studio server."""


class LabelStudioError(StencilError):
    """A request to Label Studio failed.

    Attributes:
        method: The request's method, such as `POST`; empty if no request was sent.
        path: The request's path, without its query.
        status: The answer's status; `None` if there was no answer.
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
        reference: The id under which the server logged the refusal; empty if it gave none.
        absent: Whether the server doesn't have the endpoint; Community has none for project templates and
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
        hint: str = "",
    ) -> None:
        super().__init__(message, method=method, path=path, status=status, hint=hint)
        self.detail = detail
        self.fields = dict(fields or {})
        self.reference = reference
        self.absent = absent


class Unauthorized(LabelStudioError):
    """The server refused the token, even a fresh one, or it is not a token."""


class Throttled(LabelStudioError):
    """The server refused because of too many requests, or is briefly out of service, and said how long to wait.

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
        sent: `False` if the request was certainly not carried out: it was not sent, or was refused before that. It may
            be sent again without a look.
        may_pass: `False` if the next try will end the same way, as with a redirect.
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

"""The only code that talks to a Label Studio server.

Creates, changes and deletions are sent once, except after a 401 with a fresh token. Reads are repeated until they succeed
or it is hopeless. Every request passes through the batch's pacer. Needs `httpx`. Paths are those of the vendor's OpenAPI,
slashes included: project templates have none at their end.
"""

import functools
import json
import logging
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence, Set
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from types import TracebackType
from typing import Self

import httpx
from pydantic import SecretStr, TypeAdapter

from label_studio_stencil.json_value import JSON
from label_studio_stencil.labelstudio import answers
from label_studio_stencil.labelstudio.address import base_address, keep_alive_for
from label_studio_stencil.labelstudio.answers import Call, Reply
from label_studio_stencil.labelstudio.auth import credentials
from label_studio_stencil.labelstudio.connections import Connections
from label_studio_stencil.labelstudio.errors import Rejected, Throttled, Unauthorized, Unsure
from label_studio_stencil.labelstudio.models import (
    Added,
    Edition,
    Gallery,
    GalleryEntry,
    Imported,
    ImportState,
    OrganizationMember,
    Project,
    ProjectPage,
    ProjectTemplate,
    TaskDataPage,
    TaskPage,
    User,
    Version,
    Workspace,
)
from label_studio_stencil.labelstudio.outage import FROM_THE_EDGE, Outage
from label_studio_stencil.labelstudio.pacing import Clock, Pacer, SystemClock, Turn, spread
from label_studio_stencil.redaction import SECRET_FIELDS, FromFile
from label_studio_stencil.version import __version__

logger = logging.getLogger(__name__)

#: Headers of every request.
HEADERS = {
    "user-agent": f"stencil/{__version__}",
    "accept": "application/json",
    "accept-encoding": "gzip, deflate",
}
#: Additional headers of a read, so that caches on the way pass it on.
NO_CACHE = {"cache-control": "no-cache"}
#: Seconds for a whole answer, by method. Otherwise a server that sends a byte now and then would block the batch forever.
DEADLINES = {"GET": 60.0, "POST": 60.0, "PATCH": 25.0, "DELETE": 60.0}
CREATE_DEADLINE = 90.0
PROBE_DEADLINE = 30.0
#: Bytes of a request's body for which its answer may take one second longer, as for an import.
BYTES_A_SECOND = 100_000
#: Most tries of a read, and the seconds before the second, which double from there.
READ_TRIES = 4
READ_BACKOFF = 0.5
#: Seconds in total that a read waits because the server asks to.
LONGEST_THROTTLED = 600.0
#: How soon a token has to expire for a warning.
EXPIRES_SOON = timedelta(days=7)
#: Most projects on a page (measured on Label Studio Community 1.23.2).
PAGE_SIZE = 100
#: Tasks on a page of what tasks show.
_TASK_DATA = 500
#: Key in `LabelStudio.sent` for exchanges of a personal access token.
REFRESH = "refresh"

Params = Mapping[str, str | int]

Body = Mapping[str, JSON] | list[JSON]

_USERS = TypeAdapter(list[OrganizationMember])
_TEMPLATES = TypeAdapter(list[ProjectTemplate])
_WORKSPACES = TypeAdapter(list[Workspace])


class LabelStudio:
    """A Label Studio server, as the owner of one token sees it; an asynchronous context manager.

    Creates, changes and deletions are sent once; only after a 401, which the server answers before it does
    anything, the same request is sent again with a renewed token. Reads are repeated while the server asks to wait, and
    up to four times if there is no answer. If the server asks to wait, the pacer holds back the whole batch, or only
    the path if that has its own pace.

    Args:
        url: Label Studio's address; a page of it, such as `https://host/projects/7`, will do.
        token: A personal access token or a legacy token.
        pacer: Lets requests out; shared by clients that share its limits. May be replaced later: `pacer` is
            an attribute.
        timeout: Seconds without a byte after which a request fails. Each request also has a deadline for its whole answer:
            `DEADLINES`, 90 s for a create, and more for a large import.
        transport: Carries the requests instead of the network.
        keep_alive: Whether connections are kept between requests. `version()` turns it off if the server
            is slower with it.
        clock: Clock of this client, and of its pacer if none is given.
        headers: More headers of each request, such as those for a sign-in proxy; no message shows their values.

    Attributes:
        url: Label Studio's base URL, without a slash at its end.
        pacer: Lets requests out.
        keep_alive: Whether connections are kept between requests; may be set at any time.
        outage: Whether Label Studio is unavailable; holds requests back only if it has a limit.
        sent: Number of requests by method; exchanges of a token count as `refresh`.
        first_sent: When the first request left, by the clock; `None` before.
        last_answered: When the last answer came, by the clock; `None` before.

    Raises:
        InvalidAddress: `url` is not the address of a Label Studio.
        Unauthorized: `token` is not a token.

    Every method raises `LabelStudioError`: `Rejected`, `Unauthorized`, `Throttled` or `Unsure`.
    """

    def __init__(
        self,
        url: str,
        token: SecretStr | str,
        *,
        pacer: Pacer | None = None,
        timeout: float = 60.0,
        transport: httpx.AsyncBaseTransport | None = None,
        keep_alive: bool = True,
        clock: Clock | None = None,
        headers: Mapping[str, SecretStr] | None = None,
    ) -> None:
        self._clock: Clock = clock or SystemClock()
        self._headers = dict(headers or {})
        self.url = base_address(url)
        self.pacer = pacer or Pacer(clock=self._clock)
        self.keep_alive = keep_alive
        self.sent: Counter[str] = Counter()
        self.first_sent: float | None = None
        self.last_answered: float | None = None
        self._timeout = timeout
        self._date: str | None = None
        self._trims = True
        secret = token if isinstance(token, SecretStr) else SecretStr(token)
        self._credentials = credentials(secret, self._refresh, self._clock)
        self._connections = Connections(self.url, timeout, transport)
        self.outage = Outage(self._clock, self._probe)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections."""
        await self._connections.aclose()

    def server_time(self) -> datetime | None:
        """The server's time, from the `Date` of its last answer and our clock; `None` if it sent none."""
        if self._date is None or self.last_answered is None:
            return None
        try:
            answered = parsedate_to_datetime(self._date).astimezone(UTC)
            return answered + timedelta(seconds=self._clock.now() - self.last_answered)
        except (ValueError, OverflowError):
            return None

    def token_note(self) -> str:
        """A sentence about a personal access token that expires within a week; empty if it lasts longer."""
        expires = self._credentials.expires
        now = self.server_time() or self._clock.wall()
        if expires is None or expires - now > EXPIRES_SOON:
            return ""
        return (
            f"the personal access token expires on {expires:%Y-%m-%d} at {expires:%H:%M} UTC: make a new one in Label Studio "
            "(Account & Settings) before that, and replace it wherever it is stored"
        )

    @property
    def requests_sent(self) -> int:
        """Number of requests that were sent."""
        return self.sent.total()

    async def version(self) -> Version:
        """The release and edition of Label Studio; needs no token. Turns `keep_alive` off if that is faster."""
        reply = await self._read("/api/version/", authorized=False)
        version = reply.parsed(_version)
        self.keep_alive = self.keep_alive and keep_alive_for(version.edition, self.url)
        return version

    async def whoami(self) -> User:
        """The user of the token."""
        return (await self._read("/api/current-user/whoami")).parsed(User.model_validate)

    async def project_templates(self) -> list[ProjectTemplate]:
        """All project templates, on Enterprise; `Rejected` with `absent` on Community."""
        return (await self._read("/api/project-templates/")).parsed(_TEMPLATES.validate_python)

    async def create_project_template(self, name: str, *, project: int, description: str = "") -> ProjectTemplate:
        """Make a project template from a project, on Enterprise; sent once.

        Args:
            name: Its name, 1 to 1000 characters.
            project: Id of the project.
            description: Its description; empty writes none.
        """
        body: dict[str, JSON] = {"name": name, "project_id": project}
        if description:
            body["description"] = description
        return (await self._once("POST", "/api/project-templates/", body=body)).parsed(ProjectTemplate.model_validate)

    async def users(self) -> list[OrganizationMember]:
        """All users of the organization."""
        return (await self._read("/api/users/")).parsed(_USERS.validate_python)

    async def add_members(self, project_id: int, users: Sequence[int], roles: Mapping[int, str]) -> list[int]:
        """Add members to a project, on Enterprise; returns the ids of people who were skipped.

        May be sent again: adding a member twice changes nothing.

        Args:
            project_id: Its id.
            users: Ids of the people.
            roles: Role in the project by id, for those who have one: `OW`, `AD`, `MA`, `RE`, `AN`, `DI` or `NO`.
        """
        body: dict[str, JSON] = {
            "all": False,
            "included": list(users),
            "roles": [{"user_id": number, "role": role} for number, role in roles.items()],
        }
        path = f"/api/projects/{project_id}/members/bulk/"
        try:
            reply = await self._repeated(lambda: self._once("POST", path, body=body))
        except Rejected as rejected:
            # According to the vendor's contract, these are people whose identity is not verified.
            skipped = [int(number) for number in rejected.fields.get("skipped_user_ids", ()) if number.isdecimal()]
            if not skipped:
                raise
            return skipped
        return reply.parsed(Added.model_validate).skipped_user_ids

    async def import_tasks(
        self, project_id: int, tasks: list[JSON], *, before: Callable[[], None] = lambda: None
    ) -> Imported:
        """Import tasks into a project; sent once. On Enterprise the import ends when `import_state` says so.

        Args:
            project_id: Its id.
            tasks: Tasks to import.
            before: As for `update_project`.
        """
        reply = await self._once(
            "POST",
            f"/api/projects/{project_id}/import",
            body=tasks,
            before=before,
            deadline=CREATE_DEADLINE,
        )
        return reply.parsed(Imported.model_validate)

    async def import_state(self, project_id: int, number: int) -> ImportState:
        """The state of an import, on Enterprise; `Rejected` with status 404 if there is no such import."""
        return (await self._read(f"/api/projects/{project_id}/imports/{number}/")).parsed(ImportState.model_validate)

    async def tasks_page(self, project_id: int, page: int) -> TaskPage:
        """One page of a project's tasks, with annotations, predictions and drafts; `Rejected` with status 404 past the last.

        Args:
            project_id: Its id.
            page: Its number, from 1.
        """
        # Otherwise URLs in storages would come signed, and not as they were imported.
        how: Params = {"page_size": PAGE_SIZE, "fields": "all", "resolve_uri": "false"}
        return (await self._read("/api/tasks/", {"project": project_id, "page": page, **how})).parsed(
            TaskPage.model_validate
        )

    async def task_data_page(self, project_id: int, page: int) -> TaskDataPage:
        """One page of what a project's tasks show; `Rejected` with status 404 past the last.

        Args:
            project_id: Its id.
            page: Its number, from 1.
        """
        how: Params = {"page_size": _TASK_DATA, "include": "id,data", "resolve_uri": "false"}
        return (await self._read("/api/tasks/", {"project": project_id, "page": page, **how})).parsed(
            TaskDataPage.model_validate
        )

    async def first_task(self, project_id: int, column: str) -> TaskPage:
        """The task of a project with the largest value in a column of its Data Manager, as one page.

        Args:
            project_id: Its id.
            column: The column, such as `updated_at`.
        """
        order = json.dumps({"ordering": [f"-tasks:{column}"]}, separators=(",", ":"))
        how: Params = {"page_size": 1, "fields": "all", "resolve_uri": "false", "query": order}
        return (await self._read("/api/tasks/", {"project": project_id, **how})).parsed(TaskPage.model_validate)

    async def gallery(self) -> list[GalleryEntry]:
        """The labelling interfaces that ship with Label Studio, on both editions (150 kB)."""
        return (await self._read("/api/templates/")).parsed(Gallery.model_validate).templates

    async def interface_faults(self, label_config: str) -> list[str]:
        """Label Studio's objections to a labelling interface; empty if it is valid.

        Repeated like a read, because it writes nothing. If Label Studio doesn't have this call, there are no objections.
        """
        try:
            body = {"label_config": label_config}
            await self._repeated(lambda: self._once("POST", "/api/projects/validate/", body=body))
        except Rejected as rejected:
            if rejected.absent:
                return []
            return list(rejected.fields.get("label_config") or [rejected.detail])
        except Unsure as unsure:
            # A firewall or an error of the server stops this interface; other rows can be made.
            if unsure.status is None or unsure.status in FROM_THE_EDGE:
                raise
            return [unsure.reason]
        return []

    async def workspaces(self) -> list[Workspace]:
        """All workspaces that the user sees, on Enterprise; `Rejected` with `absent` on Community."""
        return (await self._read("/api/workspaces/")).parsed(_WORKSPACES.validate_python)

    async def count_projects(self) -> int:
        """Number of projects that the user sees; one small request."""
        return (await self.list_page(1, page_size=1, fields=("id",))).count

    async def list_page(
        self,
        page: int,
        *,
        ordering: str = "-id",
        page_size: int = PAGE_SIZE,
        fields: Collection[str] = (),
        title: str = "",
        ids: Collection[int] = (),
    ) -> ProjectPage:
        """One page of the projects that the user sees; empty after the last page.

        Args:
            page: Its number, from 1.
            ordering: Field to order by; descending with `-` in front.
            page_size: Projects on a page, at most 100.
            fields: Fields to request, which makes a page a fifth as expensive; decisions need `LIGHT_FIELDS`. Id, title
                and date of creation always come. Empty requests all fields.
            title: Text that listed titles contain, regardless of case; compare titles yourself.
            ids: Ids to list; empty lists all.
        """
        params: dict[str, str | int] = {"page": page, "page_size": page_size, "ordering": ordering}
        if title:
            params["title"] = title
        if ids:
            params["ids"] = ",".join(map(str, ids))
        try:
            reply = await self._listed(params, fields)
        except Rejected as error:
            if error.status == 404 and not error.absent:
                return ProjectPage(count=0, projects=[], has_next=False)
            raise
        return reply.parsed(functools.partial(_page, fields=fields))

    async def project(self, project_id: int, *, before: Callable[[], None] = lambda: None) -> Project:
        """One project with all its settings; `Rejected` with status 404 if there is no such project.

        Args:
            project_id: Its id.
            before: Called each time just before the request is sent.
        """
        return (await self._read(f"/api/projects/{project_id}/", before=before)).parsed(Project.from_json)

    async def create_from_template(
        self,
        template_id: int,
        *,
        title: str,
        description: str,
        workspace: int | None,
        before: Callable[[], None] = lambda: None,
    ) -> Project:
        """Make a project from a template, on Enterprise; sent once.

        Args:
            template_id: Its id.
            title: Title of the project.
            description: Its description.
            workspace: Id of its workspace.
            before: As for `update_project`.
        """
        body: dict[str, JSON] = {"title": title, "description": description}
        if workspace is not None:
            body["workspace_id"] = workspace
        path = f"/api/project-templates/{template_id}/create-project"
        reply = await self._once("POST", path, body=body, before=before, turn=Turn.LATER, deadline=CREATE_DEADLINE)
        return reply.parsed(Project.from_json)

    async def create_project(self, fields: Mapping[str, JSON], *, before: Callable[[], None] = lambda: None) -> Project:
        """Make a project with `fields`; sent once. The server drops unknown fields silently.

        Args:
            fields: Its settings.
            before: As for `update_project`.
        """
        reply = await self._once(
            "POST", "/api/projects/", body=fields, before=before, turn=Turn.LATER, deadline=CREATE_DEADLINE
        )
        return reply.parsed(Project.from_json)

    async def update_project(
        self,
        project_id: int,
        fields: Mapping[str, JSON],
        *,
        before: Callable[[], None] = lambda: None,
        turn: Turn = Turn.SOON,
    ) -> Project:
        """Write `fields` to a project, and return it; sent once.

        Args:
            project_id: Its id.
            fields: Settings to write.
            before: Called just before the request is sent; if it raises an exception, nothing is sent.
            turn: The request's place among those that wait.
        """
        reply = await self._once("PATCH", f"/api/projects/{project_id}/", body=fields, before=before, turn=turn)
        return reply.parsed(Project.from_json)

    async def delete_project(self, project_id: int, *, before: Callable[[], None] = lambda: None) -> None:
        """Delete the project and its tasks; sent once. `Rejected` with status 404 if there is no such project.

        Args:
            project_id: Its id.
            before: As for `update_project`.
        """
        await self._once("DELETE", f"/api/projects/{project_id}/", before=before)

    async def _listed(self, params: Params, fields: Collection[str]) -> Reply:
        if not fields or not self._trims:
            return await self._read("/api/projects/", params)
        include = ",".join(dict.fromkeys(("id", "title", "created_at", *fields)))
        try:
            return await self._read("/api/projects/", {**params, "include": include})
        except Rejected as error:
            # For Enterprise the vendor's OpenAPI documents `include` for counters only; whole pages work as
            # well.
            if "include" not in error.fields:
                raise
            self._trims = False
            return await self._read("/api/projects/", params)

    async def _read(
        self,
        path: str,
        params: Params | None = None,
        *,
        authorized: bool = True,
        before: Callable[[], None] = lambda: None,
    ) -> Reply:
        return await self._repeated(
            lambda: self._once("GET", path, params=params, authorized=authorized, before=before, turn=Turn.NEXT)
        )

    async def _repeated(self, attempt: Callable[[], Awaitable[Reply]]) -> Reply:
        """The reply to a request that may be repeated."""
        waited = 0.0
        tries = 0
        while True:
            try:
                return await attempt()
            except Throttled as error:
                waited += error.retry_after
                if waited > LONGEST_THROTTLED:
                    raise
                await self._clock.sleep(error.retry_after)
            except Unsure as error:
                tries += 1
                if tries == READ_TRIES or not error.may_pass:
                    raise
                if isinstance(error.__cause__, httpx.TimeoutException):
                    # It took a minute, so the log says why.
                    logger.warning("%s Trying again, at most %d more times.", error, READ_TRIES - tries)
                await self._clock.sleep(spread(READ_BACKOFF * 2 ** (tries - 1), 0.25))

    async def _once(
        self,
        method: str,
        path: str,
        *,
        params: Params | None = None,
        body: Body | None = None,
        authorized: bool = True,
        before: Callable[[], None] = lambda: None,
        turn: Turn = Turn.NOW,
        deadline: float | None = None,
    ) -> Reply:
        """The reply to a request that is sent once; after a 401 once more, if the token can be renewed."""
        deadline = deadline or DEADLINES[method]
        call, answer, header = await self._paced(method, path, params, body, authorized, before, turn, deadline)
        if answer.status_code == 401 and authorized and self._credentials.renewable:
            self._credentials.refused(header)
            call, answer, _ = await self._paced(method, path, params, body, authorized, before, turn, deadline)
        return answers.read(call, answer)

    async def _paced(
        self,
        method: str,
        path: str,
        params: Params | None,
        body: Body | None,
        authorized: bool,
        before: Callable[[], None],
        turn: Turn,
        deadline: float,
    ) -> tuple[Call, httpx.Response, str]:
        """The request, its answer of any status, and its `Authorization`."""
        create = turn is Turn.LATER
        async with self.pacer.slot(turn, path), self.outage.passage(create=create):
            try:
                header = await self._authorization(method, path) if authorized else ""
                # Last, because `before` may check something that changes while a token is renewed.
                before()
                call = self._call(method, path, _passwords(body), _from_files(body))
                answer = await self._exchange(call, params, body, header, deadline)
            except Unsure as unsure:
                self.outage.failed(unsure.reason)
                raise
            if answers.is_from_the_edge(answer):
                self.outage.failed(f"{call} was answered {answer.status_code}")
            elif answers.is_json(answer):
                self.outage.answered(create=create)
            return call, answer, header

    def _call(self, method: str, path: str, secrets: Sequence[str] = (), withheld: Set[str] = frozenset()) -> Call:
        headers = (value.get_secret_value() for value in self._headers.values())
        return Call(method, path, (*self._credentials.secrets(), *headers, *secrets), withheld, self.url)

    async def _probe(self) -> None:
        """Send a probe that only Label Studio itself can answer, bypassing the pacer, whose places waiting requests hold."""
        method, path = "GET", "/api/current-user/whoami"
        header = await self._authorization(method, path)
        call = self._call(method, path)
        answers.read(call, await self._exchange(call, None, None, header, PROBE_DEADLINE)).parsed(User.model_validate)

    async def _authorization(self, method: str, path: str) -> str:
        try:
            return await self._credentials.header()
        except (Throttled, Unsure) as error:
            call = self._call(method, path)
            raise answers.unsure(call, f"the token could not be renewed ({error})", sent=False) from error

    async def _refresh(self, token: str) -> str:
        """Exchange the personal access token, within the slot of the request that needs it."""
        call = self._call("POST", "/api/token/refresh/", (token,))

        async def attempt() -> Reply:
            answer = await self._exchange(call, None, {"refresh": token}, "", DEADLINES["POST"], kind=REFRESH)
            return answers.read(call, answer)

        try:
            return (await self._repeated(attempt)).parsed(_access)
        except Rejected as error:
            raise Unauthorized(
                f"The personal access token can't be exchanged for an access token. {error}",
                method=call.method,
                path=call.path,
                status=error.status,
            ) from error

    async def _exchange(
        self,
        call: Call,
        params: Params | None,
        body: Body | None,
        header: str,
        deadline: float,
        *,
        kind: str = "",
    ) -> httpx.Response:
        """The whole answer, of any status; must be called within a slot."""
        headers = {**HEADERS, "connection": "keep-alive" if self.keep_alive else "close"}
        headers |= {name: value.get_secret_value() for name, value in self._headers.items()}
        if call.method == "GET":
            # Caches go by the URL, so each URL is different. Label Studio ignores the parameter.
            headers |= NO_CACHE
            params = {**(params or {}), "_": secrets.token_hex(4)}
        if header:
            headers["authorization"] = header
        content = None
        if body is not None:
            headers["content-type"] = "application/json"
            content = _encoded(body)
            deadline += len(content) / BYTES_A_SECOND
        url = httpx.URL(f"{self.url}{call.path}", params=params)
        started = self._clock.now()
        if self.first_sent is None:
            self.first_sent = started
        try:
            answer = await self._connections.send(call.method, url, headers, content, deadline=deadline)
        except httpx.HTTPError as exc:
            failure = answers.failed(call, exc, self._timeout)
            self.sent[kind or call.method] += failure.sent
            logger.debug("%s: %s", call, failure.reason)
            raise failure from exc
        answer.extensions[answers.SENT_BYTES] = len(content or b"")
        self.sent[kind or call.method] += 1
        self.last_answered = self._clock.now()
        self._date = answer.headers.get("date")
        logger.debug("%s %d in %.0f ms", call, answer.status_code, 1000 * (self.last_answered - started))
        if answers.is_throttled(answer):
            # A 503 is about Label Studio as a whole, whatever was asked.
            path = call.path if answer.status_code == HTTPStatus.TOO_MANY_REQUESTS else ""
            self.pacer.pause(answers.retry_after(answer), path)
        return answer


def _encoded(body: Body) -> bytes:
    """JSON in UTF-8, because escapes would make letters beyond ASCII longer."""
    text = json.dumps(body, allow_nan=False, separators=(",", ":"), ensure_ascii=False)
    try:
        return text.encode()
    except UnicodeEncodeError:
        # An unpaired surrogate, which a file of tasks may hold as an escape.
        return json.dumps(body, allow_nan=False, separators=(",", ":")).encode()


def _version(body: JSON) -> Version:
    if not isinstance(body, dict) or "release" not in body:
        raise ValueError("it names no release, so this is probably not Label Studio")
    said = body.get("edition")
    # Releases without the key show their edition by the packages that they list.
    community = said == Edition.COMMUNITY if said else not any("enterprise" in key.lower() for key in body)
    return Version(release=str(body["release"]), edition=Edition.COMMUNITY if community else Edition.ENTERPRISE)


def _access(body: JSON) -> str:
    access = body.get("access") if isinstance(body, dict) else None
    if not isinstance(access, str) or not access:
        raise ValueError("it holds no access token")
    return access


def _page(body: JSON, fields: Collection[str]) -> ProjectPage:
    results = body.get("results") if isinstance(body, dict) else None
    count = body.get("count") if isinstance(body, dict) else None
    if not isinstance(body, dict) or not isinstance(results, list) or not isinstance(count, int):
        raise ValueError("a page of projects was expected")  # noqa: TRY004
    return ProjectPage(
        count=count,
        projects=[Project.from_json(project, fields) for project in results],
        has_next=body.get("next") is not None,
    )


def _from_files(body: Body | None) -> frozenset[str]:
    """The fields of a body whose values come from files; of tasks, the whole body."""
    if isinstance(body, list):
        return frozenset({answers.ALL})
    return frozenset(name for name, value in (body or {}).items() if isinstance(value, FromFile))


def _passwords(body: Body | None) -> tuple[str, ...]:
    if not isinstance(body, Mapping):
        return ()
    return tuple(str(body[field]) for field in SECRET_FIELDS if body.get(field))

"""The only code that talks to a Label Studio server.

What it promises: a create, a change and a deletion are sent once, whatever becomes of them, but for a 401
that a fresh token mends; reads are repeated until they succeed or it is hopeless; every request passes
through the batch's pacer. Needs `httpx`. Paths are those of the vendor's OpenAPI, slashes included: project
templates have none at their end.
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

#: What every request says.
HEADERS = {
    "user-agent": f"stencil/{__version__}",
    "accept": "application/json",
    "accept-encoding": "gzip, deflate",
}
#: What a read says besides: a cache between us and Label Studio is to pass it on.
NO_CACHE = {"cache-control": "no-cache"}
#: Seconds for a whole answer, by method. A server that sends a byte now and then would else hold the batch for ever.
DEADLINES = {"GET": 60.0, "POST": 60.0, "PATCH": 25.0, "DELETE": 60.0}
CREATE_DEADLINE = 90.0
PROBE_DEADLINE = 30.0
#: Bytes of a body for which the answer may take a second longer, as for an import.
BYTES_A_SECOND = 100_000
#: Tries in all of a read that stays unsure, and the seconds before the second, which double from there.
READ_TRIES = 4
READ_BACKOFF = 0.5
#: Seconds in all that a read waits because the server asks to.
LONGEST_THROTTLED = 600.0
#: How soon a token has to expire for a warning.
EXPIRES_SOON = timedelta(days=7)
#: Projects on a page; the server gives no more (measured on Label Studio Community 1.23.2).
PAGE_SIZE = 100
#: Under what `LabelStudio.sent` counts the exchange of a personal access token.
REFRESH = "refresh"

Params = Mapping[str, str | int]

Body = Mapping[str, JSON] | list[JSON]

_USERS = TypeAdapter(list[OrganizationMember])
_TEMPLATES = TypeAdapter(list[ProjectTemplate])
_WORKSPACES = TypeAdapter(list[Workspace])


class LabelStudio:
    """A Label Studio server, as the owner of one token sees it; an asynchronous context manager.

    Creates, changes and deletions are sent once; only a 401, which the server answers before it does
    anything, is met with a renewed token and the same request again. Reads are repeated: while the server
    asks to wait, and up to four times where no answer can be had. A server that asks to wait holds back the
    whole batch, through the pacer, or the path alone that has a pace of its own.

    Args:
        url: Label Studio's address; a page of it, such as `https://host/projects/7`, will do.
        token: A personal access token or a legacy token.
        pacer: Lets requests out; shared by all that is to share its limits. May be replaced later: `pacer` is
            an attribute.
        timeout: Seconds without a byte after which an answer is given up. Besides, each request has a deadline for the whole of
            its answer: `DEADLINES`, 90 s for a create, and for an import more by its size.
        transport: What carries the requests, instead of the network.
        keep_alive: Whether connections are kept between requests. `version()` turns it off where the server
            is slower so.
        clock: What tells the time and sleeps, here and in the pacer that is made where none is given.
        headers: More headers of each request, such as those that a sign-in proxy asks for; no message shows their values.

    Attributes:
        url: Label Studio's base URL, without a slash at its end.
        pacer: What lets requests out.
        keep_alive: Whether connections are kept between requests; may be set at any time.
        outage: Whether Label Studio is away; holds requests back only once it has a limit.
        sent: How many requests left, by method; exchanges of a token apart, as `refresh`.
        first_sent: When the first request left, by the clock; `None` before.
        last_answered: When the last answer came, by the clock; `None` before.

    Raises:
        InvalidAddress: `url` can't be a Label Studio's.
        Unauthorized: `token` can't be a token.

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
        """The server's clock by the `Date` of its last answer, carried on by ours; `None` where it gave none."""
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
        """How many requests left in all."""
        return self.sent.total()

    async def version(self) -> Version:
        """Which Label Studio this is; needs no token. Turns `keep_alive` off where that is faster."""
        reply = await self._read("/api/version/", authorized=False)
        version = reply.parsed(_version)
        self.keep_alive = self.keep_alive and keep_alive_for(version.edition, self.url)
        return version

    async def whoami(self) -> User:
        """Whose token it is."""
        return (await self._read("/api/current-user/whoami")).parsed(User.model_validate)

    async def project_templates(self) -> list[ProjectTemplate]:
        """All project templates, on Enterprise; `Rejected` with `absent` on Community."""
        return (await self._read("/api/project-templates/")).parsed(_TEMPLATES.validate_python)

    async def create_project_template(self, name: str, *, project: int, description: str = "") -> ProjectTemplate:
        """A project template with the settings of a project, on Enterprise; sent once.

        Args:
            name: Its name, 1 to 1000 characters.
            project: Id of the project that it is taken from.
            description: For people; empty writes none.
        """
        body: dict[str, JSON] = {"name": name, "project_id": project}
        if description:
            body["description"] = description
        return (await self._once("POST", "/api/project-templates/", body=body)).parsed(ProjectTemplate.model_validate)

    async def users(self) -> list[OrganizationMember]:
        """Everybody of the organisation."""
        return (await self._read("/api/users/")).parsed(_USERS.validate_python)

    async def add_members(self, project_id: int, users: Sequence[int], roles: Mapping[int, str]) -> list[int]:
        """Make people members of a project, on Enterprise; the ids of those who were skipped.

        May be sent again: who is a member stays one.

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
        reply = await self._repeated(lambda: self._once("POST", path, body=body))
        return reply.parsed(Added.model_validate).skipped_user_ids

    async def import_tasks(
        self, project_id: int, tasks: list[JSON], *, before: Callable[[], None] = lambda: None
    ) -> Imported:
        """Import tasks into a project; sent once. On Enterprise they are there once `import_state` says so.

        Args:
            project_id: Its id.
            tasks: What to import.
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
        """What has become of an import, on Enterprise; `Rejected` with status 404 where there is none of this id."""
        return (await self._read(f"/api/projects/{project_id}/imports/{number}/")).parsed(ImportState.model_validate)

    async def tasks_page(self, project_id: int, page: int) -> TaskPage:
        """One page of a project's tasks, with annotations, predictions and drafts; `Rejected` with status 404 past the last.

        Args:
            project_id: Its id.
            page: Its number, from 1.
        """
        # Or addresses in storages would come signed, and not as they were imported.
        how: Params = {"page_size": PAGE_SIZE, "fields": "all", "resolve_uri": "false"}
        return (await self._read("/api/tasks/", {"project": project_id, "page": page, **how})).parsed(
            TaskPage.model_validate
        )

    async def gallery(self) -> list[GalleryEntry]:
        """The labelling interfaces that Label Studio's package brings, on both editions (150 kB)."""
        return (await self._read("/api/templates/")).parsed(Gallery.model_validate).templates

    async def interface_faults(self, label_config: str) -> list[str]:
        """What Label Studio has against a labelling interface; nothing where it would take it.

        Sent again as a read is, since it writes nothing. A Label Studio that does not have this call is taken to have nothing
        against it.
        """
        try:
            body = {"label_config": label_config}
            await self._repeated(lambda: self._once("POST", "/api/projects/validate/", body=body))
        except Rejected as rejected:
            if rejected.absent:
                return []
            return list(rejected.fields.get("label_config") or [rejected.detail])
        except Unsure as unsure:
            # A firewall or a fault of the server's own that this one interface sets off: the other rows can be made.
            if unsure.status is None or unsure.status in FROM_THE_EDGE:
                raise
            return [unsure.reason]
        return []

    async def workspaces(self) -> list[Workspace]:
        """All workspaces that the user sees, on Enterprise; `Rejected` with `absent` on Community."""
        return (await self._read("/api/workspaces/")).parsed(_WORKSPACES.validate_python)

    async def count_projects(self) -> int:
        """How many projects the user sees; one small request."""
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
        """One page of the projects that the user sees; past the last page an empty one.

        Args:
            page: Its number, from 1.
            ordering: Field to order by, `-` before it for descending.
            page_size: Projects on a page, at most 100.
            fields: Names the only fields to ask for and keep, which makes a page a fifth as expensive;
                `LIGHT_FIELDS` is what decisions need. Id, title and date of creation always come. All fields
                where empty.
            title: Part of the titles to list, regardless of case; compare titles yourself.
            ids: The only ids to list.
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
        """One project with all its settings; `Rejected` with status 404 where there is none of this id.

        Args:
            project_id: Its id.
            before: Called just before the question is sent, each time that it is.
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
        """The project that the server made from a template, on Enterprise; sent once.

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
        """The project that the server made of `fields`; sent once. Unknown fields are dropped silently.

        Args:
            fields: What to make it of.
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
        """The project as it is after `fields` were written; sent once.

        Args:
            project_id: Its id.
            fields: Settings to write.
            before: Called when the request's turn has come, just before it is sent; what it raises keeps the request back.
            turn: Before or behind which other requests it goes.
        """
        reply = await self._once("PATCH", f"/api/projects/{project_id}/", body=fields, before=before, turn=turn)
        return reply.parsed(Project.from_json)

    async def delete_project(self, project_id: int, *, before: Callable[[], None] = lambda: None) -> None:
        """Delete the project and its tasks; sent once. `Rejected` with status 404 where there is none.

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
            # For Enterprise the vendor's OpenAPI documents `include` for counters only; whole pages serve as
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
        """The reply to a request that may be sent any number of times."""
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
                    # It took a minute, and whoever waits is to know why.
                    logger.warning("%s It is asked again, %d more times at most.", error, READ_TRIES - tries)
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
        """The reply to a request that is sent once; after a 401 once more, if a fresh token may mend it."""
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
        """What was asked, its answer of whatever status, and the `Authorization` it was asked with."""
        create = turn is Turn.LATER
        async with self.pacer.slot(turn, path), self.outage.passage(create=create):
            try:
                header = await self._authorization(method, path) if authorized else ""
                # Last of all: renewing a token takes time, in which what `before` checks may change.
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
        """Ask for what only Label Studio itself can answer; past the pacer, where what waits for the probe holds all places."""
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
        """An access token for the personal access token; rides in the slot of the request that needs it."""
        call = self._call("POST", "/api/token/refresh/", (token,))

        async def attempt() -> Reply:
            answer = await self._exchange(call, None, {"refresh": token}, "", DEADLINES["POST"], kind=REFRESH)
            return answers.read(call, answer)

        try:
            return (await self._repeated(attempt)).parsed(_access)
        except Rejected as error:
            raise Unauthorized(
                f"The personal access token can't be exchanged. {error}",
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
        """The whole answer, of whatever status; must be called within a slot."""
        headers = {**HEADERS, "connection": "keep-alive" if self.keep_alive else "close"}
        headers |= {name: value.get_secret_value() for name, value in self._headers.items()}
        if call.method == "GET":
            # What a cache keeps it keeps by the URL: no two of these are the same. Label Studio passes the parameter over.
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
    """JSON in UTF-8: escapes would make three bytes of two, of every letter beyond ASCII."""
    text = json.dumps(body, allow_nan=False, separators=(",", ":"), ensure_ascii=False)
    try:
        return text.encode()
    except UnicodeEncodeError:
        # Half a character, as a file of tasks may hold it by an escape.
        return json.dumps(body, allow_nan=False, separators=(",", ":")).encode()


def _version(body: JSON) -> Version:
    if not isinstance(body, dict) or "release" not in body:
        raise ValueError("it names no release, so this is hardly Label Studio")
    said = body.get("edition")
    # Releases before the key was introduced tell their edition by the packages that they list.
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
    """The fields of a body whose values were read from files; all of a body of tasks is."""
    if isinstance(body, list):
        return frozenset({answers.ALL})
    return frozenset(name for name, value in (body or {}).items() if isinstance(value, FromFile))


def _passwords(body: Body | None) -> tuple[str, ...]:
    if not isinstance(body, Mapping):
        return ()
    return tuple(str(body[field]) for field in SECRET_FIELDS if body.get(field))

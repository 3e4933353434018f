"""What each of those who name a file or a URL may open, and what they may not, however they write it."""

import contextlib
import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from label_studio_stencil.files import (
    DEPLOYMENT,
    PERSON,
    PROTOCOLS,
    Asker,
    Folder,
    Missing,
    NotAllowed,
    Unusable,
    allowed,
    event,
    locate,
    read,
    within,
)
from label_studio_stencil.rows.requests import requests_of
from label_studio_stencil.sheet.model import SheetUnreadable
from label_studio_stencil.sheet.sources import read_sheet

SECRET = "secret-bytes"
MB = 1_000_000


@pytest.fixture
def sheets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a sheet, beside a secret, and a working folder elsewhere."""
    folder = tmp_path / "sheets"
    (folder / "below").mkdir(parents=True)
    (folder / "sheet.csv").write_text("title\nabc\n")
    (folder / "below" / "inside.txt").write_text("inside")
    (tmp_path / "sheets-of-others").mkdir()
    (tmp_path / "sheets-of-others" / "secret.txt").write_text(SECRET)
    (tmp_path / "secret.txt").write_text(SECRET)
    (folder / "link.txt").symlink_to(tmp_path / "secret.txt")
    (folder / "out").symlink_to(tmp_path)
    (folder / "%2e%2e").mkdir()
    (tmp_path / "home").mkdir()
    monkeypatch.chdir(tmp_path / "home")
    return folder


def a_row(sheet: Path | str, asker: Asker = DEPLOYMENT) -> Asker:
    return asker.rows(str(sheet))


OUTSIDE = [
    "{out}/secret.txt",
    "{in}/../secret.txt",
    "{in}/below/../../secret.txt",
    "{in}/link.txt",
    "{in}/out/secret.txt",
    "{in}/out/sheets-of-others/secret.txt",
    "{out}/sheets-of-others/secret.txt",
    "file://{out}/secret.txt",
    "file://localhost{out}/secret.txt",
    "FILE://{out}/secret.txt",
    "file://{in}/%2e%2e/secret.txt",
    "file://{in}/../secret.txt",
    "/proc/self/environ",
    "/proc/self/cwd/../secret.txt",
    "/dev/zero",
    "-",
]


@pytest.mark.parametrize("where", OUTSIDE)
def test_a_row_opens_no_file_outside_of_its_sheets_folder(where: str, sheets: Path) -> None:
    where = where.format(**{"in": sheets, "out": sheets.parent})
    with pytest.raises(NotAllowed) as refused:
        read(where, a_row(sheets / "sheet.csv"), most=MB)
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize(
    "where", ["{in}/below/inside.txt", "{in}/out/sheets/below/inside.txt", "file://{in}/below/inside.txt"]
)
def test_a_row_opens_what_lies_below_its_sheets_folder(where: str, sheets: Path) -> None:
    assert read(where.format(**{"in": sheets}), a_row(sheets / "sheet.csv"), most=MB) == b"inside"


def test_a_refusal_names_the_variable_and_the_folder_to_list(sheets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = sheets.parent / "secret.txt"
    with pytest.raises(NotAllowed, match=f"STENCIL_ALLOW={sheets.parent}$"):
        read(str(secret), a_row(sheets / "sheet.csv"), most=MB)
    monkeypatch.setenv("STENCIL_ALLOW", str(sheets.parent))
    assert read(str(secret), a_row(sheets / "sheet.csv"), most=MB) == SECRET.encode()


def test_a_refusal_of_a_link_names_the_folder_that_it_leads_to(sheets: Path) -> None:
    with pytest.raises(NotAllowed, match=f"STENCIL_ALLOW={sheets.parent}$"):
        read(str(sheets / "link.txt"), a_row(sheets / "sheet.csv"), most=MB)


def test_rows_of_a_person_open_the_working_folder_too_and_those_of_a_deployment_do_not(sheets: Path) -> None:
    Path("here.txt").write_text("here")
    assert read("here.txt", a_row(sheets / "sheet.csv", PERSON), most=MB) == b"here"
    with pytest.raises(NotAllowed):
        read("here.txt", a_row(sheets / "sheet.csv", DEPLOYMENT), most=MB)


def test_rows_without_a_sheet_open_only_listed_folders(sheets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = str(sheets / "below" / "inside.txt")
    with pytest.raises(NotAllowed, match="nothing: STENCIL_ALLOW lists no folder"):
        read(inside, DEPLOYMENT.rows(), most=MB)
    monkeypatch.setenv("STENCIL_ALLOW", f"https://example.org/x, {sheets}")
    assert read(inside, DEPLOYMENT.rows(), most=MB) == b"inside"


def test_a_single_file_can_be_listed(sheets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STENCIL_ALLOW", str(sheets.parent / "secret.txt"))
    assert read(str(sheets.parent / "secret.txt"), DEPLOYMENT.rows(), most=MB) == SECRET.encode()
    with pytest.raises(NotAllowed):
        read(str(sheets / "sheet.csv"), DEPLOYMENT.rows(), most=MB)


def test_an_event_opens_listed_folders_and_those_of_its_deployment(
    sheets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sheet = str(sheets / "sheet.csv")
    with pytest.raises(NotAllowed):
        read(sheet, event(), most=MB)
    assert read(sheet, event(str(sheets)), most=MB)
    with pytest.raises(NotAllowed):
        read(str(sheets / "link.txt"), event(str(sheets)), most=MB)
    with pytest.raises(NotAllowed):
        read("-", event(str(sheets)), most=MB)
    monkeypatch.setenv("STENCIL_ALLOW", str(sheets))
    assert read(sheet, event(), most=MB)


@pytest.mark.parametrize("asker", [PERSON, DEPLOYMENT])
def test_a_person_and_a_deployment_open_what_they_name(asker: Asker, sheets: Path) -> None:
    assert read(str(sheets / "link.txt"), asker, most=MB) == SECRET.encode()


@pytest.mark.parametrize("what", ["the file", "its folder"])
def test_a_link_that_is_put_there_after_the_check_opens_nothing(
    what: str, sheets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = Asker.check

    def swapped(asker: Asker, where: Any, **options: Any) -> Any:
        checked = check(asker, where, **options)
        inside = sheets / "below" / "inside.txt"
        if what == "the file":
            inside.unlink()
            inside.symlink_to(sheets.parent / "secret.txt")
        else:
            (sheets / "below").rename(sheets / "moved")
            (sheets / "inside.txt").write_text(SECRET)
            (sheets / "below").symlink_to(sheets)
        return checked

    monkeypatch.setattr(Asker, "check", swapped)
    with pytest.raises(Unusable) as refused:
        read(str(sheets / "below" / "inside.txt"), a_row(sheets / "sheet.csv"), most=MB)
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize("kind", ["a pipe", "a folder", "a device"])
def test_a_row_opens_plain_files_alone(kind: str, sheets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(sheets / "pipe")
    monkeypatch.setenv("STENCIL_ALLOW", "/dev")
    where = {"a pipe": sheets / "pipe", "a folder": sheets / "below", "a device": Path("/dev/null")}[kind]
    with pytest.raises(Missing, match=kind):
        read(str(where), a_row(sheets / "sheet.csv"), most=MB)


@pytest.mark.parametrize(
    "where",
    [
        "reference://",
        "reference::{sheet}",
        "simplecache::file://{sheet}",
        "filecache::https://example.org/x",
        "zip://x.csv::file://{sheet}",
        "zip://x.csv",
        "local://{sheet}",
        "github://org:repo@main/x",
        "data://text,x",
        "ftp://example.org/x",
        "dir://x::file://{sheet}",
        "s3://bucket/x::file://{sheet}",
        "Reference://x",
        "unknown://x",
        "{sheet}\0",
    ],
)
@pytest.mark.parametrize("asker", [PERSON, a_row("/nowhere/sheet.csv"), event("/")], ids=["person", "row", "event"])
def test_a_protocol_that_is_not_on_the_list_is_opened_for_nobody(where: str, asker: Asker, sheets: Path) -> None:
    with pytest.raises(Unusable):
        read(where.format(sheet=sheets / "sheet.csv"), asker, most=MB)


def test_the_templates_of_fsspecs_references_are_evaluated_by_no_release(tmp_path: Path) -> None:
    """Whatever release of fsspec is there: its `reference://` never gets to see the file."""
    ran = tmp_path / "ran"
    command = "{{ cycler.__init__.__globals__.os.system('touch " + str(ran) + "') }}"
    references = {"version": 1, "templates": {"u": command}, "refs": {"x": ["{{u}}", 0, 1]}}
    (tmp_path / "r.json").write_text(json.dumps(references))
    for where in (f"reference://x?fo={tmp_path}/r.json", f"reference::file://{tmp_path}/r.json", "reference://x"):
        with pytest.raises(Unusable):
            read(where, PERSON, most=MB)
    assert not ran.exists()
    assert "reference" not in PROTOCOLS


PREFIX = "s3://bucket/a"


@pytest.mark.parametrize(
    ("listed", "where", "may"),
    [
        (PREFIX, "s3://bucket/a/x.csv", True),
        (PREFIX, "s3://bucket/a", True),
        (f"{PREFIX}/", "s3://bucket/a/x.csv", True),
        (PREFIX, "s3://bucket/ab/x.csv", False),
        (PREFIX, "s3://bucket/x.csv", False),
        (PREFIX, "s3://bucket/a/../other/x.csv", False),
        (PREFIX, "s3://bucket/a/%2e%2e/other/x.csv", False),
        (PREFIX, "s3://bucket/a/..%2fother/x.csv", False),
        (PREFIX, "s3://bucket/a/%252e%252e/x.csv", False),
        (PREFIX, "s3://bucket/a/..\\x.csv", False),
        (PREFIX, "s3://bucket/a/?/../x.csv", False),
        (PREFIX, "s3://Bucket/a/x.csv", False),
        (PREFIX, "S3://bucket/a/x.csv", True),
        (PREFIX, "gs://bucket/a/x.csv", False),
        (PREFIX, "s3://me@bucket/a/x.csv", False),
        ("s3://", "s3://other/x.csv", True),
        ("s3://bucket", "s3://bucket-of-others/x.csv", False),
        ("https://host/a", "https://host/a/x", True),
        ("https://host/a", "https://HOST:443/a/x", True),
        ("https://host/a", "https://me:pw@host/a/x", True),
        ("https://host/a", "https://host/a?x=1", True),
        ("https://host/a", "http://host/a/x", False),
        ("https://host/a", "https://host:8443/a/x", False),
        ("https://host/a", "https://host@evil.example/a/x", False),
        ("https://host/a", "https://host:pw@evil.example/a/x", False),
        ("https://host/a", "https://evil.example#@host/a/x", False),
        ("https://host/a", "https://evil.example\\@host/a/x", False),
        ("https://host/a", "https://evil.example?@host/a/x", False),
        ("https://host/a", "https://host.evil.example/a/x", False),
        ("https://host/a", "https://host /a/x", False),
        ("https://host/a", "https:///host/a/x", False),
        ("https://host/a", "https://host/a/..;/b", False),
        ("https://host/a", "https://host//a/x", False),
        ("sftp://me@host/a", "sftp://me@host/a/x", True),
        ("sftp://me@host/a", "sftp://root@host/a/x", False),
        ("abfs://box@account.dfs.core.windows.net", "abfs://box@account.dfs.core.windows.net/x", True),
        ("abfs://box@account.dfs.core.windows.net", "abfs://other@account.dfs.core.windows.net/x", False),
        ("memory://a", "memory://b/x", False),
    ],
)
def test_a_url_outside_of_the_list_is_refused(
    listed: str, where: str, may: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STENCIL_ALLOW", listed)
    for asker in (DEPLOYMENT.rows(), event()):
        with contextlib.nullcontext() if may else pytest.raises(Unusable):
            asker.check(locate(where))


def test_a_row_opens_what_lies_below_the_url_of_its_sheet() -> None:
    row = a_row("s3://bucket/today/sheet.csv")
    assert row.check(locate("s3://bucket/today/tasks/t.json"))
    for where in ("s3://bucket/other/t.json", "s3://bucket2/today/t.json", "https://bucket/today/t.json", "t.json"):
        with pytest.raises(NotAllowed):
            row.check(locate(where))


@pytest.mark.parametrize("listed", ["nonsense://x", "a\0b", "http://[x", "https:///x"])
def test_an_entry_that_can_not_be_is_named(listed: str) -> None:
    with pytest.raises(Unusable, match="STENCIL_ALLOW"):
        allowed(f"/tmp, {listed}")


# Web servers.


class Web:
    """A server of this machine: what it answers with, by path, and what it was asked for."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.asked: list[tuple[str, str]] = []
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                web.asked.append((self.headers["host"], self.path))
                status, headers, body = web.answers.get(self.path, (404, {}, b"a page that quotes " + SECRET.encode()))
                self.send_response(status, SECRET)
                for name, value in {**headers, "content-length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    web = Web()
    web.answers["/a/x.csv"] = (200, {}, b"inside")
    web.answers["/secret"] = (200, {}, SECRET.encode())
    yield web
    web.close()


def test_a_person_reads_a_web_server_of_this_machine(web: Web) -> None:
    assert read(f"{web.url}/a/x.csv", PERSON, most=MB) == b"inside"


def test_an_answer_that_is_too_large_is_not_read_to_its_end(web: Web) -> None:
    with pytest.raises(Unusable, match="more than"):
        read(f"{web.url}/a/x.csv", PERSON, most=3)


def test_what_a_server_says_of_an_error_is_not_quoted(web: Web) -> None:
    with pytest.raises(Missing, match="status 404") as missing:
        read(f"{web.url}/none", PERSON, most=MB)
    assert SECRET not in str(missing.value)


@pytest.mark.parametrize("status", [401, 403, 404, 410, 429, 500, 503])
def test_the_error_of_a_url_without_a_sheet_has_the_status(web: Web, status: int) -> None:
    web.answers["/s.csv"] = (status, {}, b"title\nA page of this status\n")
    hint = ". Does it need a sign-in\\?" if status in (401, 403) else "."
    with pytest.raises(SheetUnreadable, match=f"its server answers with status {status}{hint}"):
        read_sheet(f"{web.url}/s.csv")


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "2130706433",
        "0177.0.0.1",
        "0x7f.0.0.1",
        "127.1",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "0.0.0.0",
        "evil.example",
    ],
)
def test_no_way_to_write_this_machine_gets_a_row_there(host: str, web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    resolve(monkeypatch, {"evil.example": ["127.0.0.1"]})
    monkeypatch.setenv("STENCIL_ALLOW", "http://")
    for asker in (DEPLOYMENT.rows(), event()):
        with pytest.raises(Unusable) as refused:
            read(f"http://{host}:{web.port}/secret", asker, most=MB)
        assert SECRET not in str(refused.value)
    assert web.asked == []


@pytest.mark.parametrize(
    "address",
    [
        *(
            "127.0.0.1",
            "10.1.2.3",
            "192.168.0.1",
            "172.16.0.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
        ),
        *("::1", "fe80::1", "fd00::1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::", "::"),
    ],
)
def test_an_address_that_is_not_public_is_refused_unless_it_is_listed(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve(monkeypatch, {"evil.example": [address]})
    monkeypatch.setenv("STENCIL_ALLOW", "http://evil.example")
    with pytest.raises(NotAllowed, match=r"not a public address.*STENCIL_ALLOW="):
        read("http://evil.example/x", DEPLOYMENT.rows(), most=MB)


def test_one_address_of_several_that_is_not_public_is_enough(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    resolve(monkeypatch, {"evil.example": ["192.0.2.1", "8.8.8.8", "127.0.0.1"]})
    monkeypatch.setenv("STENCIL_ALLOW", "http://evil.example")
    with pytest.raises(NotAllowed):
        read(f"http://evil.example:{web.port}/secret", DEPLOYMENT.rows(), most=MB)


@pytest.mark.parametrize(
    "listed", ["{url}/a", "http://files.example:{port}/a,127.0.0.1", "http://files.example:{port}/a, 127.0.0.0/8"]
)
def test_what_is_listed_is_read_on_this_machine_too(listed: str, web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    resolve(monkeypatch, {"files.example": ["127.0.0.1"]})
    monkeypatch.setenv("STENCIL_ALLOW", listed.format(url=web.url, port=web.port))
    host = web.url if "url" in listed else f"http://files.example:{web.port}"
    assert read(f"{host}/a/x.csv", DEPLOYMENT.rows(), most=MB) == b"inside"
    with pytest.raises(NotAllowed):
        read(f"{host}/secret", DEPLOYMENT.rows(), most=MB)


def test_the_connection_goes_to_the_address_that_was_checked(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_up = resolve(monkeypatch, {"files.example": ["127.0.0.1"]}, once=True)
    monkeypatch.setenv("STENCIL_ALLOW", f"http://files.example:{web.port},127.0.0.1")
    assert read(f"http://files.example:{web.port}/a/x.csv", event(), most=MB) == b"inside"
    assert looked_up.count("files.example") == 1
    assert web.asked == [(f"files.example:{web.port}", "/a/x.csv")]


@pytest.mark.parametrize(
    "target",
    [
        *(
            "{url}/secret",
            "/secret",
            "//localhost:{port}/secret",
            "http://evil.example:{port}/a/x.csv",
            "file:///etc/passwd",
        ),
        *("https://evil.example/", "ftp://127.0.0.1/", "/a/../secret", "/a/%2e%2e/secret"),
    ],
)
def test_a_redirect_leads_a_row_to_what_it_may_open_alone(
    target: str, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve(monkeypatch, {"evil.example": ["127.0.0.1"]})
    web.answers["/a/away"] = (302, {"location": target.format(url=web.url, port=web.port)}, SECRET.encode())
    web.answers["/a/round"] = (307, {"location": "/a/x.csv"}, b"")
    monkeypatch.setenv("STENCIL_ALLOW", f"{web.url}/a")
    with pytest.raises(Unusable) as refused:
        read(f"{web.url}/a/away", DEPLOYMENT.rows(), most=MB)
    assert SECRET not in str(refused.value)
    assert [path for _, path in web.asked] == ["/a/away"]
    assert read(f"{web.url}/a/round", DEPLOYMENT.rows(), most=MB) == b"inside"


def test_a_redirect_leads_nobody_from_another_server_to_this_machine(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    web.answers["/a/away"] = (302, {"location": f"http://localhost:{web.port}/secret"}, b"")
    with pytest.raises(NotAllowed, match="not a public address"):
        read(f"{web.url}/a/away", PERSON, most=MB)
    assert len(web.asked) == 1


def test_redirects_in_a_circle_end(web: Web) -> None:
    web.answers["/a/round"] = (302, {"location": "/a/round"}, b"")
    with pytest.raises(Unusable, match="more than 10 times"):
        read(f"{web.url}/a/round", PERSON, most=MB)


def test_the_error_of_a_url_hides_its_secrets(web: Web) -> None:
    for where in (f"http://me:geheim@127.0.0.1:{web.port}/none?sig=geheim", "nosuch://me:geheim@host/x?sig=geheim"):
        with pytest.raises(Unusable) as failed:
            read(where, PERSON, most=MB)
        assert "geheim" not in str(failed.value)
        assert "geheim" not in repr(failed.value)


# Folders that results are written to.


def test_a_file_is_written_for_its_owner_alone(tmp_path: Path) -> None:
    Folder(str(tmp_path / "new")).write("results.csv", b"x")
    assert (tmp_path / "new" / "results.csv").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("where", ["{out}/x", "{in}/out/x", "{in}/../x", "file://{out}/x"])
def test_an_event_writes_nowhere_but_below_its_folders(where: str, sheets: Path) -> None:
    before = sorted(sheets.parent.rglob("*"))
    with pytest.raises(NotAllowed):
        Folder(where.format(**{"in": sheets, "out": sheets.parent}), event(str(sheets))).write("a.csv", b"x")
    assert sorted(sheets.parent.rglob("*")) == before


def test_a_link_that_is_put_there_before_it_is_written_leads_nowhere(sheets: Path) -> None:
    folder = Folder(str(sheets / "results"), event(str(sheets)))
    (sheets / "results").symlink_to(sheets.parent)
    with pytest.raises(Unusable):
        folder.write("a.csv", b"x")
    assert not (sheets.parent / "a.csv").exists()


def test_an_event_writes_below_its_folders(sheets: Path) -> None:
    written = Folder(str(sheets / "results" / "new"), event(str(sheets))).write("a.csv", b"x")
    assert Path(written).read_bytes() == b"x"


def test_nothing_is_written_to_a_web_server() -> None:
    with pytest.raises(Unusable, match="web server"):
        Folder("https://example.org/x")


def resolve(monkeypatch: pytest.MonkeyPatch, known: dict[str, list[str]], *, once: bool = False) -> list[str]:
    """Have names lead to addresses, with `once` only the first time; the list fills with what is looked up."""
    look_up: Callable[..., Any] = socket.getaddrinfo
    asked: list[str] = []

    def getaddrinfo(host: Any, port: Any, *arguments: Any, **options: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else str(host)
        asked.append(name)
        if name not in known:
            return look_up(host, port, *arguments, **options)
        addresses = known[name] if not once or asked.count(name) == 1 else ["192.0.2.1"]
        return [answer for each in addresses for answer in look_up(each, port, type=socket.SOCK_STREAM)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


@pytest.fixture(autouse=True)
def _no_name_is_looked_up_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that a test does not know is unknown: there is no network in tests."""
    look_up: Callable[..., Any] = socket.getaddrinfo

    def getaddrinfo(host: Any, *arguments: Any, **options: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else str(host)
        if name != "localhost" and any(letter.isalpha() for letter in name.replace("0x", "")) and ":" not in name:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return look_up(host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


def test_behind_a_proxy_a_listed_name_is_the_proxys_to_look_up_and_an_address_is_checked_anyway(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", web.url)
    monkeypatch.setenv("STENCIL_ALLOW", "http://")
    # The proxy answers by the whole URL, as it is asked for.
    web.answers["http://files.example/x"] = (200, {}, b"by the proxy")
    assert read("http://files.example/x", DEPLOYMENT.rows(), most=MB) == b"by the proxy"
    for where in ("http://10.0.0.7/x", "http://2130706433/x"):
        with pytest.raises(NotAllowed, match="not a public address"):
            read(where, DEPLOYMENT.rows(), most=MB)
    assert [path for _, path in web.asked] == ["http://files.example/x"]


def test_files_are_read_and_written_where_a_system_has_no_descriptors_of_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Windows: what Python lacks there is taken away, and whoever uses it all the same fails."""
    for name in ("O_NONBLOCK", "O_NOFOLLOW", "O_DIRECTORY", "set_blocking", "fchmod", "geteuid", "mkfifo"):
        monkeypatch.delattr(os, name, raising=False)
    monkeypatch.setattr(os, "supports_dir_fd", set())
    for call in ("open", "stat", "mkdir", "unlink", "replace"):
        monkeypatch.setattr(os, call, without_folders(getattr(os, call)))
    (tmp_path / "guide.md").write_text("Read it twice.", encoding="utf-8")
    (tmp_path / "sheet.csv").write_text("title,expert_instruction\nOne,@guide.md\nTwo,@../x\n", encoding="utf-8")
    requests, problems = requests_of(read_sheet(tmp_path / "sheet.csv"), template="t")
    assert ["Read it twice." in str(each.overrides["expert_instruction"]) for each in requests] == [True]
    assert [each.code for each in problems] == ["outside-folder"]
    for asker in (PERSON, within("a test", str(tmp_path))):
        for _ in range(2):
            written = Folder(str(tmp_path / "out"), asker).write("results.csv", b"title\n")
            assert Path(written).read_bytes() == b"title\n"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["results.csv"]


def without_folders(call: Callable[..., Any]) -> Callable[..., Any]:
    def called(*arguments: Any, **keywords: Any) -> Any:
        if any(keywords.pop(name, None) is not None for name in ("dir_fd", "src_dir_fd", "dst_dir_fd")):
            raise NotImplementedError("dir_fd unavailable on this platform")
        return call(*arguments, **keywords)

    return called

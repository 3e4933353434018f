"""The only code that opens a path or URL, with the rights of whoever named it.

A person, a deployment's parameters and a Python caller open what they name. Rows, template files and events are untrusted: they
open files below the sheet's folder or URL, and what the operator lists in `STENCIL_ALLOW`. docs/security.md explains what this
protects, and what it doesn't.
"""

import contextlib
import functools
import io
import ipaddress
import operator
import os
import posixpath
import re
import secrets
import socket
import stat
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, TypeAlias
from urllib.parse import unquote, urljoin, urlsplit
from urllib.request import getproxies, proxy_bypass

from label_studio_stencil.problems import StencilError, shortened, shown
from label_studio_stencil.redaction import redact, visible

if TYPE_CHECKING:
    import httpx
    from fsspec import AbstractFileSystem

#: The environment variable that lists what rows, template files and events may open.
ALLOW = "STENCIL_ALLOW"
#: Protocols of URLs. fsspec knows more, among them some that run commands or open other URLs.
PROTOCOLS = ("file", "http", "https", "s3", "gs", "az", "abfs", "sftp", "memory")
#: Longest path, in characters, as on Linux. Python takes quadratic time to resolve longer ones.
MOST_IN_PATH = 4_096
#: Standard input as a path.
STANDARD_INPUT = "-"

#: Bytes of a file that are read at once.
_PIECE = 1 << 24
_MOST_REDIRECTS = 10
#: Seconds to connect to a web server, and between two parts of its answer.
_CONNECT_TIMEOUT, _READ_TIMEOUT = 10.0, 60.0
_REASON_LENGTH = 300
#: The parts of a URL's host, with user and password in front.
_NETLOC = re.compile(r"(?:(?P<user>[^\s\\/?#]*)@)?(?P<host>[^\s\\/?#@]*)")
_DEFAULT_PORTS = {"http": 80, "https": 443}
#: IPv6 network whose addresses contain an IPv4 address in their last 32 bits.
_MAPPED = ipaddress.ip_network("64:ff9b::/96")

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network


class Unusable(StencilError):
    """A file, a folder or a URL can't be used.

    Attributes:
        name: Its name, without a URL's secrets.
        reason: The reason as a sentence.
    """

    def __init__(self, name: str, reason: str, *, hint: str = "") -> None:
        self.name, self.reason = name, reason
        super().__init__(f"{name}: {reason}", hint=hint)


class NotAllowed(Unusable):
    """Whoever named a file or URL may not open it."""


class Missing(Unusable):
    """There is no such file, or it is not a file."""


class TooLarge(Unusable):
    """The file is too large."""


@dataclass(frozen=True, slots=True)
class Location:
    """A parsed path or URL.

    Attributes:
        given: The original text.
        scheme: One of `PROTOCOLS`; `file` for a path.
        host: The part of a URL between the protocol and the first slash: user, host and port, or a bucket.
        path: The rest; for a file its path on this machine.
    """

    given: str
    scheme: str
    host: str
    path: str

    @property
    def is_local(self) -> bool:
        """Whether it is a file on this machine."""
        return self.scheme == "file"

    @property
    def is_web(self) -> bool:
        """Whether it is on a web server."""
        return self.scheme in _DEFAULT_PORTS

    @property
    def label(self) -> str:
        """Its name in messages."""
        return visible(redact(self.given))

    def above(self) -> "Location":
        """The folder, or the URL up to its last slash."""
        if self.is_local:
            return replace(self, given=str(Path(self.given).parent), path=str(Path(self.path).parent))
        path = posixpath.dirname(self.path.partition("?")[0])
        return Location(f"{self.scheme}://{self.host}{path}", self.scheme, self.host, path)


def locate(where: str) -> Location:
    """Parse a path or URL.

    Raises:
        Unusable: It is malformed, or its protocol is not one of `PROTOCOLS`.
    """
    name = visible(shown(redact(where[: 2 * MOST_IN_PATH])))
    if "\0" in where or len(where) > MOST_IN_PATH:
        reason = "it holds a null byte" if "\0" in where else f"it has more than {MOST_IN_PATH:,} characters"
        raise Unusable(name, f"this can't be the name of a file: {reason}.")
    scheme, colon, rest = where.partition("://")
    if not colon:
        return Location(where, "file", "", where)
    scheme = scheme.lower()
    if scheme not in PROTOCOLS:
        raise Unusable(name, "Stencil does not open this protocol.", hint=f"It opens {', '.join(PROTOCOLS)}.")
    host = re.split(r"[/?#]", rest, maxsplit=1)[0]
    path = rest[len(host) :]
    if scheme == "file":
        path = unquote(path.partition("?")[0].partition("#")[0])
        if host not in ("", "localhost") or not path.strip("/") or "\0" in path:
            raise Unusable(name, "this names no file.", hint="Write file:///folder/sheet.csv.")
        return Location(where, "file", "", path)
    if not _NETLOC.fullmatch(host) or (not host and scheme != "memory") or "::" in path or not _has_port(host):
        raise Unusable(name, "the URL is malformed.")
    return Location(where, scheme, host, path)


def _has_port(host: str) -> bool:
    """Whether the host of a URL has a valid port, or none."""
    try:
        return (urlsplit(f"//{host}").port or 0) >= 0
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class Place:
    """A folder, or the beginning of URLs, below which files may be opened.

    Attributes:
        scheme: As in `Location`.
        host: As in `Location`; empty means all hosts.
        path: Without a slash at its end; of a folder, the real path.
    """

    scheme: str
    host: str
    path: str

    @classmethod
    def of(cls, where: Location) -> "Place":
        """The place below a folder or URL."""
        if where.is_local:
            return cls("file", "", os.path.realpath(where.path))
        return cls(where.scheme, _host(where), where.path.partition("?")[0].rstrip("/"))

    def holds(self, where: Location) -> bool:
        """Whether a location lies here, judged by its text; resolve the links of a file first."""
        if self.scheme != where.scheme or (self.host and self.host != _host(where)):
            return False
        path = where.path.partition("?")[0] if where.is_web else where.path
        return not self.path.strip("/") or path == self.path or path.startswith(f"{self.path}/")

    def __str__(self) -> str:
        """The entry for `STENCIL_ALLOW`."""
        return self.path if self.scheme == "file" else f"{self.scheme}://{self.host}{self.path}"


def _host(where: Location) -> str:
    """The part of a URL that identifies its server.

    For web servers, user and default port don't count. Elsewhere the user is part of it: a container of Azure, or an
    account on a file server.
    """
    if not where.is_web:
        return where.host
    host = where.host.rpartition("@")[2].lower()
    return host.removesuffix(f":{_DEFAULT_PORTS[where.scheme]}")


@dataclass(frozen=True, slots=True)
class Asker:
    """Who names a file or URL, and what they may open.

    Attributes:
        who: Name in messages: `a row`, `an event`; empty if there are no limits.
        places: Places that may be opened; `None` for no limits.
        networks: Addresses that are not public but may be connected to.
        at_home: Whether standard input and the working folder of this process are theirs.
    """

    who: str = ""
    places: tuple[Place, ...] | None = None
    networks: tuple[Network, ...] = ()
    at_home: bool = False

    def rows(self, beside: str = "") -> "Asker":
        """The rights of the rows of a sheet, or of a template file.

        Args:
            beside: The sheet. Files below its folder may be opened.
        """
        places, networks = allowed()
        own = [Place.of(locate(beside).above())] if beside and beside != STANDARD_INPUT else []
        if self.at_home:
            # The working folder may have been deleted.
            with contextlib.suppress(OSError):
                own.append(Place.of(locate(os.curdir)))
        return Asker("a row or a template file", (*own, *places), networks + _addresses(own))

    def check(self, where: Location, *, folder: bool = False) -> Location:
        """Resolve the links of a location, and check that it may be opened.

        Args:
            where: The location.
            folder: Whether it is a folder, which may itself be listed.

        Raises:
            NotAllowed: It may not be opened.
        """
        if self.places is None:
            return where
        if where.is_local:
            where = replace(where, path=_real(where))
        elif _climbs(where):
            raise NotAllowed(where.label, f"{self.who} may not name a URL with .. or . in its path.")
        if not any(place.holds(where) for place in self.places):
            reason = f"this is outside of what {self.who} may open ({self._places()})."
            raise NotAllowed(where.label, reason, hint=_to_allow(where, folder=folder))
        return where

    def root(self, where: Location) -> Path:
        """The allowed folder below which a file lies."""
        found = next(Path(place.path) for place in self.places or () if place.holds(where))
        # A single file may be allowed too.
        return found.parent if str(found) == where.path else found

    def check_address(self, address: Address, where: Location) -> None:
        """Check that an address may be connected to.

        Raises:
            NotAllowed: It is a loopback, link-local or private address that is not listed.
        """
        address = _meant(address)
        if (address.is_global and not address.is_multicast) or any(
            address in network for network in self.networks if network.version == address.version
        ):
            return
        raise NotAllowed(
            where.label,
            f"its server is at {address}, which is not a public address.",
            hint=f"To open it, list it: {ALLOW}={address}.",
        )

    def _places(self) -> str:
        places = [visible(redact(str(place))) for place in dict.fromkeys(self.places or ())]
        return f"{', '.join(places)} and below" if places else f"nothing: {ALLOW} lists no folder or URL"


def _to_allow(where: Location, *, folder: bool) -> str:
    if where.is_local and not Path(where.given).is_absolute() and Place.of(locate(os.curdir)).holds(where):
        # A worker's, which it deletes with the run; a person may open what is in theirs.
        return "Give a whole path, or a URL: the working folder of the run may not be opened."
    # The folder of the target, because listing the folder of a link would not help.
    listed = visible(redact(str(Place.of(where if folder else where.above()))))
    return f"Move it there, or allow its folder in the environment of the process that opens it: {ALLOW}={listed}"


#: The person at a command, or a Python caller.
PERSON = Asker(at_home=True)
#: The author of a deployment's parameters or the form, on a worker's machine.
DEPLOYMENT = Asker()
#: Nobody: nothing may be opened.
NOBODY = Asker("nobody", ())


def event(*folders: str) -> Asker:
    """The rights of an event: what `STENCIL_ALLOW` lists, and these folders and URLs.

    Raises:
        Unusable: `STENCIL_ALLOW` or a folder is malformed.
    """
    return within("an event", *folders)


def within(who: str, *folders: str) -> Asker:
    """Rights to open what `STENCIL_ALLOW` lists, and files below these folders and URLs.

    Raises:
        Unusable: `STENCIL_ALLOW` or a folder is malformed.
    """
    places, networks = allowed()
    own = [Place.of(locate(folder)) for folder in folders if folder]
    return Asker(who, (*own, *places), networks + _addresses(own))


def allowed(listed: str | None = None) -> tuple[tuple[Place, ...], tuple[Network, ...]]:
    """Parse `STENCIL_ALLOW`: folders, beginnings of URLs, and addresses that are not public.

    Args:
        listed: The list, separated by commas; by default the environment's.

    Raises:
        Unusable: An entry is malformed.
    """
    text = os.environ.get(ALLOW, "") if listed is None else listed
    places: list[Place] = []
    networks: list[Network] = []
    for entry in filter(None, (part.strip() for part in text.split(","))):
        network = _network(entry)
        if network is not None:
            networks.append(network)
            continue
        try:
            written = entry if "://" in entry else str(Path(entry).expanduser())
            where = locate(f"{entry}any" if entry.endswith("://") else written)
        except (Unusable, RuntimeError) as error:
            raise Unusable(ALLOW, str(error), hint="Separate folders, URLs and addresses by commas.") from None
        places.append(replace(Place.of(where), host="") if entry.endswith("://") else Place.of(where))
    return tuple(places), (*networks, *_addresses(places))


def _network(entry: str) -> Network | None:
    try:
        return ipaddress.ip_network(entry, strict=False)
    except ValueError:
        return None


def _addresses(places: Sequence[Place]) -> tuple[Network, ...]:
    """The addresses in URLs, which are thereby allowed; a host name allows no address."""
    found: list[Network] = []
    for place in places:
        host = _bare(place.host) if place.scheme != "file" else ""
        written = ["127.0.0.0/8", "::1"] if host == "localhost" else [host]
        found += [network for network in map(_network, written) if network is not None]
    return tuple(found)


def _bare(host: str) -> str:
    """A host without user, port and brackets."""
    return (urlsplit(f"//{host}").hostname or "") if host else ""


def _meant(address: Address) -> Address:
    """The IPv4 address that an IPv6 address contains, if any; otherwise the address itself."""
    if isinstance(address, ipaddress.IPv6Address):
        if address in _MAPPED:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        return address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1] or address
    return address


def _real(where: Location) -> str:
    try:
        return os.path.realpath(where.path)
    except (OSError, ValueError) as error:
        raise Unusable(where.label, f"can't be read: {_reason(error, where)}") from None


def _climbs(where: Location) -> bool:
    """Whether a URL's path may leave its folder on a server that decodes it, even twice."""
    path, plain = "", where.path.partition("?")[0] if where.is_web else where.path
    while plain != path:
        path, plain = plain, unquote(plain)
    return any(part.partition(";")[0] in (".", "..") for part in re.split(r"[/\\]", path))


def read(where: str, asker: Asker, *, most: int) -> bytes:
    """Read a path, a URL or standard input.

    Args:
        where: A path, a URL of one of `PROTOCOLS`, or `-`.
        asker: Who named it.
        most: Most bytes.

    Raises:
        Unusable: It can't be read, or has more than `most` bytes.
        NotAllowed: The asker may not open it.
        Missing: There is no such file.
    """
    if where == STANDARD_INPUT:
        if not asker.at_home:
            raise NotAllowed(where, "there is no standard input here.", hint="Give a path or a URL.")
        return drained(sys.stdin.buffer, "<stdin>", most)
    found = asker.check(locate(where))
    with _usable(found, doing="can't be read: ", kind="file"):
        if found.is_web:
            return _from_web(found, asker, most)
        if found.is_local:
            with _local_file(found, asker, most) as file:
                return drained(file, found.label, most)
        _check_host(found, asker)
        system, path = _system(found)
        with system.open(path, "rb") as file:
            return drained(file, found.label, most)


def modified(where: str) -> datetime | None:
    """When a file on this machine last changed; `None` for any other, since stores have no common way to tell.

    Raises:
        Unusable: It can't be accessed.
    """
    if where == STANDARD_INPUT:
        return None
    found = locate(where)
    if not found.is_local:
        return None
    with _usable(found, kind="file"):
        return datetime.fromtimestamp(Path(found.path).stat().st_mtime, UTC)


def write_new(path: str, content: bytes) -> bool:
    """Write a file on this machine unless it exists, and return whether it was written.

    Raises:
        Unusable: It can't be written.
    """
    with _usable(locate(path), doing="can't be written: "):
        try:
            with Path(path).open("xb") as file:
                file.write(content)
        except FileExistsError:
            return False
        return True


def file_name(where: str) -> str:
    """The name of the file that a path or URL names, without a URL's query."""
    path = where.partition("://")[2].partition("?")[0].partition("/")[2] if "://" in where else where
    return visible(Path(path).name or redact(where))


def folder_of(where: str) -> Path | None:
    """The real folder of a file on this machine; `None` for a URL and standard input."""
    if where == STANDARD_INPUT:
        return None
    found = locate(where)
    return Path(os.path.realpath(found.path)).parent if found.is_local else None


class Readable(Protocol):
    """An open file, which should be binary."""

    def read(self, size: int, /) -> bytes | str:
        """At most so many bytes or characters; empty at the end."""


def drained(file: Readable, label: str, most: int) -> bytes:
    """The content of a file, which may have no end, and may return less than it is asked for.

    Raises:
        Unusable: It has more than `most` bytes, or is open for text.
    """
    content = io.BytesIO()
    while piece := file.read(_PIECE):
        if not isinstance(piece, bytes):
            raise Unusable(
                label, "this is open in text mode.", hint="Open it with 'rb', so that its encoding can be detected."
            )
        content.write(piece)
        if content.tell() > most:
            raise TooLarge(label, f"it has more than {_size(most)}, and Stencil reads at most that.", hint="Split it.")
    return content.getvalue()


def _size(count: int) -> str:
    return f"{count // 1_000_000} MB" if count >= 1_000_000 else f"{count // 1_000} kB"


def _local_file(where: Location, asker: Asker, most: int) -> BinaryIO:
    """Open a file. If its path was checked, follow no link on the way any more."""
    folder: int | None = None
    if asker.places is not None and _opens_in_folders():
        folder = _descend(asker.root(where), Path(where.path).parent)
    try:
        name = where.path if folder is None else Path(where.path).name
        # Checked before opening, because opening a device has effects.
        _check_kind(
            os.stat(name, dir_fd=folder, follow_symlinks=folder is None), where, most, pipes=asker.places is None
        )
        # Opened without blocking: otherwise a pipe without a writer would block forever.
        flags = os.O_RDONLY | _flags("O_NONBLOCK", "O_BINARY", *([] if asker.places is None else ["O_NOFOLLOW"]))
        descriptor = os.open(name, flags, dir_fd=folder)
    finally:
        if folder is not None:
            os.close(folder)
    try:
        _check_kind(os.fstat(descriptor), where, most, pipes=asker.places is None)
        if _flags("O_NONBLOCK"):
            os.set_blocking(descriptor, True)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def _flags(*names: str) -> int:
    """Flags for `os.open` that this system has; Windows lacks most, and only it has `O_BINARY`."""
    return functools.reduce(operator.or_, (getattr(os, name, 0) for name in names), 0)


def _opens_in_folders() -> bool:
    """Whether a file can be opened by its folder's descriptor, so that no link made after the check is followed."""
    return os.open in os.supports_dir_fd


def _check_kind(found: os.stat_result, where: Location, most: int, *, pipes: bool) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError
    if not stat.S_ISREG(found.st_mode) and not stat.S_ISFIFO(found.st_mode) and not stat.S_ISLNK(found.st_mode):
        raise Missing(where.label, "this is a device, not a file.", hint="For standard input write -.")
    if stat.S_ISFIFO(found.st_mode) and not pipes:
        raise Missing(where.label, "this is a pipe, not a file.")
    if found.st_size > most:
        raise TooLarge(
            where.label, f"it has {_size(found.st_size)}, and Stencil reads at most {_size(most)}.", hint="Split it."
        )


def _descend(root: Path, path: Path, *, make: bool = False) -> int:
    """A descriptor of a folder below another one, opened without following links.

    Raises:
        OSError: It is not there, or a part of the path has become a link.
    """
    if make:
        # A listed folder is created if it is missing.
        root.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    for part in path.relative_to(root).parts:
        try:
            if make:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(part, dir_fd=descriptor)
            following = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=descriptor)
        finally:
            os.close(descriptor)
        descriptor = following
    return descriptor


@contextlib.contextmanager
def _usable(where: Location, *, doing: str = "", kind: str = "folder") -> Iterator[None]:
    """Turn errors of file systems and servers into `Unusable`; their texts may contain the URL with its secrets."""
    try:
        yield
    except StencilError:
        raise
    except FileNotFoundError:
        looked = f" (looked in {Path.cwd()})" if where.is_local and not Path(where.given).is_absolute() else ""
        raise Missing(where.label, f"there is no such {kind}{looked}.") from None
    except IsADirectoryError:
        raise Missing(where.label, "this is a folder, not a file.") from None
    except FileExistsError:
        raise Unusable(where.label, "it, or a folder above it, is a file and not a folder.") from None
    except ImportError as error:
        raise Unusable(where.label, f"its protocol needs a package: {_reason(error, where)}") from None
    except Exception as error:  # noqa: BLE001 - each store's library has errors of its own
        named = isinstance(error, OSError) and error.strerror
        raise Unusable(
            where.label, f"{doing}{'' if named else f'{type(error).__name__}: '}{_reason(error, where)}"
        ) from None


def _reason(error: BaseException, where: Location) -> str:
    """The text of an error in one line, without the secrets of a URL."""
    words = (error.strerror if isinstance(error, OSError) else None) or str(error)
    user, _, _ = where.host.rpartition("@")
    _, _, query = where.path.partition("?")
    secrets_of_url = [] if where.is_local else [user, user.partition(":")[2], query, unquote(user)]
    text = shortened(visible(redact(" ".join(str(words).split()), secrets_of_url)), _REASON_LENGTH)
    return text if text.endswith(".") else f"{text}."


def _system(where: Location) -> "tuple[AbstractFileSystem, str]":
    """The file system of fsspec for a location, and the path in it."""
    # Importing it takes long, and most sheets are local files.
    from fsspec.core import url_to_fs

    system, path = url_to_fs(where.path if where.is_local else f"{where.scheme}://{where.host}{where.path}")
    return system, str(path)


def _check_host(where: Location, asker: Asker) -> None:
    """Check the addresses of a URL's server. Its library resolves the name again to connect."""
    if asker.places is not None and where.scheme == "sftp":
        for address in _looked_up(where):
            asker.check_address(address, where)


def _looked_up(where: Location, port: int = 0) -> list[Address]:
    """The addresses of a URL's host, in the order in which to try them."""
    found = socket.getaddrinfo(_bare(where.host), port or None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(ipaddress.ip_address(str(each[4][0]).partition("%")[0]) for each in found))


def _from_web(where: Location, asker: Asker, most: int) -> bytes:
    """The answer of a web server; redirects are followed as far as the asker may go."""
    named = where
    for _ in range(_MOST_REDIRECTS):
        with _answered(where, asker, named) as answer:
            if not answer.has_redirect_location:
                if not answer.is_success:
                    kind = Missing if answer.status_code == HTTPStatus.NOT_FOUND else Unusable
                    hint = "Does it need a sign-in?" if answer.status_code in (401, 403) else ""
                    raise kind(where.label, f"its server answers with status {answer.status_code}.", hint=hint)
                return drained(_Stream(answer.iter_bytes()), where.label, most)
            target = locate(urljoin(where.given, answer.headers["location"]))
        if not target.is_web or (where.scheme, target.scheme) == ("https", "http"):
            raise NotAllowed(where.label, f"it redirects to {target.label}, and Stencil does not follow that.")
        where = asker.check(target)
    raise Unusable(named.label, f"it redirects more than {_MOST_REDIRECTS} times.")


class _Stream:
    """The body of an answer as a file."""

    def __init__(self, parts: Iterator[bytes]) -> None:
        self._parts = parts

    def read(self, _size: int, /) -> bytes:
        """The next part; empty at the end."""
        return next(filter(None, self._parts), b"")


@contextlib.contextmanager
def _answered(where: Location, asker: Asker, named: Location) -> "Iterator[httpx.Response]":
    """A server's answer, before its body is read.

    If the address has to be checked, the connection goes to the checked address, even if the name resolves to another one
    later. Behind a proxy, the proxy resolves names.
    """
    import httpx

    url = httpx.URL(where.given)
    # A person may name any server, but the target of a redirect was not named.
    checked = asker.places is not None or _host(where) != _host(named)
    proxied = _proxy(where)
    targets: list[Address | None] = [None]
    if checked:
        try:
            addresses = _looked_up(where, url.port or _DEFAULT_PORTS[where.scheme])
        except socket.gaierror:
            # Behind a proxy, other names may not resolve.
            if not proxied:
                raise
            addresses = []
        for each in addresses:
            asker.check_address(each, where)
        if not proxied:
            targets = [*addresses]
    timeout = httpx.Timeout(_READ_TIMEOUT, connect=_CONNECT_TIMEOUT)
    with httpx.Client(proxy=proxied, trust_env=False, timeout=timeout, verify=_tls(where)) as client:
        for number, address in enumerate(targets, start=1):
            request = client.build_request("GET", url)
            if address is not None:
                request.extensions = {**request.extensions, "sni_hostname": url.raw_host.decode()}
                request.url = url.copy_with(host=str(address))
            try:
                answer = client.send(request, stream=True)
            except httpx.TransportError:
                if number == len(targets):
                    raise
                continue
            try:
                yield answer
            finally:
                answer.close()
            return


def _tls(where: Location) -> Any:
    import httpx

    return httpx.create_ssl_context() if where.scheme == "https" else False


def _proxy(where: Location) -> str | None:
    """The proxy that the environment names for a URL."""
    host = where.host.rpartition("@")[2]
    if proxy_bypass(host):
        return None
    proxies = getproxies()
    found = proxies.get(where.scheme) or proxies.get("all")
    return f"http://{found}" if found and "://" not in found else found


@dataclass(frozen=True, slots=True)
class Entry:
    """A file in a folder, as it was when it was listed.

    Attributes:
        size: Bytes; -1 if the file system does not say.
        modified: Unix time of its last change by the file system's clock, in whole seconds; `None` if it has none.
        tag: Other attributes that change with the content.
    """

    size: int
    modified: float | None
    tag: str


class Folder:
    """A folder for output, on this machine or in a store.

    Errors of file systems become `Unusable`.

    Args:
        where: A path, or a URL.
        asker: Who named it.

    Raises:
        Unusable: It is malformed, or its protocol can't write.
        NotAllowed: The asker may not write there.
    """

    def __init__(self, where: str, asker: Asker = PERSON) -> None:
        self._where = asker.check(locate(where), folder=True)
        self._asker = asker
        self.name = self._where.label
        if self._where.is_web:
            raise Unusable(self.name, "Stencil can't write to a web server.", hint="Name a folder or a bucket.")
        self.is_local = self._where.is_local
        with self._usable():
            _check_host(self._where, asker)
            if self.is_local:
                home = Path(self._where.path).expanduser()
                self._where = replace(self._where, path=str(home))
            self._system, path = _system(self._where)
        #: The path in its file system, without a slash at its end.
        self.path = path.rstrip("/")

    @property
    def key(self) -> str:
        """A text that identifies this folder, without secrets."""
        return Path(self.path or "/").resolve().as_uri() if self.is_local else self.name.removesuffix("/")

    def at(self, name: str) -> str:
        """The path or URL of a file in it."""
        start = self.path if self.is_local else self._where.given.rstrip("/")
        return f"{start}/{name}"

    def write(self, name: str, content: bytes) -> str:
        """Write a file, and return its path or URL.

        On this machine, the file is replaced as a whole, so that nobody reads half of it, and only its owner may read it,
        because it may hold passwords. The folder is created if it is missing.

        Args:
            name: Its name, with the folders below this one.
            content: The whole content.

        Raises:
            Unusable: It can't be written.
        """
        with self._usable():
            if self.is_local:
                folder, _, name = name.rpartition("/")
                return self._write_local(folder, name, content)
            target = self._at(name)
            # Some stores have no folders, or don't allow listing buckets, but take the file.
            with contextlib.suppress(OSError, NotImplementedError):
                self._system.makedirs(target.rpartition("/")[0], exist_ok=True)
            self._system.pipe_file(target, content)
            return redact(str(self._system.unstrip_protocol(target)))

    def remove(self, name: str) -> None:
        """Delete a file.

        Raises:
            Unusable: It can't be deleted.
        """
        with self._usable():
            self._system.rm_file(self._at(name))

    def files(self) -> list[str]:
        """The names of the files directly in it.

        Raises:
            Missing: There is no such folder.
            Unusable: It can't be listed, or is a file.
        """
        path = self.path or "/"
        with self._usable():
            self._system.invalidate_cache()
            try:
                listed = self._system.ls(path, detail=True)
            except FileNotFoundError:
                if self._may_be_empty():
                    return []
                relative = "://" not in self.name and not Path(self.name).is_absolute()
                looked = f" (looked in {Path.cwd()}; give a deployed run a whole path)" if relative else ""
                raise Missing(self.name, f"there is no such folder{looked}.") from None
        files = [entry["name"] for entry in listed if entry["type"] == "file"]
        if path in files:
            raise Unusable(self.name, "this is a file, not a folder.", hint="Name the folder that sheets are put into.")
        return [name.rpartition("/")[2] for name in files]

    def entry(self, name: str) -> Entry | None:
        """The entry of a file; `None` if there is none.

        Raises:
            Unusable: It can't be accessed.
        """
        with self._usable():
            # Not from an earlier listing, which may be out of date.
            self._system.invalidate_cache()
            try:
                info: Mapping[str, object] = self._system.info(self._at(name))
                modified = self._modified(name, info)
            except FileNotFoundError:
                return None
        size = info.get("size")
        tag = " ".join(f"{key}={info[key]}" for key in _TAGS if key in info)
        return Entry(size if isinstance(size, int) else -1, modified, tag)

    def exists(self, name: str) -> bool:
        """Whether there is a file or folder of this name.

        Raises:
            Unusable: It can't be accessed.
        """
        with self._usable():
            self._system.invalidate_cache()
            return bool(self._system.exists(self._at(name)))

    def move(self, name: str, target: str) -> None:
        """Move a file to a folder below this one.

        Raises:
            Unusable: It can't be moved, or its copy has another size.
        """
        source, goal = self._at(name), self._at(target)
        size = self.entry(name)
        with self._usable():
            if self.is_local:
                # Renames, where that is possible.
                self._system.mv(source, goal)
                return
            try:
                # Before the file system's own `mv`, which may take a name with `[` or `*` for a pattern.
                self._system.cp_file(source, goal)
            except NotImplementedError:
                self._system.mv(source, goal)
                return
        copy = self.entry(target)
        if size is None or copy is None or copy.size != size.size:
            raise Unusable(
                self.name, f"the copy of {visible(name)} has a different size, so the file was left where it is."
            )
        self.remove(name)

    def _at(self, name: str) -> str:
        return f"{self.path}/{name}"

    def _usable(self) -> contextlib.AbstractContextManager[None]:
        return _usable(self._where)

    def _may_be_empty(self) -> bool:
        """Whether a missing folder may just have no files: in a bucket, a folder exists only as long as it has some."""
        bucket = self.path.partition("/")[0]
        return bool(bucket) and not self.is_local and bool(self._system.exists(bucket))

    def _modified(self, name: str, info: Mapping[str, object]) -> float | None:
        for key in _TIMES:
            if info.get(key) is not None:
                return _seconds(info[key])
        try:
            return _seconds(self._system.modified(self._at(name)))
        except NotImplementedError:
            return None

    def _write_local(self, folder: str, name: str, content: bytes) -> str:
        path = Path(self.path, folder) if folder else Path(self.path or "/")
        descriptor: int | None = None
        if not _opens_in_folders():
            path.mkdir(parents=True, exist_ok=True)
        elif self._asker.places is None:
            path.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        else:
            descriptor = _descend(self._asker.root(replace(self._where, path=str(path))), path, make=True)
        half, whole = f".{name}.{secrets.token_hex(4)}", name
        if descriptor is None:
            half, whole = str(path / half), str(path / whole)
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _flags("O_NOFOLLOW", "O_BINARY")
            with os.fdopen(os.open(half, flags, 0o600, dir_fd=descriptor), "wb") as file:
                file.write(content)
            os.replace(half, whole, src_dir_fd=descriptor, dst_dir_fd=descriptor)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(half, dir_fd=descriptor)
            raise
        finally:
            if descriptor is not None:
                os.close(descriptor)
        # As it was given, with its links not resolved.
        start = Path(self._where.given if "://" not in self._where.given else self.path)
        return str(start.expanduser() / folder / name)


#: Where file systems keep the time of a file's last change.
_TIMES = ("mtime", "LastModified", "last_modified", "updated", "modified")
#: Keys by which stores identify a file's content, besides its size and time.
_TAGS = ("ETag", "etag", "generation")


def _seconds(moment: object) -> float | None:
    """A file system's time as Unix time in whole seconds: some stores leave out the fraction in one kind of answer."""
    if isinstance(moment, str):
        with contextlib.suppress(ValueError):
            moment = datetime.fromisoformat(moment)
    if isinstance(moment, datetime):
        moment = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    return float(int(moment)) if isinstance(moment, int | float) else None

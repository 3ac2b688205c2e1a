"""Object storage: the images of a URL (``s3://``, ``gs://``, ``memory://``, whatever fsspec knows) fetched to this machine, and put there.

An object is fetched whole to a temporary folder of whoever works on it, under its own name, and read there as any file is. What is written
lies there, too, until it is whole, and is put at once: no half object is ever seen. What is in a storage is found out by one listing; names
are never patterns. Messages name the objects, and nothing of credentials: these are taken from where the storage's own package finds them.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import re
import secrets
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

from ..errors import Missing, RunFailure, TransfigureError, UserError, did_you_mean

T = TypeVar("T")

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
_OURS = ("file", "local")
"""Protocols of this machine's own disk: what they name is a folder like any other."""
_S3, _WEB = ("s3", "s3a"), ("http", "https")

_TRIES = 3
"""Times that something is tried which may pass: a connection that breaks, a server that is busy."""
_PAUSE = 0.3
"""Seconds before the second time; three times as many before the next."""
WORKSPACES = "transfigure-objects-"
"""How the names of temporary folders begin."""
HEAD = 1 << 12
"""Bytes of an object that show what it is."""
_LARGE = 50 << 20
"""Bytes from which an object is fetched in parts, which must be of one and the same."""


def is_url(place: str | Path) -> bool:
    """Whether a place is a URL of a storage; those of this machine's own disk (``file://``) are not, see :func:`without_file_protocol`."""
    found = _URL.match(place) if isinstance(place, str) else None
    return found is not None and found[1].lower() not in _OURS


def without_file_protocol(place: str) -> str:
    """``file:///data/in`` as ``/data/in``; anything else as it is."""
    found = _URL.match(place)
    return found[2] if found is not None and found[1].lower() in _OURS else place


class StoredObject(NamedTuple):
    """What a listing says of an object.

    Attributes:
        size: in bytes.
        modified: when it was written, in nanoseconds; None if the storage does not say.
        tag: of its content, if the storage gives one.
    """

    size: int
    modified: int | None = None
    tag: str = ""


@dataclass(frozen=True)
class ObjectFolder:
    """A place in a storage: objects whose names begin with it and a slash are in it.

    Attributes:
        url: as it was given, without a slash at its end.
    """

    url: str

    @classmethod
    def at(cls, url: str) -> ObjectFolder:
        """The place that a URL names; nothing is asked of the storage.

        Raises:
            UserError: the protocol is unknown, no bucket is named, or a password is in it.
            Missing: a package for it is not installed.
        """
        found = _URL.match(url)
        assert found is not None
        protocol, rest = found.groups()
        host, _, below = rest.partition("/")
        if ":" in host.rpartition("@")[0]:
            shown = f"{protocol}://{host.rpartition('@')[2]}"
            raise UserError(
                f"the URL of {shown} holds a password: leave it out, and give it where the package of this protocol looks for it (for "
                "s3:// AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE)"
            )
        if "::" in url:
            raise UserError(f"{url} is a chain of protocols: give the URL of the objects themselves")
        if protocol.lower() in _WEB and "?" in rest:  # often with a secret behind it
            raise UserError(f"{url.partition('?')[0]} is asked with a query, which is not taken: download it, and name the file")
        place = cls(f"{protocol.lower()}://{rest.rstrip('/')}")
        _filesystem_of(place)
        if protocol.lower() != "memory" and not host:
            raise UserError(f"{url} names no bucket: write {protocol}://BUCKET/{below or 'FOLDER'}")
        return place

    def __str__(self) -> str:
        return self.url

    def at_name(self, name: str) -> str:
        """The URL of an object in it."""
        return f"{self.url}/{name}" if name else self.url

    @property
    def name(self) -> str:
        """Its last part."""
        return self.url.rpartition("/")[2]

    @property
    def folder(self) -> ObjectFolder:
        """What it is in."""
        protocol, _, rest = self.url.partition("://")
        return ObjectFolder(f"{protocol}://{rest.rpartition('/')[0]}")

    def is_within(self, other: ObjectFolder) -> bool:
        """Whether it is another place, or in that one."""
        mine, others = path_of(self), path_of(other)
        return mine[0] == others[0] and (mine[1] == others[1] or mine[1].startswith(f"{others[1]}/") or not others[1])

    # ---- what is in it ------------------------------------------------------------------------------------------------------

    def listed(self) -> dict[str, StoredObject]:
        """Everything in it, by its name below it; of a URL that is an object itself, that object by an empty name.

        Raises:
            UserError: there is no such bucket, it may not be listed, or cannot be reached.
        """
        system, path = _filesystem_of(self)

        def find() -> dict[str, Any]:
            system.invalidate_cache()
            found: dict[str, Any] = system.find(path, detail=True)
            return found

        found = self._tried("listed", "", find, absent={})
        below, objects = f"{path}/", {}
        while found:
            name, about = found.popitem()
            if about.get("type", "file") == "file" and not name.endswith("/"):  # a name that ends so marks an empty folder
                objects["" if name == path else name.removeprefix(below)] = _about(about)
        return objects

    def look(self, name: str = "") -> StoredObject | None:
        """What the storage says of one object now; None if it is not there.

        Raises:
            UserError: it may not be read, or the storage cannot be reached.
        """
        system, path = self._system_and_path(name)

        def info() -> dict[str, Any] | None:
            system.invalidate_cache()
            about: dict[str, Any] = system.info(path)
            return about if about.get("type", "file") == "file" else None

        about = self._tried("read", name, info, absent=None)
        return None if about is None else _about(about)

    def is_object(self) -> bool:
        """Whether the URL is that of one object, and not of a place in which there are some.

        Raises:
            UserError: the storage does not say.
        """
        return self.look() is not None

    # ---- there and back -----------------------------------------------------------------------------------------------------

    def head(self, name: str, size: int = HEAD) -> bytes:
        """The first bytes of an object.

        Raises:
            UserError: it cannot be read.
        """
        system, path = self._system_and_path(name)
        return self._tried("read", name, lambda: bytes(system.cat_file(path, start=0, end=size)))

    def fetch(self, name: str, file: Path, known: StoredObject | None = None) -> None:
        """An object as a file of this machine, with the time at which it was written.

        Args:
            name: below this place.
            file: in a folder that is there.
            known: what the listing said of it.

        Raises:
            UserError: it cannot be read, is gone, or changes while it is fetched.
            RunFailure: the disk of this machine is full.
        """
        system, path = self._system_and_path(name)

        def get() -> None:
            about = known if known is not None else self.look(name)
            if _is_memory(system):
                file.write_bytes(system.cat_file(path))
            else:
                system.get_file(path, str(file))
            size = file.stat().st_size
            if about is None or size != about.size or (about.tag and size > _LARGE):
                about = self.look(name)  # it may have been replaced since it was listed
                if about is None or size != about.size or (known is not None and about.tag != known.tag and size > _LARGE):
                    raise _Passing("it changed while it was fetched")
            if about.modified is not None:
                os.utime(file, ns=(about.modified, about.modified))

        try:
            self._tried("read", name, get)
        except BaseException:
            file.unlink(missing_ok=True)
            raise

    def put(self, name: str, file: Path) -> None:
        """A file of this machine as an object, whole or not at all, in place of one of this name.

        Raises:
            UserError: it cannot be written there.
        """
        system, path = self._system_and_path(name)
        size = file.stat().st_size

        def put() -> None:
            _put(system, path, file)
            with contextlib.suppress(PermissionError):  # who may write need not be allowed to read
                system.invalidate_cache()
                there = _about(system.info(path)).size
                if there != size:
                    raise _Passing(f"{there:,} of {size:,} bytes arrived")

        self._tried("written", name, put)

    def remove(self, name: str) -> None:
        """Remove an object.

        Raises:
            UserError: that is not allowed.
        """
        system, path = self._system_and_path(name)
        self._tried("removed", name, lambda: system.rm_file(path), absent=None)

    def check_writable(self) -> str:
        """Find out before the work whether objects can be written: a small one is, and is removed.

        Returns:
            A sentence, if it could not be removed.

        Raises:
            UserError: nothing can be written.
        """
        name = f".write-{secrets.token_hex(8)}.part"  # of which readers and sweepers of folders know that it is no data
        with tempfile.TemporaryDirectory(prefix=WORKSPACES) as folder:
            probe = Path(folder, name)
            probe.touch()
            system, path = self._system_and_path(name)
            self._tried("written", name, lambda: _put(system, path, probe), shown=self.url)
        try:
            self.remove(name)
        except UserError:
            return f"{self.at_name(name)}, by which it was found out whether objects can be written, may not be removed and stays"
        return ""

    # ---- what may go wrong --------------------------------------------------------------------------------------------------

    def _system_and_path(self, name: str) -> tuple[Any, str]:
        system, path = _filesystem_of(self)
        if _protocol(self) in _S3 and "?versionId=" in name:  # s3fs takes it for no part of the name
            raise UserError(f"{self.at_name(name)} has ?versionId= in its name, which would name another object: rename it")
        return system, f"{path}/{name}" if name else path

    def _tried(self, what: str, name: str, action: Callable[[], T], absent: Any = ..., shown: str = "") -> T:
        """The result of an action, which is repeated a few times where its failure may pass.

        Args:
            what: is done, for the sentence.
            name: of the object.
            action: what to do.
            absent: what the result is where there is no such object; without it, that is an error.
            shown: what the sentence names; nothing is the object.

        Raises:
            UserError: it cannot be done.
            RunFailure: the disk of this machine is full.
        """
        for attempt in range(_TRIES):
            try:
                return action()
            except TransfigureError:
                raise
            except Exception as error:
                kind = _kind(error)
                if kind == "absent" and absent is not ...:
                    return absent  # type: ignore[no-any-return]
                if kind == "full":
                    raise RunFailure(
                        f"the disk is full where objects lie while they are worked on ({tempfile.gettempdir()}): free some space there, or "
                        "name another folder by TMPDIR"
                    ) from error
                if kind not in ("passing", "unreachable") or attempt == _TRIES - 1 or (kind == "unreachable" and what == "listed"):
                    failure = UserError if kind in ("absent", "name", "passing", "unable") else StoredRefusal
                    raise failure(_sentence(kind, error, self, what, shown or self.at_name(name))) from None
                time.sleep(_PAUSE * 3**attempt)
        raise AssertionError


class StoredRefusal(UserError):
    """A storage lets nothing be read, or written, or cannot be reached at all."""


class _Passing(Exception):
    """What may be better the next time."""


# ---- fsspec -----------------------------------------------------------------------------------------------------------------


def _protocol(place: ObjectFolder) -> str:
    return place.url.partition("://")[0]


def path_of(place: ObjectFolder) -> tuple[str, str]:
    """A storage, and the path in it."""
    protocol = _protocol(place)
    return "s3" if protocol in _S3 else protocol, _filesystem_of(place)[1]


def _is_memory(system: Any) -> bool:
    from fsspec.implementations.memory import MemoryFileSystem

    return isinstance(system, MemoryFileSystem)


def _filesystem_of(place: ObjectFolder) -> tuple[Any, str]:
    """What speaks to the storage, one for each process, and the path of a place for it.

    Raises:
        UserError: the protocol is unknown.
        Missing: a package is not installed.
    """
    protocol, _, rest = place.url.partition("://")
    try:
        system = _filesystem(os.getpid(), protocol, rest.partition("/")[0])
    except ImportError as error:
        package = (error.name or getattr(error.__cause__, "name", None) or "").partition(".")[0]
        if package in ("", "fsspec", "s3fs"):
            raise Missing.extra(package or "s3fs", "scale", f"{protocol}://") from error
        raise Missing(f"{protocol}:// needs the package {package!r}: install it with  pip install {package}") from error
    except ValueError as error:
        raise UserError(f"{protocol}:// is no protocol of a storage{did_you_mean(protocol, _protocols())}") from error
    path = str(system._strip_protocol(place.url)).rstrip("/")
    return system, path


def _protocols() -> list[str]:
    """Those of storages that are in use, for a hint."""
    from fsspec.registry import known_implementations

    usual = {"s3", "gs", "abfs", "az", "memory", "sftp", "hdfs", "oss", "http", "https", "hf", "webhdfs", "smb", "file"}
    return sorted(usual & {*known_implementations, "file"})


@functools.lru_cache(maxsize=64)
def _filesystem(process: int, protocol: str, host: str) -> Any:
    from fsspec.core import url_to_fs

    own: dict[str, Any] = {}
    if protocol in _S3:
        from fsspec.config import conf

        # Bounded: an endpoint that is not there is known after seconds. What fails on the way is tried again by whoever asks.
        told = {key: value for name in _S3 for key, value in dict(conf.get(name, {}).get("config_kwargs", {})).items()}
        usual = {"connect_timeout": 4, "read_timeout": 20, "retries": {"total_max_attempts": 1, "mode": "standard"}}
        own = {"config_kwargs": {**usual, **told}, "use_listings_cache": False, "max_concurrency": 2}
    system, _ = url_to_fs(f"{protocol}://{host}/", skip_instance_cache=True, **own)
    if protocol in _S3:
        system.retries = 2
    return system


def _put(system: Any, path: str, file: Path) -> None:
    """Whole or not at all, as far as each kind of storage allows."""
    from fsspec.asyn import AsyncFileSystem
    from fsspec.spec import AbstractFileSystem

    if {*_WEB} & {*([system.protocol] if isinstance(system.protocol, str) else system.protocol)}:
        raise NotImplementedError("a page is not written")
    if isinstance(system, AsyncFileSystem):  # an object store, to which a file is given in one request or as parts that are joined
        system.put_file(str(file), path)
    elif _is_memory(system):
        system.pipe_file(path, file.read_bytes())
    elif type(system).mv is not AbstractFileSystem.mv:  # a file system far away, which renames
        folder, _, _ = path.rpartition("/")
        part = f"{folder}/.write-{secrets.token_hex(8)}.part"
        system.makedirs(folder, exist_ok=True)
        try:
            system.put_file(str(file), part)
            system.mv(part, path)
        except BaseException:
            with contextlib.suppress(Exception):
                system.rm_file(part)
            raise
    else:
        raise NotImplementedError("objects cannot be written whole")


def _about(about: Mapping[str, Any]) -> StoredObject:
    size = about.get("size")
    written = (about[key] for key in ("LastModified", "last_modified", "mtime", "modified", "updated", "created") if about.get(key))
    return StoredObject(int(size or 0), _nanoseconds(next(written, None)), str(about.get("ETag") or about.get("etag") or ""))


def _nanoseconds(when: Any) -> int | None:
    try:
        if isinstance(when, str):
            when = datetime.fromisoformat(when)
        seconds = when.timestamp() if isinstance(when, datetime) else float(when)
        return int(seconds * 1000) * 1_000_000
    except (TypeError, ValueError, OverflowError):
        return None


# ---- errors -----------------------------------------------------------------------------------------------------------------

_Kind = Literal[
    "absent", "bucket", "denied", "credentials", "no credentials", "unreachable", "endpoint", "region", "name", "unable", "full", "passing"
]
_CREDENTIALS = frozenset(
    {"InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "RequestTimeTooSkewed", "InvalidClientTokenId"}
    | {"AuthFailure", "UnrecognizedClientException", "401"}
)
_NONE = frozenset(
    {"NoCredentialsError", "PartialCredentialsError", "ProfileNotFound", "CredentialRetrievalError", "DefaultCredentialsError"}
    | {"SSOTokenLoadError", "UnauthorizedSSOTokenError", "TokenRetrievalError", "NoAuthTokenError", "ConfigParseError"}
)
_UNREACHABLE = frozenset(
    {"EndpointConnectionError", "ConnectTimeoutError", "ConnectionError", "ConnectionClosedError", "ProxyConnectionError", "SSLError"}
    | {"ClientConnectorError", "ClientConnectionError", "gaierror", "ReadTimeoutError", "TimeoutError", "FSTimeoutError"}
)


def _kind(error: Exception) -> _Kind:
    """What lies behind an error of a storage's package, by the server's word and the names of the classes: each has its own."""
    chain = _chain(error)
    code = _code(chain)
    names = {cls.__name__ for one in chain for cls in type(one).__mro__}
    if any(isinstance(one, OSError) and one.errno in (errno.ENOSPC, errno.EDQUOT) for one in chain):
        return "full"
    if names & _NONE:
        return "no credentials"
    if code in _CREDENTIALS:
        return "credentials"
    if code == "NoSuchBucket":
        return "bucket"
    if code in ("PermanentRedirect", "301", "IllegalLocationConstraintException", "AuthorizationHeaderMalformed"):
        return "region"
    if code in ("InvalidBucketName", "KeyTooLongError", "InvalidURI") or names & {"ParamValidationError", "UnicodeError"}:
        return "name"
    if "FileNotFoundError" in names or code in ("NoSuchKey", "404"):
        return "absent"
    if "PermissionError" in names or code in ("AccessDenied", "403"):
        return "denied"
    if names & _UNREACHABLE:
        return "unreachable"
    if "ValueError" in names and "endpoint" in str(error).lower():
        return "endpoint"
    return "unable" if names & {"NotImplementedError", "ValueError", "IsADirectoryError", "NotADirectoryError"} else "passing"


def _chain(error: BaseException) -> list[BaseException]:
    chain: list[BaseException] = []
    one: BaseException | None = error
    while one is not None and one not in chain:
        chain.append(one)
        one = one.__cause__
    return chain


def _code(chain: Sequence[BaseException]) -> str:
    """The word of a server, such as ``AccessDenied``, or its number."""
    for error in chain:
        response = getattr(error, "response", None)
        if isinstance(response, Mapping) and isinstance(told := response.get("Error"), Mapping) and told.get("Code"):
            return str(told["Code"])
    numbers = (getattr(error, name, None) for error in chain for name in ("status", "code"))
    return str(next((number for number in numbers if isinstance(number, int)), ""))


def _sentence(kind: _Kind, error: Exception, place: ObjectFolder, what: str, shown: str) -> str:
    """One sentence; of the error only a server's word, or the name of a class, since its text may hold anything."""
    protocol, _, rest = place.url.partition("://")
    bucket, s3 = rest.partition("/")[0], protocol in _S3
    code = _code(_chain(error))
    said = f" ({code})" if code else ""
    right = {"listed": "list the bucket", "written": "write objects", "removed": "remove objects"}.get(what, "read objects")
    if kind == "bucket":
        endpoint = ", or the endpoint (AWS_ENDPOINT_URL)" if s3 else ""
        return f"{shown}: there is no bucket {bucket!r}: check its name{endpoint}"
    if kind == "no credentials":
        how = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE (or FSSPEC_S3_ANON=true for a public bucket)"
        return (
            f"{shown} cannot be {what}, as no credentials were found: {how if s3 else 'give them where the package of this protocol looks'}"
        )
    if kind == "credentials":
        return f"{shown} cannot be {what}, as the storage does not accept the credentials{said}: check them, and the clock of this machine"
    if kind == "denied":
        return f"{shown} may not be {what} with these credentials{said}: ask for the right to {right}, or use others"
    if kind == "unreachable":
        check = "check the endpoint (AWS_ENDPOINT_URL) and the network" if s3 else "check the network"
        return f"{shown} cannot be {what}, as the storage cannot be reached or does not answer ({type(error).__name__}): {check}"
    if kind == "endpoint":
        return f"{shown} cannot be {what}: the endpoint that is set (AWS_ENDPOINT_URL) is no URL such as https://storage.example.org:9000"
    if kind == "region":
        return f"{shown} cannot be {what} from this region{said}: set AWS_DEFAULT_REGION to that of the bucket"
    if kind == "name" or (kind == "absent" and what == "written"):  # put, and not to be found under its name
        return f"{shown} is no name that the storage can have{said}: check it"
    if kind == "absent":
        return f"{shown} is not there (any more): list it again, or leave it out"
    if kind == "unable":
        return f"{shown} cannot be {what}, which {protocol}:// cannot do here ({type(error).__name__}): use another storage"
    reason = str(error) if isinstance(error, _Passing) else code or type(error).__name__
    return f"{shown} could not be {what} in {_TRIES} attempts ({reason}): try again"

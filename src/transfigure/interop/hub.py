"""Models of the Hugging Face Hub: fetched into that library's own cache, and pushed. The only file that imports ``huggingface_hub``.

Where the hub is (``HF_ENDPOINT``), where its cache is (``HF_HOME``) and who you are (``HF_TOKEN``, ``hf auth login``) is that library's own
business. Nothing is fetched unless it was asked for by name, and then it is said, with its size.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .._version import __version__
from ..data.ownership import is_ours
from ..errors import Missing, RunFailure, TransfigureError, UserError
from ..networks.model_file import CARD, CONFIG, WEIGHTS
from ..progress import on_terminal, say

PREFIX = "hub:"
"""Before a name, it says that the model is to come from the hub."""
PANEL = "panel.png"
"""The picture of a shared model's card."""
_ID = re.compile(r"(?!.*(--|\.\.))[A-Za-z0-9_][\w.-]{0,95}/[A-Za-z0-9_]([\w.-]{0,94}\w)?(?<!\.git)", re.ASCII)
_LOG_IN = "log in by  hf auth login  (or set HF_TOKEN)"


@dataclass(frozen=True)
class HubModel:
    """A model's name on the hub.

    Attributes:
        id: ``owner/name``.
        revision: a branch, a tag or a commit; None is the default branch.
    """

    id: str
    revision: str | None = None

    def __str__(self) -> str:
        return f"{PREFIX}{self.id}{f'@{self.revision}' if self.revision else ''}"

    @classmethod
    def read(cls, name: str | Path, revision: str | None = None) -> HubModel:
        """From ``owner/name``, ``hub:owner/name`` or ``hub:owner/name@revision``.

        Raises:
            UserError: it is none of these, or names two revisions.
        """
        text = _text(name)
        plain, at, named = text.removeprefix(PREFIX).partition("@")
        if not _ID.fullmatch(plain) or bool(at) != bool(named) or (named and revision and named != revision):
            raise UserError(f"{text!r} does not exist and is no name of a model on the hub: that is owner/name, as in {PREFIX}owner/name")
        return cls(plain, named or revision)


def is_hub_name(name: str | Path) -> bool:
    """Whether a name says ``hub:``, and nothing of that name lies on the disk."""
    return _text(name).startswith(PREFIX) and not os.path.lexists(name)


def hint(name: str | Path) -> str:
    """Half a sentence for a name that does not exist, if the hub may have a model of it; else nothing."""
    plain = _text(name)
    return f", or name a model of the hub, to be downloaded, as {PREFIX}{plain}" if _ID.fullmatch(plain) else ""


def _text(name: str | Path) -> str:
    return name.as_posix() if isinstance(name, Path) else name


# ---- from the hub ---------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def model_folder(name: str | Path, *, revision: str | None = None, token: str | None = None) -> Iterator[Path]:
    """The folder of a model: the one of this name on the disk, else that of the hub's model, downloaded if it is not here.

    What is wrong with the hub's files is said by their name on the hub, not by their place in a cache.

    Raises:
        UserError: there is no such model, or it cannot be reached or used.
        Missing: ``huggingface_hub`` is not installed.
    """
    if os.path.lexists(name):
        if revision is not None:
            raise UserError(f"{name} is on this disk, where a model has no revisions: leave out the revision")
        yield Path(name)
        return
    model = HubModel.read(name, revision)
    folder = download(model, token=token)
    try:
        yield folder
    except UserError as error:
        reason = str(error).replace(f"{folder}{os.sep}", "").replace(str(folder), "it")
        reason = re.sub("[;:] (else )?copy .*", "", reason)  # the way out for a folder of one's own
        owner, name_ = model.id.split("/")
        raise UserError(
            f"{model} cannot be used: {reason}; tell its owner, or, if it was sound before, remove it from the hub's cache "
            f"(models--{owner}--{name_}) to download it again"
        ) from error


def download(model: HubModel, *, token: str | None = None) -> Path:
    """The folder with a model's files in the hub's cache; what is missing there is downloaded, and that is said.

    Without a network, what was downloaded before is used, and that is said, too.

    Raises:
        UserError: it cannot be had; the message says why and what to do.
        RunFailure: the disk is full.
        Missing: ``huggingface_hub`` is not installed.
    """
    hub = _library(f"the model {model}")
    wanted = (CONFIG, WEIGHTS, CARD, PANEL)
    with _worded(hub, model, "download", token):
        try:
            info = _api(hub, token).model_info(model.id, revision=model.revision, files_metadata=True)
        except Exception as error:
            down = _is_unreachable(hub, error) or (_status(error) or 0) >= 500
            if not down or (folder := _cached(hub, model)) is None:
                raise
            say(f"note: {_host(hub)} cannot be reached: {model} is the copy that was downloaded before (commit {folder.name[:7]})")
            return folder
        sizes = {file.rfilename: file.size or 0 for file in info.siblings or []}
        if absent := [name for name in (CONFIG, WEIGHTS) if name not in sizes]:
            raise UserError(f"{model} holds no model of Transfigure: it has no {' and no '.join(absent)}")
        left = [name for name in wanted if name in sizes and _place(hub, model.id, name, info.sha) is None]
        if left:
            say(f"downloading {model} ({_size(sum(sizes[name] for name in left))}) from {_host(hub)} to the hub's cache")
        with _spoken_for(hub):
            return Path(hub.snapshot_download(model.id, revision=model.revision, allow_patterns=list(wanted), token=token))


def base_of(origin: Path | None) -> tuple[HubModel, Path] | None:
    """The hub's model that a translator came from, and its folder in the cache; None for one that came from elsewhere."""
    if origin is None or not is_hub_name(origin):
        return None
    model = HubModel.read(origin)
    folder = _cached(_library(f"the model {model}"), model)
    return None if folder is None else (model, folder)


def _cached(hub: Any, model: HubModel) -> Path | None:
    found = [_place(hub, model.id, name, model.revision) for name in (CONFIG, WEIGHTS)]
    return None if found[0] is None or None in found else found[0].parent


def _place(hub: Any, name: str, file: str, revision: str | None) -> Path | None:
    """Where the cache has a file of a commit or, as far as it is known, of a branch."""
    found = hub.try_to_load_from_cache(name, file, revision=revision)
    return Path(found) if isinstance(found, str) else None


# ---- to the hub -----------------------------------------------------------------------------------------------------------------


def push(folder: Path, model: HubModel, *, private: bool = False, overwrite: bool = False, token: str | None = None) -> str:
    """Upload a model's folder in one commit; the repository is created if it is not there.

    Args:
        folder: nothing but the files to upload.
        model: its name on the hub.
        private: create the repository for yourself alone.
        overwrite: replace the files of a repository that holds something else.
        token: of the hub, in place of the one you logged in with.

    Returns:
        The address of the model's page.

    Raises:
        UserError: you may not, the repository holds something else, or the hub cannot be reached.
        Missing: ``huggingface_hub`` is not installed.
    """
    hub = _library("pushing a model to the hub")
    api = _api(hub, token)
    files = {file.name: file.stat().st_size for file in sorted(folder.iterdir())}
    with _worded(hub, model, "push", token):
        if not overwrite:
            _check_target(hub, api, model, files, token)
        api.create_repo(model.id, private=True if private else None, exist_ok=True)
        if private and not api.model_info(model.id).private:  # it was there before, or the server knows no private ones: nobody says so
            raise UserError(f"{model.id} on {_host(hub)} is public: make it private on its page first, or push to another name")
        for note in _notes(folder):
            say(f"note: {note}")
        say(f"uploading {len(files)} files ({_size(sum(files.values()))}) to {model.id} on {_host(hub)}")
        with _spoken_for(hub):
            api.upload_folder(
                repo_id=model.id,
                folder_path=folder,
                revision=model.revision,
                commit_message=f"A translator, by Transfigure {__version__}",
                delete_patterns=[] if PANEL in files else [PANEL],  # of an earlier push
            )
    return f"{urlsplit(hub.constants.ENDPOINT).scheme}://{_host(hub)}/{model.id}"


def _check_target(hub: Any, api: Any, model: HubModel, files: Iterable[str], token: str | None) -> None:
    """See that a repository may be written to as a folder may be: one with an older model of ours, or with none of these files.

    Raises:
        UserError: it may not.
    """
    try:
        info = api.model_info(model.id)
    except hub.errors.RepositoryNotFoundError:
        return
    there = {file.rfilename for file in info.siblings or []} & {*files}
    if there and (
        CONFIG not in there or not is_ours(Path(hub.hf_hub_download(model.id, CONFIG, revision=info.sha, token=token)).resolve())
    ):
        raise UserError(
            f"{model.id} holds {', '.join(sorted(there))} already, and transfigure did not write it: push to another name, or replace "
            f"{'it' if len(there) == 1 else 'them'} with --overwrite"
        )


def _notes(folder: Path) -> list[str]:
    """What a person may not have thought of."""
    front = (folder / CARD).read_text(encoding="utf-8").split("\n---", 1)[0]
    return [
        *([f"{PANEL} shows images of your data: leave it out by --no-panel (panel=False)"] if (folder / PANEL).is_file() else []),
        *(["no licence is named, so nobody may use the model: --licence mit, for instance"] if "\nlicense:" not in front else []),
    ]


# ---- the library ------------------------------------------------------------------------------------------------------------------


def _library(purpose: str) -> Any:
    try:
        import huggingface_hub
        import huggingface_hub.errors
    except ImportError as error:
        raise Missing.extra("huggingface_hub", "hub", purpose) from error
    return huggingface_hub


def _api(hub: Any, token: str | None) -> Any:
    return hub.HfApi(library_name="transfigure", library_version=__version__, token=token)


@contextlib.contextmanager
def _spoken_for(hub: Any) -> Iterator[None]:
    """The library's warnings come back as our sentences; its progress bars are for terminals: elsewhere each state would be a line.

    What the user has chosen by the library's variables stays.
    """
    bars, logs = hub.utils, hub.utils.logging
    level = logs.get_verbosity()
    hide = not on_terminal() and hub.constants.HF_HUB_DISABLE_PROGRESS_BARS is None
    hide = hide and not bars.are_progress_bars_disabled()
    if hide:
        bars.disable_progress_bars()
    if level == logs.WARNING:
        logs.set_verbosity_error()
    try:
        yield
    finally:
        logs.set_verbosity(level)
        if hide:
            bars.enable_progress_bars()


def _host(hub: Any) -> str:
    """The hub's name, without what an address may hold of a person."""
    return str(urlsplit(hub.constants.ENDPOINT).netloc).rpartition("@")[2]


def _size(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size:,} bytes"


@contextlib.contextmanager
def _worded(hub: Any, model: HubModel, doing: str, token: str | None) -> Iterator[None]:
    """Turn what the library raises into one sentence, without anybody's token."""
    try:
        yield
    except TransfigureError:
        raise
    except Exception as error:
        if (found := _sentence(hub, error, model, doing)) is None:
            raise
        secret = token or hub.get_token()
        kind, text = found
        raise kind(text.replace(secret, "***") if secret else text) from error


def _sentence(hub: Any, error: Exception, model: HubModel, doing: str) -> tuple[type[TransfigureError], str] | None:
    errors, host, cause = hub.errors, _host(hub), error
    while isinstance(cause, errors.LocalEntryNotFoundError) and isinstance(cause.__cause__, Exception):  # what it could not do otherwise
        cause = cause.__cause__
    if _is_unreachable(hub, cause):
        offline = isinstance(cause, errors.OfflineModeIsEnabled)
        reason = "HF_HUB_OFFLINE is set" if offline else _first_line(cause)
        here = ", and no whole copy of it is in the hub's cache" if doing == "download" else ""
        way_out = "connect, or use a model directory" if doing == "download" else "connect, and try again"
        return UserError, f"{host} cannot be reached to {doing} {model.id} ({reason}){here}: {way_out}"
    if isinstance(cause, errors.GatedRepoError):
        return UserError, f"{model.id} on {host} is open only to those who accepted its conditions: do that on its page, and {_LOG_IN}"
    if isinstance(cause, errors.RevisionNotFoundError):
        return UserError, f"{model.id} on {host} has no revision {model.revision!r}: see its page for those that there are"
    status = _status(cause)
    if isinstance(cause, errors.RepositoryNotFoundError) and doing == "download":
        return (
            UserError,
            f"there is no model {model.id} on {host} (and no folder of that name here), or it is private: check the name, or {_LOG_IN}",
        )
    if status == 401 or isinstance(cause, errors.LocalTokenNotFoundError):
        return UserError, f"{host} does not know you, so it lets you {doing} nothing: {_LOG_IN}, with a token that may write"
    if status is not None:
        said = _first_line(getattr(cause, "server_message", None) or "")
        reason = f"{status}{f': {said}' if said else ''}"
        way_out = "check the name's owner, and that your token may write" if status in (403, 404) else "try again later"
        return UserError, f"{host} refuses to {doing} {model.id} ({reason}): {way_out}"
    if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
        return RunFailure, f"the disk is full while {model} is downloaded to the hub's cache: free some space and run again to go on"
    if isinstance(cause, ValueError) and "README.md" in str(cause):
        reason = _first_line(str(cause).replace("\n", " "))
        return UserError, f"{host} refuses the card's metadata ({reason}): correct it (--licence, or README.md of a model directory)"
    if isinstance(cause, OSError):
        return UserError, f"{model} did not {'arrive' if doing == 'download' else 'go'} whole ({_first_line(cause)}): try again"
    return None


def _is_unreachable(hub: Any, error: BaseException) -> bool:
    """Whether nobody answered, as opposed to an answer that we do not like."""
    http_error = hub.errors.HfHubHTTPError.__mro__[1]  # the base of all errors of whichever HTTP library this one uses
    no_answer = isinstance(error, http_error) and getattr(error, "response", None) is None
    return no_answer or isinstance(error, hub.errors.OfflineModeIsEnabled)


def _status(error: BaseException) -> int | None:
    """Of the answer that an error is about."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    return status if isinstance(status, int) else None


def _first_line(error: object) -> str:
    text = next(
        (line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__ if not isinstance(error, str) else ""
    )
    return re.sub(r"^\[Errno -?\d+\] ", "", text)[:200]

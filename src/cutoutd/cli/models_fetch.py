"""`cutoutd models available` and `cutoutd models fetch`: lists well-known models, and downloads one of them.

Only these commands, and nothing in the daemon, fetch a model; this process watches no folder.
"""

from __future__ import annotations

import os
import shlex
import sys
import time
from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, Final

import typer

from cutoutd.cli.models_add import MEMORY_MB, MemoryOption, ProviderOption, take
from cutoutd.cli.printing import say
from cutoutd.clock import Clock
from cutoutd.errors import ModelError, UsageError
from cutoutd.models import catalog, known
from cutoutd.process.child_environment import keep_for_uploader
from cutoutd.process.installer import how_to_add
from cutoutd.settings import places

if TYPE_CHECKING:
    import ssl
    from pathlib import Path

    from cutoutd.hosted.download import FetchError
    from cutoutd.hosted.partial import PartialFile
    from cutoutd.models.known import KnownModel, KnownModels

_UNDER: Final = 22
"""Columns by which the description of a model is indented, beside its name."""

_NEEDED: Final = ("httpcore", "certifi")
_EVERY_S: Final = 0.2
_EVERY_SHARE: Final = 0.1

CONTEXT: ssl.SSLContext | None = None
"""TLS context; None: the authorities that come with the client. Tests set their own."""


def available() -> None:
    """List well-known models: size, licence and quality. `models add FILE` recognises those that have a checksum."""
    here = {model.sha256 for model in catalog.read()} | {model.name for model in catalog.read()}
    for model in known.read().models:
        size = f"{model.bytes / 1e6:.1f} MB" if model.bytes else "size unknown"
        mark = "here already" if {model.name, model.sums.sha256} & here else _how_to_get(model)
        say(f"{model.name:<21} {size:>12}  {model.spec.licence}: {model.use}", indent=_UNDER)
        for said in (f"{model.spec.input_size} px; {model.quality}", f"{model.spec.source}; {mark}"):
            say(f"{'':<{_UNDER}}{said}", indent=0)


def _how_to_get(model: KnownModel) -> str:
    if not model.proof:
        return f"no checksum is published; to add its file: {_added_by_hand(model)}"
    known_by = (
        "known by its SHA-256"
        if model.sums.sha256
        else "known by its MD5 alone, which shows damage but not tampering"
    )
    return f"{known_by}; {f'`cutoutd models fetch {model.name}` gets it' if model.url else 'no address to fetch it from: add its file'}"


def fetch(
    *,
    name: Annotated[str, typer.Argument(help="The model, as `cutoutd models available` names it.")],
    accept_licence: Annotated[
        bool, typer.Option("--accept-licence", help="Accept a licence that forbids commercial use.")
    ] = False,
    system: Annotated[bool, typer.Option(help="For a system service: into /var/lib/cutoutd.")] = False,
    provider: ProviderOption = "auto",
    memory_mb: MemoryOption = MEMORY_MB,
) -> None:
    """Fetch a known model from where it is published, check it, try it, and add it. A download that broke off is resumed."""
    facts = known.read()
    model = facts.find(name)
    _check_possible(model)
    _confirm_terms(model, accepted=accept_licence)
    user, machine = places.model_dirs()
    file, sums = _fetch_checked(model, facts, machine if system else user)
    take(
        file,
        replace(model.spec, file=file, sha256=sums.sha256),
        system=system,
        anyway=False,
        provider=provider,
        memory_mb=memory_mb,
    )
    for left in (file, _note_path(file)):
        left.unlink(missing_ok=True)


def _check_possible(model: KnownModel) -> None:
    """Check that the model has an address and a checksum, and that no model of that name exists."""
    if any(one.name == model.name for one in catalog.read()):
        raise UsageError(
            f"the model {model.name!r} is here already", advice="`cutoutd models list` shows it."
        )
    if not model.proof or not model.url:
        what = "no checksum of it is published" if not model.proof else "no address of it is known"
        raise UsageError(
            f"{what}, so it is not fetched",
            advice=f"Get {model.file} from where you trust it, and add it: {_added_by_hand(model)}",
        )


def _added_by_hand(model: KnownModel) -> str:
    """Return the command that adds a file without a checksum, with the properties of the model."""
    if model.proof:
        return f"cutoutd models add {model.file}"
    spec = model.spec
    options = [
        f"--name {model.name}",
        f"--size {spec.input_size}",
        f"--mean {','.join(map(str, spec.mean))}",
        f"--std {','.join(map(str, spec.std))}",
        f"--scale {spec.scale.value}",
        "--logits" if spec.logits else "--no-logits",
        "--min-max" if spec.min_max else "--no-min-max",
        *(["--letterbox"] * spec.letterbox),
        *([f"--output {spec.output}"] * bool(spec.output)),
        *(f"--input {name}={value:g}" for name, value in spec.inputs),
        f"--licence {shlex.quote(spec.licence)}",
    ]
    return f"cutoutd models add {model.file} {' '.join(options)}"


def _sums(path: Path) -> known.Checksums:
    try:
        return known.checksums(path)
    except OSError as error:
        raise ModelError(f"it cannot be read ({error.strerror})", path=path, advice="Try again.") from error


def _confirm_terms(model: KnownModel, *, accepted: bool) -> None:
    """Print restrictive terms and have them accepted before the first request."""
    if model.commercial:
        return
    say(f"{model.name} is under {model.spec.licence}: {model.use}.")
    if accepted:
        return
    if sys.stdin.isatty() and typer.confirm("Do you accept that, and fetch it?", default=False):
        return
    raise UsageError(
        "nothing was fetched: its terms were not accepted", advice="If you accept them, add --accept-licence."
    )


def _fetch_checked(model: KnownModel, facts: KnownModels, directory: Path) -> tuple[Path, known.Checksums]:
    """Fetch and check the file. Returns its path and its checksums."""
    missing = [one for one in _NEEDED if find_spec(one) is None]
    if missing:
        raise UsageError(
            f"what fetches a model is not installed: {' and '.join(missing)}",
            advice=f"{how_to_add('hosted', _NEEDED)}; or {_by_hand(model)}",
        )
    keep_for_uploader(os.environ)  # before the client and its OpenSSL are loaded
    from cutoutd.hosted.download import FetchError  # noqa: PLC0415 -- the one command of `models` with a network
    from cutoutd.hosted.partial import PartialFile  # noqa: PLC0415

    path = directory / f".{model.name}.onnx.part"
    with PartialFile(path, model.url) as partial:
        sums = _sums(path) if partial.size else None
        if sums is None or not model.is_file(sums):
            try:
                _download(model, facts, partial)
            except FetchError as error:
                raise _with_advice(model, error, partial) from error
            sums = _check(model, partial)
    return path, sums  # the checksums that were compared are required from now on


def _download(model: KnownModel, facts: KnownModels, partial: PartialFile) -> None:
    from cutoutd.hosted.download import Download, DownloadTarget  # noqa: PLC0415 -- as above

    size = f"{model.bytes / 1e6:.1f} MB" if model.bytes else "size unknown"
    on = f", going on after {partial.size / 1e6:.1f} MB" if partial.version else ""
    say(f"{model.name}, {size}, from {model.url}{on}", flush=True)
    wanted = DownloadTarget(url=model.url, hosts=facts.hosts, bytes=model.bytes)
    progress = _Progress()
    download = Download(wanted, partial, clock=Clock(), on_progress=progress, context=CONTEXT)
    try:
        download.fetch()
    finally:
        progress.end()
        for contact in download.contacts:
            say(f"contacted {contact.host}: {contact.answer}", flush=True)


def _check(model: KnownModel, partial: PartialFile) -> known.Checksums:
    """Compare size and checksum before the file is loaded; a wrong file is removed."""
    sums = _sums(partial.path)
    size_is_right = not model.bytes or partial.size == model.bytes
    if size_is_right and model.is_file(sums):
        say(f"{partial.size:,} bytes; its {model.proof} is as published")
        return sums
    partial.discard()
    found = sums.sha256 if model.sums.sha256 else sums.md5
    raise ModelError(
        f"what came is another file (its {model.proof} is {found[:16]}…, published is "
        f"{(model.sums.sha256 or model.sums.md5)[:16]}…); it was thrown away",
        advice="Try again later. If it stays so, the publisher has replaced the file: do not use it unchecked.",
    )


def _with_advice(model: KnownModel, error: FetchError, partial: PartialFile) -> FetchError:
    again = "Run the command again to go on" if partial.version else "Run the command again"
    return type(error)(error.cause, path=error.path, advice=error.advice or f"{again}; or {_by_hand(model)}")


def _by_hand(model: KnownModel) -> str:
    return (
        f"download {model.url} where there is a network, and add it here: "
        f"cutoutd models add {model.file} (it is known by its {model.proof})."
    )


def _note_path(file: Path) -> Path:
    return file.with_name(file.name + ".json")


class _Progress:
    """Prints progress: on a terminal in one line, elsewhere a line for each tenth."""

    def __init__(self) -> None:
        self._is_drawn = sys.stderr.isatty()
        self._next_s = 0.0
        self._next_share = _EVERY_SHARE

    def __call__(self, here: int, total: int) -> None:
        share = here / total if total else 0.0
        words = f"{here / 1e6:.1f} of {total / 1e6:.1f} MB, {share:.0%}" if total else f"{here / 1e6:.1f} MB"
        now_s = time.monotonic()
        if self._is_drawn and now_s >= self._next_s:
            self._next_s = now_s + _EVERY_S
            print(f"\r{words} ", end="", file=sys.stderr, flush=True)
        elif not self._is_drawn and share >= self._next_share:
            self._next_share = share + _EVERY_SHARE
            print(words, file=sys.stderr, flush=True)

    def end(self) -> None:
        """End the line."""
        if self._is_drawn and self._next_s:
            print(file=sys.stderr)

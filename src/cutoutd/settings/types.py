"""What the keys of the configuration take: the words that some of them choose from, and how single values are written.

Each type turns what was written into the value that is used, or raises ValueError with what would be right. It must not
look at more than the one value, nor at files.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Generic, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo
from pydantic_core import CoreSchema, core_schema

from cutoutd.settings import places
from cutoutd.settings.problem import ProblemCode, UnfitValueError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

AUTO: Final = "auto"
"""How a number says that it is chosen by the machine; it is None as a value."""

_MODE: Final = re.compile(r"0?[0-7]{3}")
_OWNER_BITS: Final = 0o600
_SHOWN_CHARACTERS: Final = 60
_LONG: Final = 1e15  # numbers from here on are shorter with an exponent


@dataclass(frozen=True, slots=True)
class ReadBy:
    """Annotation of a key whose value is parsed by a function; pydantic applies no rules of its own to the value.

    Args:
        read: parses the written value with the validation context; raises ValueError with what would be right.
    """

    read: Callable[[object, ValidationInfo], object]

    def __get_pydantic_core_schema__(self, _source: object, _handler: object) -> CoreSchema:
        return core_schema.with_info_plain_validator_function(self.read)


class Table(BaseModel):
    """A table of the configuration: frozen and strict; unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def lenient(default: object, description: str) -> Any:  # noqa: ANN401 -- as `Field`
    """Declare a key that takes words or a list: not strict, as TOML gives texts and lists for enums and tuples."""
    return Field(default=default, strict=False, description=description)


def number(default: float | None, bounds: tuple[float, float], description: str) -> Any:  # noqa: ANN401 -- as `Field`
    """Declare a key that takes a number.

    Args:
        default: in the key's own unit; None: ``auto``.
        bounds: lowest and highest valid value.
        description: meaning of the key, with its unit.
    """
    return Field(default=default, ge=bounds[0], le=bounds[1], description=description)


class LogLevel(StrEnum):
    """The lowest level that is logged."""

    DEBUG = "debug"  # details for developers
    INFO = "info"  # one line for each result
    WARNING = "warning"  # needs attention
    ERROR = "error"  # something failed


class LogFormat(StrEnum):
    """The format of log lines."""

    AUTO = "auto"  # console on a terminal, JSON elsewhere
    CONSOLE = "console"  # for people
    JSON = "json"  # for programs


class PictureFormat(StrEnum):
    """A supported picture format, recognised by a file's first bytes."""

    JPEG = "jpeg"
    PNG = "png"
    TIFF = "tiff"
    WEBP = "webp"
    AVIF = "avif"
    HEIC = "heic"  # and HEIF
    JPEG2000 = "jpeg2000"
    GIF = "gif"
    BMP = "bmp"
    RAW = "raw"  # of any camera


class ExecutionProvider(StrEnum):
    """What a model runs on: onnxruntime's execution providers, by short names."""

    AUTO = "auto"  # CUDA if it is there, else the processor
    CPU = "cpu"
    CUDA = "cuda"
    TENSORRT = "tensorrt"
    ROCM = "rocm"
    OPENVINO = "openvino"
    DIRECTML = "directml"
    COREML = "coreml"


class Sandbox(StrEnum):
    """The behaviour where the system lacks a layer of the sandbox."""

    AUTO = "auto"  # work goes on behind the others, and log and sidecars say which
    REQUIRED = "required"  # cutoutd does not start


class Route(StrEnum):
    """Where a folder's pictures are cut."""

    LOCAL = "local"  # on this machine
    HOSTED = "hosted"  # by the hosted service, all of them
    LOCAL_THEN_HOSTED = "local-then-hosted"  # on this machine, and by the service where that is not enough
    CLUSTER = "cluster"  # on machines of one's own, all of them
    CLUSTER_THEN_LOCAL = "cluster-then-local"  # on these, and on this machine while they are away

    @property
    def uses_hosted(self) -> bool:
        """Whether a hosted service may get pictures."""
        return self in (Route.HOSTED, Route.LOCAL_THEN_HOSTED)

    @property
    def uses_cluster(self) -> bool:
        """Whether other machines of one's own may get pictures."""
        return self in (Route.CLUSTER, Route.CLUSTER_THEN_LOCAL)


class HostedProvider(StrEnum):
    """The API contract of a hosted service."""

    REMOVEBG = "removebg"  # remove.bg v1.0, and servers that speak it
    REMBG = "rembg"  # a self-hosted server: `rembg s`
    WITHOUTBG = "withoutbg"  # its cloud, or a self-hosted server


class Existing(StrEnum):
    """What becomes of pictures that were in a folder before its first start."""

    CUT = "cut"  # cut like any other
    SKIP = "skip"  # left alone until they change


class RawPairs(StrEnum):
    """Which file of a shot is cut, where a camera wrote a raw file and a JPEG or HEIC."""

    JPEG = "jpeg"  # the JPEG or HEIC
    RAW = "raw"  # the raw file
    BOTH = "both"  # each by itself


class Watch(StrEnum):
    """The method of watching a folder for changes."""

    AUTO = "auto"  # depends on the file system
    NATIVE = "native"  # file system events
    POLL = "poll"  # periodic scans


class Order(StrEnum):
    """Which picture of a folder comes first."""

    OLDEST = "oldest"  # in the order they came
    NEWEST = "newest"  # the last one, for somebody who waits for it


class Names(StrEnum):
    """How close the names of results keep to those of their sources."""

    AUTO = "auto"  # the source's own, and another one only where the output refuses it
    PORTABLE = "portable"  # without what Windows refuses, wherever the output is


class OnConflict(StrEnum):
    """What happens when a file that is not ours has a cutout's name."""

    SUFFIX = "suffix"  # the cutout gets another name
    OVERWRITE = "overwrite"  # the file is replaced
    SKIP = "skip"  # the cutout is not published


class Moves(StrEnum):
    """What becomes of the result of a picture that is renamed or moved inside its folder."""

    FOLLOW = "follow"  # it gets the name it would have had at the new place, and its sidecar with it
    KEEP = "keep"  # it stays under its name


class Originals(StrEnum):
    """What becomes of an original once its cutout is published."""

    KEEP = "keep"  # it stays
    MOVE = "move"  # it goes to originals_dir
    DELETE = "delete"  # it is removed


class Companions(StrEnum):
    """What becomes of what other programs wrote beside an original, once that is moved or deleted."""

    AUTO = "auto"  # moved with it, but never deleted
    FOLLOW = "follow"  # moved or deleted with it
    KEEP = "keep"  # it stays


@dataclass(frozen=True, kw_only=True, slots=True)
class Written(Generic[T]):
    """A parsed value together with its text, which `cutoutd check` prints."""

    text: str
    value: T

    def __str__(self) -> str:
        return self.text


def parsed_by(read: Callable[[object], T]) -> ReadBy:
    """Annotate a key whose text is parsed once.

    Args:
        read: returns the parsed value, or raises ValueError with what would be right.
    """

    def validated(written: object, _: ValidationInfo) -> Written[T]:
        return written if isinstance(written, Written) else Written(text=str(written), value=read(written))

    return ReadBy(validated)


def format_value(written: object) -> str:
    """Format a value as in a configuration, for messages; a long one is truncated."""
    if isinstance(written, dict):
        return "a table"
    if isinstance(written, float):
        text = _plain_number(written)
    else:
        text = json.dumps(written, ensure_ascii=False) if isinstance(written, bool | str) else str(written)
    if len(text) <= _SHOWN_CHARACTERS:
        return text
    end = '..."' if isinstance(written, str) else "..."
    return text[: _SHOWN_CHARACTERS - len(end)] + end


def _plain_number(number: float) -> str:
    """Write a number as people do: 5 rather than 5.0, and 1e300 rather than 1e+300."""
    is_short = number.is_integer() and abs(number) < _LONG
    return str(int(number)) if is_short else str(number).replace("e+", "e")


def _place(written: object, info: ValidationInfo) -> object:
    """Resolve a path against the directory of the configuration file, which the validation context gives."""
    return places.absolute(str(written), info.context) if isinstance(written, str | Path) else written


def _place_or_none(written: object, info: ValidationInfo) -> object:
    return None if written == "" or written is None else _place(written, info)


def _state_dir(written: object, info: ValidationInfo) -> object:
    return places.state_dir() if written == "" else _place(written, info)


def _number_or_auto(written: object) -> object:
    return None if written == AUTO else written


def _name(written: object) -> object:
    if isinstance(written, str) and not (
        written and written == written.strip() and "/" not in written and written.isprintable()
    ):
        raise ValueError(
            f'{format_value(written)} is not possible; a name is printable text without "/" and without spaces at its ends'
        )
    return written


def _formats(written: object) -> object:
    if written in ([], ()):
        raise ValueError("is empty, so no picture could be read")
    if not isinstance(written, list | tuple) or not all(isinstance(one, str) for one in written):
        return written
    known = tuple(map(str, PictureFormat))
    for one in written:
        if one not in known:
            raise ValueError(f"{format_value(one)} is not a format; there are {', '.join(known)}")
    return tuple(PictureFormat(one) for one in dict.fromkeys(written))


def _pattern(written: object) -> object:
    if isinstance(written, str) and not written.strip("/"):
        raise ValueError(f'"{written}" names nothing; a pattern is a text such as "*.jpg" or "drafts/"')
    return written


def _patterns(written: object) -> object:
    if written in ([], ()):
        raise UnfitValueError('is empty, so no file would be taken; ["*"] takes all', ProblemCode.NO_PATTERN)
    return written


def _mode(written: object) -> int | None:
    if written == "":
        return None
    if not isinstance(written, str):
        raise ValueError(f'{format_value(written)} is not possible; it takes a text in quotes such as "0664"')  # noqa: TRY004 -- as in `_command`
    if not _MODE.fullmatch(written):
        raise ValueError(f'{format_value(written)} is not possible; it takes an octal number such as "0664"')
    mode = int(written, 8)
    if mode & _OWNER_BITS != _OWNER_BITS:
        raise ValueError(f'"{written}" is not possible; the owner must be able to read and write ("06..")')
    return mode


def _command(written: object, info: ValidationInfo) -> object:
    """Parse a program and its arguments; the program's path is resolved, a bare name stays as it is, for PATH."""
    if isinstance(written, str):
        raise ValueError(  # noqa: TRY004 -- pydantic turns this kind into a message of ours
            f"{format_value(written)} is one text; a command is a list, its program and then its arguments, such as "
            '["notify-send", "cutoutd"]; there is no shell'
        )
    if not isinstance(written, list | tuple) or not all(isinstance(one, str) for one in written):
        return written
    if any("\0" in one for one in written) or (written and not written[0].strip()):
        raise ValueError("names no program; the first text of a command is its program")
    if written and "/" in written[0]:
        return (str(places.absolute(written[0], info.context)), *written[1:])
    return written


Place = Annotated[Path, BeforeValidator(_place)]
PlaceOrNone = Annotated[Path | None, BeforeValidator(_place_or_none)]
StateDir = Annotated[Path, BeforeValidator(_state_dir)]
NumberOrAuto = Annotated[float | None, BeforeValidator(_number_or_auto)]
WholeOrAuto = Annotated[int | None, BeforeValidator(_number_or_auto)]
Name = Annotated[str, BeforeValidator(_name)]
Pattern = Annotated[str, BeforeValidator(_pattern)]
Patterns = Annotated[tuple[Pattern, ...], BeforeValidator(_patterns)]
Formats = Annotated[tuple[PictureFormat, ...], BeforeValidator(_formats)]
Command = Annotated[tuple[str, ...], BeforeValidator(_command)]
Mode = Annotated[Written[int | None], parsed_by(_mode)]

"""The words a setting may have, where it may have only some.

Values only; what each of them leads to is decided where it is used.
"""

from __future__ import annotations

from enum import StrEnum


class LogLevel(StrEnum):
    """From which weight on an event is logged."""

    DEBUG = "debug"  # what only a developer wants to know
    INFO = "info"  # one line for each result
    WARNING = "warning"  # what deserves a look
    ERROR = "error"  # what stopped something


class LogFormat(StrEnum):
    """How a line of the log looks."""

    AUTO = "auto"  # console on a terminal, JSON elsewhere
    CONSOLE = "console"  # for eyes
    JSON = "json"  # for programs


class PictureFormat(StrEnum):
    """What can be read; the worker tells it by a file's first bytes."""

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


class Sandbox(StrEnum):
    """What happens where the system lacks a layer of the sandbox."""

    AUTO = "auto"  # work goes on behind the others, and log and sidecars say which
    REQUIRED = "required"  # cutoutd does not start


class Route(StrEnum):
    """Where a folder's pictures are cut."""

    LOCAL = "local"  # on this machine
    HOSTED = "hosted"  # by the hosted service, all of them
    LOCAL_THEN_HOSTED = "local-then-hosted"  # on this machine, and by the service where that is not enough


class HostedProvider(StrEnum):
    """Whose contract a hosted service speaks."""

    REMOVEBG = "removebg"  # remove.bg v1.0, and servers that speak it
    REMBG = "rembg"  # a server of one's own: `rembg s`
    WITHOUTBG = "withoutbg"  # its cloud, or a server of one's own


class Existing(StrEnum):
    """What becomes of pictures that were in a folder before its first start."""

    CUT = "cut"  # cut like any other
    SKIP = "skip"  # left alone until they change


class RawPairs(StrEnum):
    """Which recording of a shot is cut, where a camera wrote a raw file and a JPEG or HEIC of it."""

    JPEG = "jpeg"  # the JPEG or HEIC
    RAW = "raw"  # the raw file
    BOTH = "both"  # each by itself


class Watch(StrEnum):
    """How changes in a folder are noticed."""

    AUTO = "auto"  # by its file system
    NATIVE = "native"  # by events of the system
    POLL = "poll"  # by looking again and again


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

"""What can be wrong with a configuration, as values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from cutoutd.errors import ConfigurationError


class ProblemCode(StrEnum):
    """The problems that the page says in words of its own."""

    NO_PATTERN = "no_pattern"
    MARGIN_WITHOUT_CROP = "margin_without_crop"
    BITS_OF_FORMAT = "bits_of_format"  # 16 bits a colour, and the format has 8
    PROFILE_OF_16_BITS = "profile_of_16_bits"  # colours are converted in 8 bits
    TRANSPARENT_JPEG = "transparent_jpeg"
    BACKGROUND_OF_MATTE = "background_of_matte"  # only the matte is written
    SHADOW_OF_MATTE = "shadow_of_matte"  # likewise
    SCALE_WITH_CROP = "scale_with_crop"
    POSITION_WITHOUT_CANVAS = "position_without_canvas"
    POSITION_WITHOUT_SCALE = "position_without_scale"  # it is to stay where it was
    MIN_ABOVE_QUALITY = "min_above_quality"
    QUALITY_OF_LOSSLESS = "quality_of_lossless"
    MIN_ABOVE_MAX_PX = "min_above_max_px"
    CANVAS_WITHOUT_DPI = "canvas_without_dpi"  # a size on paper
    CANVAS_ABOVE_MAX_PX = "canvas_above_max_px"
    CANVAS_BELOW_MIN_PX = "canvas_below_min_px"
    CANVAS_ABOVE_LIMIT = "canvas_above_limit"  # of pixels, for all pictures
    CANVAS_OF_FORMAT = "canvas_of_format"  # larger than the format can be
    SUFFIX_TAKEN = "suffix_taken"  # another rendition has it


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """One problem of a configuration.

    Attributes:
        table: heading of the table, with its name or number if there are several; empty for the whole file.
        key: key in the table; empty for the whole table.
        text: the problem and what would be right, to follow the key and a colon.
        code: which problem it is; None: it has no code.
    """

    table: str
    key: str
    text: str
    code: ProblemCode | None = None


class UnfitValueError(ValueError):
    """A validator refuses a value; the text follows the key and a colon.

    Args:
        text: the problem and what would be right.
        code: which problem it is.
    """

    def __init__(self, text: str, code: ProblemCode) -> None:
        super().__init__(text)
        self.code = code


class InvalidSettingsError(ConfigurationError):
    """Something in a configuration is wrong.

    Args:
        cause: all problems, in words, with their places.
        problems: those of the tables, in their order.
        advice: what to do, if it differs from the class's advice.
    """

    def __init__(self, cause: str, problems: tuple[Problem, ...], *, advice: str | None = None) -> None:
        super().__init__(cause, advice=advice)
        self.problems = problems

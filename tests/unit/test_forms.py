"""The forms that the page offers: lists of renditions that the loader accepts, with explanations."""

from __future__ import annotations

import pytest

from cutoutd.recipe import Channels, Format
from cutoutd.settings import forms
from cutoutd.settings.schema import Folder

NAMES = ("transparent", "shop-white", "marketplace", "designer")


def folder_of(name: str) -> Folder:
    """Return a folder whose renditions are those of this form."""
    form = forms.find(name)
    assert form is not None
    return Folder.model_validate(
        {"name": "a", "input": "/a", "output": "/b", "rendition": [dict(one) for one in form.renditions]}
    )


def test_the_forms_are_offered_in_the_order_of_the_file() -> None:
    """The plainest comes first."""
    assert tuple(one.name for one in forms.every()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_form_is_explained_and_names_no_file(name: str) -> None:
    """People choose by the description.

    Results lie directly in the output, and no background picture is needed.
    """
    form = forms.find(name)
    assert form is not None
    assert form.title
    assert form.explanation.endswith(".")
    renditions = folder_of(name).rendition
    assert all(one.background_picture is None and not one.directory for one in renditions)


def test_each_form_makes_what_it_says() -> None:
    """A transparent PNG, white squares, and a layout with its mask."""
    (clear,), (white,), (listing,), (layout, mask) = (folder_of(name).rendition for name in NAMES)
    assert (clear.format, clear.background.value) == (Format.PNG, None)
    assert (white.format, white.background.value, white.canvas_px) == (
        Format.JPEG,
        (255, 255, 255),
        (2000, 2000),
    )
    assert (listing.background.value, listing.scale.value, listing.min_px) == ((255, 255, 255), 0.88, 1000)
    assert (layout.format, layout.bits) == (Format.TIFF, 16)
    assert (mask.channels, mask.suffix) == (Channels.ALPHA, "-mask")


def test_there_is_no_form_of_another_name() -> None:
    """An unknown name gives None."""
    assert forms.find("none-such") is None

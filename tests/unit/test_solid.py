"""A matte without veils: windows become opaque; edges, holes and hair do not."""

from __future__ import annotations

import numpy as np

from cutoutd.engine.matting.solid import without_veils


def matte() -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    """Return a block with a window, a hole, and an edge that is soft over two pixels; uint8 (300, 300)."""
    alpha = np.zeros((300, 300), np.uint8)
    alpha[50:250, 50:250] = 255
    alpha[48, 50:250], alpha[49, 50:250] = 80, 170
    alpha[100:140, 100:140] = 90  # the window
    alpha[180:220, 180:220] = 0  # the hole
    return alpha


def test_a_window_becomes_opaque() -> None:
    """The window is far from all background."""
    assert (without_veils(matte())[100:140, 100:140] == 255).all()


def test_edge_and_hole_stay() -> None:
    """The edge is beside background, and the hole is background."""
    alpha, created = matte(), without_veils(matte())
    assert (created[:50] == alpha[:50]).all()
    assert (created[180:220, 180:220] == 0).all()
    assert (created >= alpha).all()


def test_a_veil_over_everything_is_solid() -> None:
    """No background is near."""
    assert (without_veils(np.full((20, 30), 100, np.uint8)) == 255).all()

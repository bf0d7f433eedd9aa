"""The running daemon tells pictures and folders apart: by what they are, not by what they are called."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.acceptance.conftest import Bench


def configured(bench: Bench, *folders: dict[str, Any]) -> Path:
    """A configuration with these folders; their places are the bench's where nothing else is said."""
    path = bench.root / "cutoutd.toml"
    lines = [
        "[pool]",
        "workers = 1",
        f"[service]\nstate_dir = '{bench.root / 'state'}'\nmin_free_disk_mb = 0",
    ]
    for folder in folders:
        lines.append("[[folder]]")
        keys = {"input": os.fspath(bench.input), "output": os.fspath(bench.output), "settle_s": 0.2, **folder}
        lines += [f"{key} = {value!r}" for key, value in keys.items()]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_a_shot_under_a_name_that_was_used_before_gets_a_result_of_its_own(
    bench: Bench, start: Callable[..., Any]
) -> None:
    """A camera's counter starts again, after the first shot was cut and removed."""
    daemon = start("--config", configured(bench, {"name": "shop", "originals": "delete"}))
    first = bench.drop("DSC_9999.jpg", hue=0)
    bench.wait_for(lambda: not first.exists(), "the first shot's end")
    kept = (bench.output / "DSC_9999.png").read_bytes()
    bench.drop("DSC_9999.jpg", hue=1)
    bench.wait_for(lambda: "DSC_9999-jpg.png" in bench.results(), "the second shot's result")
    bench.wait_for(lambda: not first.exists(), "the second shot's end")
    assert (bench.output / "DSC_9999.png").read_bytes() == kept
    assert daemon.end() == 0

"""Two machines of one owner: the hosted route of one uses the API of the other."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from tests.acceptance.conftest import picture
from tests.integration.serving import serving

if TYPE_CHECKING:
    from pathlib import Path

    from tests.acceptance.conftest import Bench

pytestmark = pytest.mark.small_model


@pytest.mark.parametrize("size", [(360, 270), (700, 525)])
def test_one_cutoutd_cuts_for_another(bench: Bench, tmp_path: Path, size: tuple[int, int]) -> None:
    """As remove.bg would, below and above the size of a preview; sidecar and ledger record what was sent and received."""
    width, height = size
    with serving(tmp_path / "other") as other:
        (tmp_path / "key").write_text(f"{other.key}\n", encoding="ascii")
        (tmp_path / "key").chmod(0o600)
        config = tmp_path / "here.toml"
        config.write_text(
            f'[service]\nstate_dir = "{tmp_path}/own-state"\n'
            f'[hosted]\nenabled = true\nprovider = "removebg"\nbase_url = "http://127.0.0.1:{other.port}"\n'
            f'api_key_file = "{tmp_path}/key"\nmax_credits_per_day = 10\n'
            f'[[folder]]\nname = "here"\ninput = "{bench.input}"\noutput = "{bench.output}"\nroute = "hosted"\n',
            encoding="utf-8",
        )
        draft = tmp_path / "draft.jpg"
        picture(width=width, height=height).save(draft, quality=90)
        os.utime(draft, (time.time() - 60,) * 2)
        draft.rename(bench.input / "a.jpg")
        done = bench.call("run", "--config", config, "--once")
        assert done.returncode == 0, done.stdout + done.stderr
        sidecar = bench.sidecar("a.png.json")
        assert (sidecar["route"], sidecar["model"]["name"]) == ("hosted", "removebg")
        assert sidecar["egress"]["host"].startswith("127.0.0.1")
        cut = np.asarray(Image.open(bench.output / "a.png"))
        assert cut.shape == (height, width, 4)
        assert cut[height // 2, width // 2, 3] == 255
        assert cut[2, 2, 3] == 0
        (theirs,) = (
            path for path in other.input.iterdir() if path.is_file() and not path.name.startswith(".")
        )
        assert theirs.stat().st_size == sidecar["egress"]["bytes"]
        audit = bench.call("audit", "--config", config)
        assert audit.stdout.count("here  job") == 1
        assert other.key not in audit.stdout + done.stdout + done.stderr

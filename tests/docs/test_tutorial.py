"""docs/TUTORIAL.md is gone through line by line, on the embedded digits in the place of Fashion-MNIST."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "TUTORIAL.md"


def commands() -> list[list[str]]:
    """The page's Python commands in their order, continued lines joined."""
    text = re.sub(r"\\\n\s+", "", PAGE.read_text())
    lines = [line.strip() for line in text.splitlines() if line.startswith("    python -m ")]
    return [shlex.split(line)[1:] for line in lines]


def on_digits(words: list[str]) -> list[str]:
    """The same with images that are there; what is planned for a folder of images needs one."""
    left_out = ("data.download=true", "data.limit_train=3000")
    return ["data=digits" if word == "data=fashion_mnist" else word for word in words if word not in left_out]


def test_every_command_of_the_tutorial_does_what_the_page_says(tmp_path: Path) -> None:
    environment = {**os.environ, "HOME": str(tmp_path), "TMPDIR": str(tmp_path)}
    said = []
    for words in commands():
        if "data=image_folder" in words:
            continue
        done = subprocess.run(
            [sys.executable, *on_digits(words)], cwd=tmp_path, capture_output=True, text=True, check=False,
            env=environment,
        )  # fmt: skip
        assert done.returncode == 0, (words, done.stdout[-2000:], done.stderr[-2000:])
        said.append(done.stdout)
    plan, sweep, _, larger, copied, _ = said
    assert "20 new" in plan
    assert "20 runs: 20 trained" in sweep
    assert sweep.count("5 of 5") == 4
    assert "20 new" in larger  # ten seeds in four cells, of which half are done
    assert "20 done" in larger
    assert "20 runs and 1 study copied" in copied
    for folder in ("reports", "my-report"):
        page = (tmp_path / folder / "index.html").read_text()
        assert "does_scaling_matter" in page
        for name in ("simple-effects", "interactions", "curves"):
            assert (tmp_path / folder / "figures" / f"does_scaling_matter.{name}.svg").exists()
    assert (tmp_path / "my-report" / "tables" / "does_scaling_matter.effects.tex").exists()
    assert not list((tmp_path / "my-records").rglob("*.ckpt"))


def test_a_folder_of_images_takes_the_place_of_the_data(tmp_path: Path) -> None:
    (words,) = [words for words in commands() if "data=image_folder" in words]
    import numpy as np
    from PIL import Image

    for part in ("train", "val"):
        for name in range(10):
            (tmp_path / "images" / part / f"class{name}").mkdir(parents=True)
            for number in range(30 if part == "train" else 2):
                pixels = np.full((64, 64, 3), 20 * name + number, dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / "images" / part / f"class{name}" / f"{number}.png")
    here = [word.replace("/images", str(tmp_path / "images")) for word in words]
    done = subprocess.run(
        [sys.executable, *here], cwd=tmp_path, capture_output=True, text=True, check=True,
        env={**os.environ, "HOME": str(tmp_path)},
    )  # fmt: skip
    assert "20 new" in done.stdout

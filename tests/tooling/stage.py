"""Copy the checkout's own files to a folder, or build the collection from such a copy.

ansible-test needs the tree as ``.../ansible_collections/dbops/timescale`` outside any git work tree, else it skips
everything and still succeeds. ansible-galaxy packs whatever lies in the checkout. So both work on a copy of the files
that git knows: committed, changed and new ones, but not the ignored ones.

Usage: stage.py DESTINATION, or stage.py --build OUTPUT_FOLDER
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]


def stage(destination: Path) -> None:
    """Copy every file git knows to ``destination``, in the same folders."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(command, cwd=CHECKOUT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, listing.split("\0")):
        origin, target = CHECKOUT / name, destination / name
        if origin.is_symlink() or origin.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(origin, target, follow_symlinks=False)


def build(output: Path) -> None:
    """Build the collection's tarball from a copy of the checkout into ``output``."""
    galaxy = str(Path(sys.executable).with_name("ansible-galaxy"))
    with tempfile.TemporaryDirectory() as folder:
        stage(Path(folder))
        command = [galaxy, "collection", "build", folder, "--output-path", str(output), "--force"]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


if __name__ == "__main__":
    if sys.argv[1] == "--build":
        build(Path(sys.argv[2]).resolve())
    else:
        stage(Path(sys.argv[1]).resolve())

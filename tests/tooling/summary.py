"""Print what a `make test` skipped and why, then its totals. Usage: summary.py RECORD_DIR."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path


def _rows(path: Path) -> list[list[str]]:
    """Return the tab-separated rows of a file, none if there is no such file."""
    if not path.exists():
        return []
    return [line.split("\t", 1 if path.name == "skipped.txt" else -1) for line in path.read_text("utf-8").splitlines()]


def main(folder: Path) -> None:
    """Print the skips, grouped by place and reason, and the totals as the last line."""
    skips = Counter((place, reason) for place, reason in _rows(folder / "skipped.txt"))
    print("\nSkipped, and why:" if skips else "\nNothing was skipped.")
    for (place, reason), count in sorted(skips.items()):
        print(f"  {count:4d}  {place}: {reason}")
    counts = [[int(value) for value in row] for row in _rows(folder / "counts.txt")]
    passed, failed, skipped = (sum(column) for column in zip(*counts)) if counts else (0, 0, 0)
    print(f"\ntotal: {passed} passed, {failed} failed, {skipped} skipped")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""Pytest plugin: keeps what a run passed, failed and skipped, so that `make test` can say so at its end.

Off unless TEST_RECORD_DIR names a folder. `tests/tooling/summary.py` reads the two files it writes there.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Append the outcomes of this run to ``counts.txt`` and its skips to ``skipped.txt``."""
    record = os.environ.get("TEST_RECORD_DIR")
    if not record:
        return
    stats = terminalreporter.stats
    folder = Path(record)
    folder.mkdir(parents=True, exist_ok=True)
    failed = len(stats.get("failed", [])) + len(stats.get("error", []))
    skipped = stats.get("skipped", [])
    with (folder / "counts.txt").open("a", encoding="utf-8") as counts:
        counts.write(f"{len(stats.get('passed', []))}\t{failed}\t{len(skipped)}\n")
    with (folder / "skipped.txt").open("a", encoding="utf-8") as reasons:
        reasons.writelines(f"{_place(report)}\t{_reason(report)}\n" for report in skipped)


def _place(report: pytest.TestReport | pytest.CollectReport) -> str:
    """Return the test file of a skipped test."""
    return report.nodeid.split("::")[0]


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    """Return why a test was skipped, on one line."""
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return " ".join(text.split()).removeprefix("Skipped: ")

# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of a hypertable's root when the session without the library fails: no server does that on demand."""

from __future__ import annotations

from typing import Any, NoReturn

import pytest

from ansible_collections.dbops.timescale.plugins.module_utils._errors import (
    ConnectionFailed,
    StatementFailed,
    TimescaleError,
)
from ansible_collections.dbops.timescale.plugins.module_utils._statistics.spread import analyze_root

REFUSED = StatementFailed("refused", sqlstate="42883", statement="")
TOO_MANY = ConnectionFailed("too many", sqlstate="53300")
LOCKED = StatementFailed("locked", sqlstate="55P03", statement="")


class Session:
    """A session whose further session fails."""

    def __init__(self, error: TimescaleError) -> None:
        self.error = error
        self.executed: list[str] = []

    def execute_apart(self, before: str, _text: str) -> NoReturn:
        assert before == "SET LOCAL timescaledb.disable_load = on"
        raise self.error

    def execute(self, text: str) -> None:
        self.executed.append(text)


@pytest.mark.parametrize("error", [REFUSED, TOO_MANY])
def test_the_plain_statement_runs_instead(error: TimescaleError) -> None:
    session: Any = Session(error)
    analyze_root("ANALYZE h")(session)
    assert session.executed == ["ANALYZE h"]


def test_what_the_plain_statement_would_meet_too_is_raised() -> None:
    session: Any = Session(LOCKED)
    with pytest.raises(StatementFailed, match="locked"):
        analyze_root("ANALYZE h")(session)
    assert session.executed == []

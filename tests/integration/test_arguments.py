# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wrong arguments: one clear message, and never the value of what may be a secret."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.playbook import run_module

SECRET = "Sup3r-S3cret"  # the tests' own
WHOLE = {"login_host": "127.0.0.1", "login_port": 1, "login_db": "d"}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"login_db": "t", "source": {**WHOLE, "pasword": SECRET}}, "source.pasword"),
        ({"login_db": "t", "source": WHOLE, "login_pass": SECRET}, "login_pass"),
        ({"login_db": "t", "source": WHOLE, "login_port": SECRET}, "login_port"),
        ({"login_db": "t", "source": f"postgresql://u:{SECRET}@h/d"}, "could not parse"),
        ({"login_db": "t", "source": {"login_db": "d", "login_password": SECRET}}, "source names no server"),
        ({"login_db": "t", "source": {"login_host": "h", "login_password": SECRET}}, "login_db"),
        ({**WHOLE, "source": WHOLE, "connect_params": {"pasword": SECRET}}, "pasword"),
        ({**WHOLE, "source": WHOLE, "login_password": SECRET}, "Cannot connect to the target (host 127.0.0.1, port 1"),
    ],
)
def test_a_wrong_argument_is_named_and_its_value_is_not(arguments: dict[str, Any], told: str) -> None:
    result = run_module("timescale_cagg_sync", arguments)
    assert result["failed"]
    assert told in result["msg"]
    assert SECRET not in str(result)

# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""The only place that imports psycopg2: a missing driver is one clear message, another driver a small change."""

from __future__ import annotations

import traceback
import typing as t

__all__ = ["DRIVER_ERROR", "extensions", "psycopg2", "require_driver", "sql"]

DRIVER_ERROR: str | None = None
try:
    import psycopg2
    from psycopg2 import extensions, sql
except ImportError:
    DRIVER_ERROR = traceback.format_exc()
    psycopg2 = t.cast(t.Any, None)
    extensions = t.cast(t.Any, None)
    sql = t.cast(t.Any, None)

MINIMUM_DRIVER = (2, 9)


def require_driver() -> str | None:
    """Tell what is wrong with the driver, or None when psycopg2 2.9 or later is there."""
    if DRIVER_ERROR is not None:
        return "psycopg2 is missing for the Python that runs this module. Install psycopg2-binary 2.9 or later there."
    version = str(getattr(psycopg2, "__version__", "0.0")).split(" ", maxsplit=1)[0]
    if tuple(int(part) for part in version.split(".")[:2]) < MINIMUM_DRIVER:
        return f"psycopg2 {version} is too old. Install psycopg2-binary 2.9 or later."
    return None

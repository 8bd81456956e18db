# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This doc fragment is PRIVATE: it can change in any release.
"""Attributes and return values that all modules share. Twin of plugins/module_utils/_plan.py (result_of)."""

from __future__ import annotations


class ModuleDocFragment:
    """Attributes of the modules."""

    DOCUMENTATION = r"""
attributes:
  check_mode:
    support: full
    description: Can run in C(check_mode) and tells what a real run would do, without changing anything.
  diff_mode:
    support: full
    description: Returns details on what has changed, or would change, with C(--diff).
  idempotent:
    support: full
    description: A second run with the same options changes nothing and reports C(changed=false).
  platform:
    platforms: posix
    support: full
    description: Systems the module runs on.
"""

    ACTIONGROUP = r"""
attributes:
  action_group:
    description: Use C(group/dbops.timescale.all) in C(module_defaults) to set the login options once.
    support: full
    membership:
      - dbops.timescale.all
"""

    ACTIONGROUP_SYNC = r"""
attributes:
  action_group:
    description: >-
      Use C(group/dbops.timescale.all) in C(module_defaults) to set the login options once, and
      C(group/dbops.timescale.sync) to set the source once.
    support: full
    membership:
      - dbops.timescale.all
      - dbops.timescale.sync
"""

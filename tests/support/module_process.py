# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs one module of the collection in this process: its name is the argument, its parameters are JSON on stdin."""

from __future__ import annotations

import contextlib
import json
import runpy
import sys
from typing import Any

from ansible.module_utils import basic


def _given(parameters: dict[str, Any]) -> contextlib.AbstractContextManager[None]:
    """Hand the parameters to AnsibleModule, the way that the installed ansible-core offers."""
    try:
        from ansible.module_utils.testing import patch_module_args  # ansible-core 2.19 and later
    except ImportError:
        basic._ANSIBLE_ARGS = json.dumps({"ANSIBLE_MODULE_ARGS": parameters}).encode()
        return contextlib.nullcontext()
    patched: contextlib.AbstractContextManager[None] = patch_module_args(parameters)
    return patched


if __name__ == "__main__":
    with _given(json.load(sys.stdin)):
        runpy.run_module(f"ansible_collections.dbops.timescale.plugins.modules.{sys.argv[1]}", run_name="__main__")

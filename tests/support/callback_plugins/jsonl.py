# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes each task result as one line of JSON, exactly as callbacks get it."""

from __future__ import annotations

import json
import os
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = r"""
name: jsonl
type: notification
short_description: Task results as lines of JSON
description: Appends one JSON object per result to the file that the environment variable JSONL_PATH names.
author: dbops.timescale contributors
"""


class CallbackModule(CallbackBase):
    """One line per result, one more per loop item, and the recap at the end."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "jsonl"
    CALLBACK_NEEDS_ENABLED = True

    def _write(self, **event: Any) -> None:
        with open(os.environ["JSONL_PATH"], "a", encoding="utf-8") as lines:
            lines.write(json.dumps(event, default=str) + "\n")

    def _note(self, outcome: str, result: Any) -> None:
        task = result._task
        data = result.result if hasattr(result, "result") else result._result
        self._write(
            outcome=outcome,
            host=result._host.get_name(),
            task=task.get_name(),
            action=task.action,
            tags=list(task.tags),
            result=data,
        )

    def v2_runner_on_ok(self, result: Any) -> None:
        self._note("ok", result)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        self._note("ignored" if ignore_errors else "failed", result)

    def v2_runner_on_skipped(self, result: Any) -> None:
        self._note("skipped", result)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        self._note("unreachable", result)

    def v2_runner_item_on_ok(self, result: Any) -> None:
        self._note("item_ok", result)

    def v2_runner_item_on_failed(self, result: Any) -> None:
        self._note("item_failed", result)

    def v2_runner_item_on_skipped(self, result: Any) -> None:
        self._note("item_skipped", result)

    def v2_playbook_on_stats(self, stats: Any) -> None:
        self._write(outcome="recap", hosts={host: stats.summarize(host) for host in stats.processed})

# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the module of the same name and tells how far it is."""

from __future__ import annotations

from ansible_collections.dbops.timescale.plugins.plugin_utils._progress_follow import FollowedAction


class ActionModule(FollowedAction):
    """See FollowedAction."""

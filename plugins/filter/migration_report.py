# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: migration_report
short_description: Write the report of one migrated database
version_added: 0.1.0
author:
  - dbops.timescale contributors (@dbops)
description:
  - Takes what P(dbops.timescale.migration_data#filter) gives and returns an HTML page that needs no other file and
    loads nothing.
  - Every name is escaped, also for Jinja.
options:
  _input:
    description: Data of a report.
    type: dict
    required: true
"""

EXAMPLES = r"""
page: "{{ data | dbops.timescale.migration_report }}"
"""

RETURN = r"""
_value:
  description: An HTML page.
  type: str
"""

import typing as t

from ansible.errors import AnsibleFilterError

from ansible_collections.dbops.timescale.plugins.module_utils._report.data import FORMAT
from ansible_collections.dbops.timescale.plugins.module_utils._report.page import report_page


def migration_report(data: t.Any) -> str:
    """Data of a report -> an HTML page. Raises AnsibleFilterError when the input is no such thing."""
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise AnsibleFilterError(f"migration_report takes what migration_data of this release gives ({FORMAT}).")
    return report_page(data)


class FilterModule:
    """The filter."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"migration_report": migration_report}

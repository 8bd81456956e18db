# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: migration_index
short_description: Write the index of migration reports
version_added: 0.1.0
author:
  - dbops.timescale contributors (@dbops)
description:
  - Takes the texts of the JSON files that the role P(dbops.timescale.timescale_migrate#role) wrote and returns an HTML
    page with a line for each database.
  - Texts that are no such files are left out.
options:
  _input:
    description: Texts of JSON files.
    type: list
    required: true
"""

EXAMPLES = r"""
page: "{{ query('ansible.builtin.file', *files) | dbops.timescale.migration_index }}"
"""

RETURN = r"""
_value:
  description: An HTML page.
  type: str
"""

import typing as t

from ansible.errors import AnsibleFilterError

from ansible_collections.dbops.timescale.plugins.module_utils._report.page import index_page


def migration_index(reports: t.Any) -> str:
    """Texts of report files -> an HTML page. Raises AnsibleFilterError when the input is no list."""
    if not isinstance(reports, (list, tuple)):
        raise AnsibleFilterError("migration_index takes a list of texts.")
    return index_page(reports)


class FilterModule:
    """The filter."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"migration_index": migration_index}

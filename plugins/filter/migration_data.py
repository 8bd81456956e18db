# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: migration_data
short_description: Choose what a migration report says
version_added: 0.1.0
author:
  - dbops.timescale contributors (@dbops)
description:
  - Takes the results of the tasks of the role P(dbops.timescale.timescale_migrate#role) and gives the data of a report.
    It is what the role writes as JSON.
  - Connection options are in no result that is taken, so no password is in the data.
options:
  _input:
    description: Results by stage. A stage that did not run may be missing.
    type: dict
    required: true
  about:
    description:
      - Keys C(host), C(check_mode), C(source) and C(target) (login options), C(inventory) (list of paths).
      - How to ask for a vault's password, and which files of variables to read, is taken from the command line.
    type: dict
    required: true
positional: about
"""

EXAMPLES = r"""
data: "{{ {'post_data': result} | dbops.timescale.migration_data({'host': inventory_hostname}) }}"
"""

RETURN = r"""
_value:
  description: Data of a report.
  type: dict
"""

import typing as t

from ansible import context
from ansible.errors import AnsibleFilterError

from ansible_collections.dbops.timescale.plugins.module_utils._report.data import report_data


def migration_data(stages: t.Any, about: t.Any) -> dict[str, t.Any]:
    """Results of tasks -> data of a report. Raises AnsibleFilterError when the input is no such thing."""
    if not isinstance(stages, dict) or not isinstance(about, dict) or "host" not in about:
        raise AnsibleFilterError("migration_data takes a dict of results and a dict with the key host.")
    return report_data(stages, {**about, "command_line": context.CLIARGS})


class FilterModule:
    """The filter."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"migration_data": migration_data}

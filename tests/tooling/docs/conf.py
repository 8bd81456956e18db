# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sphinx for `make docs`. Nothing is loaded from a network: pages of Ansible are not linked."""

from __future__ import annotations

import typing as t

project = "dbops.timescale"
copyright = "dbops.timescale contributors"
title = html_short_title = "dbops.timescale"
extensions = ["sphinx_antsibull_ext"]
pygments_style = "ansible"
highlight_language = "YAML+Jinja"
html_theme = "sphinx_ansible_theme"
html_show_sphinx = False
html_use_modindex = False
html_use_index = False
html_copy_source = False
default_role = "any"
nitpicky = True
# Labels of Ansible's own documentation, which the generated pages name.
_ELSEWHERE = ("action_plugins", "ansible_configuration_settings", "common_return_values")


def _text_instead_of_link(_app: t.Any, _env: t.Any, node: t.Any, content: t.Any) -> t.Any:
    return content if node.get("reftarget", "").startswith(_ELSEWHERE) else None


def setup(app: t.Any) -> None:
    """Where a label belongs to Ansible's documentation, its text stands without a link."""
    app.connect("missing-reference", _text_instead_of_link)

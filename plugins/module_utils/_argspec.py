# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""The shared options. Twin of plugins/doc_fragments/_connection.py: change both together."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible.module_utils.common.parameters import env_fallback

__all__ = ["ArgumentSpec", "apply_spec", "login_spec", "source_spec"]

SSL_MODES = ["allow", "disable", "prefer", "require", "verify-ca", "verify-full"]


@dataclasses.dataclass
class ArgumentSpec:
    """What AnsibleModule takes, mergeable, so that a module adds only its own options."""

    options: dict[str, t.Any] = dataclasses.field(default_factory=dict)
    mutually_exclusive: list[tuple[str, ...]] = dataclasses.field(default_factory=list)
    required_one_of: list[tuple[str, ...]] = dataclasses.field(default_factory=list)
    required_by: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    required_if: list[tuple[t.Any, ...]] = dataclasses.field(default_factory=list)

    def __add__(self, other: ArgumentSpec) -> ArgumentSpec:
        return ArgumentSpec(
            {**self.options, **other.options},
            self.mutually_exclusive + other.mutually_exclusive,
            self.required_one_of + other.required_one_of,
            {**self.required_by, **other.required_by},
            self.required_if + other.required_if,
        )

    def to_kwargs(self) -> dict[str, t.Any]:
        """Keyword arguments for AnsibleModule."""
        return {
            "argument_spec": self.options,
            "mutually_exclusive": self.mutually_exclusive,
            "required_one_of": self.required_one_of,
            "required_by": self.required_by,
            "required_if": self.required_if,
        }


def _connection_options() -> dict[str, t.Any]:
    return {
        "login_host": {"type": "str", "default": ""},
        "login_port": {"type": "int", "default": 5432},
        "login_user": {"type": "str", "default": "postgres"},
        "login_password": {"type": "str", "default": "", "no_log": True},
        "login_db": {"type": "str", "required": True},
        "login_unix_socket": {"type": "str", "default": ""},
        "ssl_mode": {"type": "str", "default": "prefer", "choices": SSL_MODES},
        "ca_cert": {"type": "path", "aliases": ["ssl_rootcert"]},
        "ssl_cert": {"type": "path"},
        "ssl_key": {"type": "path"},
        "connect_params": {"type": "dict", "default": {}},
        "session_role": {"type": "str"},
    }


def login_spec() -> ArgumentSpec:
    """The target's connection. Environment variables are fallbacks here only."""
    options = _connection_options()
    options["login_host"]["fallback"] = (env_fallback, ["PGHOST"])
    options["login_port"]["fallback"] = (env_fallback, ["PGPORT"])
    options["login_user"]["fallback"] = (env_fallback, ["PGUSER"])
    return ArgumentSpec(options)


def source_spec(*, source_file: bool = True) -> ArgumentSpec:
    """The source, a connection given whole, or a file that timescale_info wrote.

    :param source_file: whether the module can work from such a file.
    """
    connection = _connection_options()
    for place in ("login_host", "login_unix_socket"):  # one of them, or connect_params, must name the server
        del connection[place]["default"]
    options: dict[str, t.Any] = {"source": {"type": "dict", "options": connection}}
    if not source_file:
        return ArgumentSpec(options)
    options["source_file"] = {"type": "path"}
    return ArgumentSpec(options, mutually_exclusive=[("source", "source_file")])


def apply_spec() -> ArgumentSpec:
    """How the work is done."""
    return ArgumentSpec(
        {
            "jobs": {"type": "int", "default": 4},
            "lock_timeout": {"type": "float", "default": 10.0},
            "lock_retries": {"type": "int", "default": 3},
            "settings": {"type": "dict", "default": {}},
            "progress": {"type": "bool", "default": True},
        }
    )

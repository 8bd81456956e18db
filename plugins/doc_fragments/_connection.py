# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This doc fragment is PRIVATE: it can change in any release.
"""The shared options. Twin of plugins/module_utils/_argspec.py: change both together."""

from __future__ import annotations


class ModuleDocFragment:
    """Options of the target's connection, of the source, and of how work is done."""

    DOCUMENTATION = r"""
options:

  login_host:
    description:
      - Host that runs the database. Empty or V(localhost) lets O(login_unix_socket) win.
      - Falls back to the environment variable E(PGHOST).
    type: str
    default: ''
  login_port:
    description:
      - TCP port of the server. A value that is no whole number is refused.
      - Falls back to the environment variable E(PGPORT).
    type: int
    default: 5432
  login_user:
    description:
      - Role to log in as.
      - Falls back to the environment variable E(PGUSER).
    type: str
    default: postgres
  login_password:
    description:
      - Password of O(login_user). Empty lets libpq look for it (C(.pgpass), C(passfile) in O(connect_params)).
      - It is never written to a command line, a log, a result or an error text.
    type: str
    default: ''
  login_db:
    description:
      - Name of the database. There is no default, a migration must not guess.
    type: str
    required: true
  login_unix_socket:
    description:
      - Folder of the server's Unix socket, used when O(login_host) is empty or V(localhost).
    type: str
    default: ''
  ssl_mode:
    description:
      - How TLS is negotiated, as libpq's C(sslmode). Client programs get the same.
      - V(prefer) goes on in clear text when the server has no TLS; V(verify-full) checks certificate and host name.
      - V(prefer) leaves it to a service file or E(PGSSLMODE) to ask for more.
      - A C(sslmode) in O(connect_params) that is weaker than V(require) or more, given here, is an error.
      - Over a Unix socket libpq uses no TLS, whatever stands here.
    type: str
    choices: [allow, disable, prefer, require, verify-ca, verify-full]
    default: prefer
  ca_cert:
    description:
      - File with the certificates of trusted authorities (C(sslrootcert)). A missing file is an error.
    type: path
    aliases: [ssl_rootcert]
  ssl_cert:
    description:
      - File with the client certificate (C(sslcert)). A missing file is an error.
    type: path
  ssl_key:
    description:
      - File with the key of the client certificate (C(sslkey)). A missing file is an error, and libpq refuses one that
        others can read.
    type: path
  connect_params:
    description:
      - Further libpq keywords, for example C(connect_timeout), C(keepalives), C(passfile) or C(service).
      - C(dsn) takes a whole connection string or URI of libpq. Keywords beside it win over what it says.
      - They win over the other options. What a C(service) says wins over O(login_user) and O(login_port) where these
        have their default.
      - Of several hosts, all sessions and client programs of a task use the one that answered first.
      - An unknown keyword is refused by libpq; one that the client program's libpq does not know is an error too.
    type: dict
    default: {}
  session_role:
    description:
      - Role to switch to after the login, also in client programs. The login role must be a member of it.
    type: str

requirements:
  - psycopg2 >= 2.9 on the host that runs the module
notes:
  - The C(login_*) options name the database that the task manages, the target.
  - Every session runs with an empty C(search_path), without C(statement_timeout) and with C(row_security) off.
author:
  - dbops.timescale contributors (@dbops)
"""

    # The same options once more, below source: sanity reads fragments as text, so they cannot be put together.
    SOURCE = r"""
options:
  source:
    description:
      - The database from which the wanted state is read, with the same options as the target's.
      - It is given whole. No environment variable fills it, and a half-given source is an error.
      - The session is read only.
    type: dict
    suboptions:
      login_host:
        description:
          - Host that runs the database. Empty or V(localhost) lets O(source.login_unix_socket) win.
          - This, O(source.login_unix_socket), or a C(host), C(service) or C(dsn) in O(source.connect_params) is
            required.
        type: str
      login_port:
        description:
          - TCP port of the server. A value that is no whole number is refused.
          - No environment variable is read for the source.
        type: int
        default: 5432
      login_user:
        description:
          - Role to log in as.
          - No environment variable is read for the source.
        type: str
        default: postgres
      login_password:
        description:
          - Password of O(source.login_user).
          - Empty lets libpq look for it (C(.pgpass), C(passfile) in O(source.connect_params)).
          - It is never written to a command line, a log, a result or an error text.
        type: str
        default: ''
      login_db:
        description:
          - Name of the database. There is no default, a migration must not guess.
        type: str
        required: true
      login_unix_socket:
        description:
          - Folder of the server's Unix socket, used when O(source.login_host) is empty or V(localhost).
        type: str
      ssl_mode:
        description:
          - How TLS is negotiated, as libpq's C(sslmode). Client programs get the same.
          - V(prefer) goes on in clear text when the server has no TLS; V(verify-full) checks certificate and host name.
          - V(prefer) leaves it to a service file to ask for more.
          - A C(sslmode) in O(source.connect_params) that is weaker than V(require) or more, given here, is an error.
          - Over a Unix socket libpq uses no TLS, whatever stands here.
        type: str
        choices: [allow, disable, prefer, require, verify-ca, verify-full]
        default: prefer
      ca_cert:
        description:
          - File with the certificates of trusted authorities (C(sslrootcert)). A missing file is an error.
        type: path
        aliases: [ssl_rootcert]
      ssl_cert:
        description:
          - File with the client certificate (C(sslcert)). A missing file is an error.
        type: path
      ssl_key:
        description:
          - File with the key of the client certificate (C(sslkey)). A missing file is an error, and libpq refuses one
            that others can read.
        type: path
      connect_params:
        description:
          - Further libpq keywords, for example C(connect_timeout), C(keepalives), C(passfile) or C(service).
          - C(dsn) takes a whole connection string or URI of libpq. Keywords beside it win over what it says.
          - They win over the other options. What a C(service) says wins over O(source.login_user) and
            O(source.login_port) where these have their default.
          - Of several hosts, all sessions and client programs of a task use the one that answered first.
          - An unknown keyword is refused by libpq; one that the client program's libpq does not know is an error too.
        type: dict
        default: {}
      session_role:
        description:
          - Role to switch to after the login, also in client programs. The login role must be a member of it.
        type: str
"""

    SOURCE_FILE = r"""
options:
  source_file:
    description:
      - A file that M(dbops.timescale.timescale_info) wrote (RV(ignore:source_file)), on the host that runs the module.
      - It stands in for O(source) when the source cannot be reached any more. A file of another release is refused.
    type: path
"""

    APPLY = r"""
options:
  jobs:
    description:
      - Number of connections to the target that work side by side. Values below 1 count as 1.
      - Where the server lets in fewer, these do the work.
    type: int
    default: 4
  lock_timeout:
    description:
      - Seconds that a statement waits for a lock before it gives way and is tried again.
    type: float
    default: 10.0
  lock_retries:
    description:
      - How often a step is tried again after a lock timeout, a deadlock or a lost connection.
      - After a minute in which the server let nobody in, what is left fails at once.
    type: int
    default: 3
  settings:
    description:
      - Server settings for the sessions on the target, for example C(maintenance_work_mem). A bad one is refused.
    type: dict
    default: {}
  progress:
    description:
      - Tell every few seconds how far the task is, in the terminal of C(ansible-playbook).
      - No line is written when its stdout is no terminal, with C(async) or with C(no_log).
      - The same figures are in the C(application_name) of the task's first session.
      - A task that is followed and whose C(ansible-playbook) is gone ends by itself after ten seconds, and its
        statements are cancelled.
    type: bool
    default: true
"""

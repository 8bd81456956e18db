# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A standby of a throwaway server: streaming, open for reading, and as throwaway as its primary."""

from __future__ import annotations

from pathlib import Path

from .servers import ThrowawayServer


class Standby(ThrowawayServer):
    """A copy that pg_basebackup made and that follows its primary; ``stop`` it before the primary."""

    def __init__(self, primary: ThrowawayServer) -> None:
        self._primary = primary
        super().__init__(primary.installation, scheduler=False, settings={})

    def _initdb(self, settings: dict[str, str]) -> None:
        """Copy the primary's data folder instead of making an empty one."""
        self.passwords = self._primary.passwords
        data, secret = self.base / "data", self._password_file()
        login = f"host={self._primary.socket_dir} port={self._primary.port} user=postgres passfile={secret}"
        options = ["--write-recovery-conf", "--checkpoint=fast", "--no-sync", "--no-password"]
        argv = [self.installation.program("pg_basebackup"), f"--dbname={login}", f"--pgdata={data}", *options]
        answer = self._tell("run", argv=argv)
        if answer["rc"] != 0:
            raise RuntimeError(f"pg_basebackup of {self._primary.base} failed: {answer['output']}")
        own = {"port": str(self.port), "unix_socket_directories": self.socket_dir, **settings}
        with open(data / "postgresql.conf", "a", encoding="utf-8") as conf:
            conf.writelines(f"{name} = '{value}'\n" for name, value in own.items())

    def _password_file(self) -> Path:
        """A password file for the superuser: pg_basebackup and the replication read it."""
        file = self.base / "passfile"
        file.touch(mode=0o600)
        file.write_text(f"*:*:*:postgres:{self.passwords['postgres']}\n", encoding="utf-8")
        self._hand_over(file)
        return file

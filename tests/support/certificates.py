# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A certificate authority of the tests' own, and servers that speak TLS with its certificates."""

from __future__ import annotations

import datetime
import os
import pwd
import subprocess
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from .installations import Installation
from .servers import ThrowawayServer

DAY = datetime.timedelta(days=1)


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _write(path: Path, content: bytes) -> Path:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
    return path


class Authority:
    """Signs certificates; ``root`` is the file that those who trust it are given.

    Args:
        folder: where it keeps its files.
        name: its own name; two authorities of one name are still two.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(name)
        basic = x509.BasicConstraints(ca=True, path_length=0)
        made = self._builder(self._name, self._key, days=2).add_extension(basic, critical=True)
        signed = made.sign(self._key, hashes.SHA256())
        self.root = _write(folder / f"{name}.crt", signed.public_bytes(serialization.Encoding.PEM))

    def issue(self, common: str, hosts: tuple[str, ...] = (), *, days: int = 2) -> tuple[Path, Path]:
        """Make a certificate and its key, both of mode 0600, and give their files.

        Args:
            common: the common name; for a client certificate the role.
            hosts: the host names that it holds for.
            days: how long it is valid from now on; negative for one that has expired.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts])
        builder = self._builder(_name(common), key, days)
        signed = (builder.add_extension(names, critical=False) if hosts else builder).sign(self._key, hashes.SHA256())
        pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        secret = key.private_bytes(pem, form, serialization.NoEncryption())
        stem = self.folder / f"{common}{'-expired' if days < 0 else ''}"
        return _write(stem.with_suffix(".crt"), signed.public_bytes(pem)), _write(stem.with_suffix(".key"), secret)

    def _builder(self, name: x509.Name, key: ec.EllipticCurvePrivateKey, days: int) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.timezone.utc)
        builder = x509.CertificateBuilder().subject_name(name).issuer_name(self._name).public_key(key.public_key())
        builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - 10 * DAY)
        return builder.not_valid_after(now + days * DAY)


def with_tls(installation: Installation) -> bool | None:
    """Whether these programs were built with TLS; None where they do not tell."""
    try:
        argv = [installation.program("pg_config"), "--configure"]
        told = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    return "openssl" in told  # --with-openssl or --with-ssl=openssl


def speak_tls(server: ThrowawayServer, certificate: tuple[Path, Path], trusted: Path, hba: str) -> None:
    """Give a running server a certificate, the authority whose client certificates it takes, and rules of access."""
    data = server.base / "data"
    owner = pwd.getpwuid(data.stat().st_uid)
    for name, file in (("server.crt", certificate[0]), ("server.key", certificate[1]), ("root.crt", trusted)):
        placed = _write(data / name, file.read_bytes())
        os.chown(placed, owner.pw_uid, owner.pw_gid)
    (data / "pg_hba.conf").write_text(hba, encoding="utf-8")
    for setting in ("ssl_ca_file = 'root.crt'", "ssl = on"):
        server.execute("postgres", f"ALTER SYSTEM SET {setting}")
    server.execute("postgres", "SELECT pg_reload_conf()")

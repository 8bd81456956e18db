"""Let ansible-test work where its vendor's host cannot be reached.

ansible-test makes virtual environments without pip and downloads a pinned get-pip script from a host of its own, which
is neither PyPI nor a mirror of it. A script of that name in its cache is used instead of the download. This one takes
the pip that comes with Python (``ensurepip``) and lets it fetch the pinned version from PyPI as configured.
A cached script that is already there is left alone.
"""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

SHIM = """\
import subprocess
import sys

wanted = [word for word in sys.argv[1:] if word not in ("--no-setuptools", "--no-wheel")]
subprocess.check_call([sys.executable, "-m", "ensurepip"], stdout=subprocess.DEVNULL)
sys.exit(subprocess.call([sys.executable, "-m", "pip", "install", "-q", *wanted]))
"""


def pinned_pip_versions() -> set[str]:
    """Return the pip versions that the installed ansible-test asks for."""
    spec = importlib.util.find_spec("ansible_test")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("make: ansible-test is not installed in .venv; run make env")
    source = Path(spec.submodule_search_locations[0], "_internal", "python_requirements.py")
    return set(re.findall(r"\bpip='([0-9.]+)'", source.read_text("utf-8")))


def main() -> None:
    """Write the script where ansible-test looks, for each version it may ask for."""
    cache = Path.home() / ".ansible" / "test" / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    for version in pinned_pip_versions():
        script = cache / f"get_pip_{version.replace('.', '_')}.py"
        if not script.exists() or not script.stat().st_size:
            script.write_text(SHIM, "utf-8")


if __name__ == "__main__":
    main()

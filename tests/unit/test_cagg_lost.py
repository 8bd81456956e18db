# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which buckets only the target has: ranges without those of the source."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.dbops.timescale.plugins.module_utils._cagg.lost import Stored, remaining

RUNS = st.lists(st.integers(0, 60), max_size=16, unique=True).map(
    lambda ends: list(zip(sorted(ends)[::2], sorted(ends)[1::2]))
)


@given(RUNS, RUNS, st.booleans(), st.integers(1, 4), st.integers(1, 4))
def test_what_no_bucket_of_the_source_touches(
    ours: list[tuple[int, int]], theirs: list[tuple[int, int]], same: bool, old_width: int, width: int
) -> None:
    found = remaining(ours, theirs, Stored({"bucket_width": old_width}, same), {"bucket_width": width})
    assert found == sorted(found)
    for bucket in (at for low, high in ours for at in range(low, high + 1)):
        if same:
            touched = any(low <= bucket <= high for low, high in theirs)
        else:
            touched = any(low < bucket + old_width and bucket < high + width for low, high in theirs)
        assert any(low <= bucket < high for low, high in found) == (not touched), bucket

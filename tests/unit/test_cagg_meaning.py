# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether columns of two definitions mean the same, and what aggregates are called while one replaces another."""

from __future__ import annotations

import pytest

from ansible_collections.dbops.timescale.plugins.module_utils._cagg.meaning import (
    carried_columns,
    changed_columns,
    same_bucket,
)
from ansible_collections.dbops.timescale.plugins.module_utils._cagg.recreate import is_left_over, new_name, old_name

BUCKET = "public.time_bucket('01:00:00'::interval, raw.at)"
REST = f"FROM public.raw\n GROUP BY ({BUCKET}), raw.device;"
PLAIN = f" SELECT {BUCKET} AS bucket,\n raw.device,\n sum(raw.value) AS total\n {REST}"


@pytest.mark.parametrize(
    ("old", "wanted"),
    [
        (PLAIN, {"bucket": "bucket", "device": "device", "total": "total"}),
        (
            PLAIN.replace("AS total", 'AS "Amount, FROM"'),
            {"bucket": "bucket", "device": "device", "total": "Amount, FROM"},
        ),
        (PLAIN.replace(" raw.device,", " max(x.a, ',') AS top,\n raw.device,", 1), {"total": "total"}),
        (PLAIN.replace("sum(", "max("), None),
        (PLAIN.replace("raw.device,", "", 1), None),
        (PLAIN.replace("FROM public.raw", "FROM public.raw WHERE raw.value > 0"), None),
        (PLAIN.replace(BUCKET, "public.time_bucket('02:00:00'::interval, raw.at)"), None),
        ("WITH x AS (SELECT 1) " + PLAIN, None),
    ],
)
def test_columns_that_mean_the_same(old: str, wanted: dict[str, str] | None) -> None:
    found = carried_columns(PLAIN, old)
    assert (found is None) == (wanted is None)
    assert {**(found or {}), **(wanted or {})} == (found or {})


def test_what_an_earlier_exchange_has_renamed() -> None:
    old = PLAIN.replace("raw", "raw_dbops_old")
    assert carried_columns(PLAIN, old) is None
    assert carried_columns(PLAIN, old, {"raw_dbops_old": "raw"}) is not None
    quoted = PLAIN.replace("raw", '"Raw.1"')
    renamed = PLAIN.replace("raw", '"Raw.1_dbops_old"')
    assert carried_columns(quoted, renamed, {"Raw.1_dbops_old": "Raw.1"}) is not None


def test_what_the_parent_computes_otherwise() -> None:
    """A child's text may be the same, and yet mean something else."""
    assert changed_columns(PLAIN, PLAIN) == set()
    more = PLAIN.replace(" raw.device,", " max(x.a, ',') AS top,\n raw.device,", 1)
    assert changed_columns(PLAIN, more) == {"top"}
    other = PLAIN.replace("sum(", "max(")
    assert changed_columns(PLAIN, other) == {"total"}
    assert changed_columns(PLAIN, PLAIN.replace("FROM public.raw", "FROM public.raw WHERE raw.value > 0")) is None
    child = " SELECT hourly.device, max(hourly.total) AS most FROM public.hourly GROUP BY hourly.device"
    assert carried_columns(child, child, changed={"top"}) == {"device": "device", "most": "most"}
    assert carried_columns(child, child, changed={"total"}) is None
    assert carried_columns(child, child, changed=None) is None
    assert changed_columns(child, child, changed={"total"}) == {"most"}
    assert changed_columns(child, child, changed={"device"}) is None


def test_buckets_are_the_same_when_other_columns_are_not() -> None:
    assert same_bucket(PLAIN, PLAIN.replace("sum(", "max("), "bucket", "bucket")
    other = PLAIN.replace(BUCKET, "public.time_bucket('02:00:00'::interval, raw.at)")
    assert not same_bucket(PLAIN, other, "bucket", "bucket")


@pytest.mark.parametrize("name", ["hourly", "x" * 63, "\u00e4" * 31, "x" * 54])
def test_names_are_short_enough_and_stay_apart(name: str) -> None:
    names = {new_name(name), old_name(name), new_name("z" + name[1:]), name}
    assert len(names) == 4
    assert all(len(one.encode()) <= 63 for one in names)
    assert new_name(name).endswith("_dbops_new")


def test_only_what_carries_the_mark_is_a_left_over() -> None:
    mark = "dbops.timescale: is going to take the place of public.a"
    assert is_left_over({"name": "a_dbops_new", "comment": mark})
    assert not is_left_over({"name": "a_dbops_new", "comment": None})
    assert not is_left_over({"name": "a", "comment": mark})

# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report: hostile names stay text, nothing is loaded from outside, no secret is in it, page and JSON agree."""

from __future__ import annotations

import json
import re
from typing import Any

import html5lib
import pytest

from ansible_collections.dbops.timescale.plugins.module_utils._report.data import file_name, report_data
from ansible_collections.dbops.timescale.plugins.module_utils._report.page import index_page, report_page

HOSTILE = '<script>alert("x")</script>{{ 7 * 7 }}{% raw %}\'"><img src=http://evil.example/x>'
SVG = {"viewBox", "height", "width", "x", "y", "preserveAspectRatio", "role", "aria-label"}
SECRET = "hunter2-secret"


def _data(**more: Any) -> dict[str, Any]:
    entry = {"kind": "index", "schema": "public", "name": HOSTILE, "outcome": "drifted", "reason": HOSTILE, "hint": ""}
    step = {**entry, "name": "a", "outcome": "created", "duration_ms": 40, "started_at": 1000.1}
    result = {
        "changed": True,
        "queries": ["SELECT 1"],
        "objects": [entry, step],
        "invocation": {"module_args": {"login_password": SECRET, "source": {"login_password": SECRET}}},
        "run": {"started_at": 1000.0, "elapsed_ms": 500, "versions": {"target": {"postgresql": "15.4"}}},
    }
    login = {"login_host": "db", "login_db": HOSTILE, "login_password": SECRET, "connect_params": {"x": SECRET}}
    about = {"host": HOSTILE, "source": login, "target": login, "inventory": ["a b.yml"]}
    return report_data({"post_data": result, **more}, about)


PAGES = pytest.mark.parametrize(
    "page", [report_page(_data()), index_page([json.dumps(_data())])], ids=["report", "index"]
)


@PAGES
def test_a_page_is_valid_html_and_loads_nothing(page: str) -> None:
    tree = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(page)
    tags = {element.tag.split("}")[-1] for element in tree.iter()}
    assert {"html", "main", "table", "style"} <= tags
    assert tags.isdisjoint({"script", "img", "image", "use", "link", "base", "iframe", "object", "embed", "form"})
    attributes = {name for element in tree.iter() for name in element.attrib}
    assert (
        attributes <= {"lang", "charset", "name", "content", "http-equiv", "class", "data-label", "href", "title"} | SVG
    )
    links = [element.attrib["href"] for element in tree.iter() if "href" in element.attrib]
    assert all(re.fullmatch(r"[\w.-]+\.html", link) for link in links), links
    assert not re.search(r"url\(|@import|image-set", "".join(tree.find("head/style").itertext()))


@PAGES
def test_hostile_names_stay_text(page: str) -> None:
    assert "{{" not in page
    assert "{%" not in page
    tree = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(page)
    assert HOSTILE in "".join(tree.find("body").itertext())


def test_no_secret_is_in_page_or_json() -> None:
    data = _data()
    assert SECRET not in report_page(data)
    assert SECRET not in json.dumps(data)
    assert data["target"] == f"db:5432/{HOSTILE}"


def test_the_json_holds_what_the_page_is_made_of() -> None:
    data = _data()
    assert report_page(json.loads(json.dumps(data))) == report_page(data)


def test_what_a_later_stage_settled_needs_no_attention() -> None:
    settled = {"kind": "index", "schema": "public", "name": HOSTILE, "outcome": "created"}
    assert [one["outcome"] for one in _data()["attention"]] == ["drifted"]
    assert _data(post_data_rest={"changed": True, "objects": [settled]})["attention"] == []


def test_what_is_no_difference_is_told_apart() -> None:
    entry = {"kind": "trigger", "schema": "public", "name": "ts_insert_blocker", "outcome": "skipped", "aside": True}
    data = _data(post_data={"changed": True, "objects": [entry]})
    assert (data["outcome"], data["attention"], len(data["aside"])) == ("done", [], 1)
    assert "ts_insert_blocker" in report_page(data).replace("<wbr>", "")
    unread = _data(post_data={}, verification={"changed": False, "equal": True, "objects": [entry]})
    assert (unread["outcome"], len(unread["attention"])) == ("attention", 1)


@pytest.mark.parametrize(
    ("stages", "outcome"),
    [
        ({}, "attention"),
        ({"policies": {"failed": True, "msg": "no"}}, "failed"),
        ({"verification": {"changed": False, "equal": False, "objects": []}}, "differs"),
    ],
)
def test_the_worst_is_said_first(stages: dict[str, Any], outcome: str) -> None:
    assert _data(**stages)["outcome"] == outcome


def test_cautions_and_warnings_are_told_apart_from_what_needs_attention() -> None:
    caution = {"side": "target", "object": "server", "problem": "No workers.", "remedy": "Raise it."}
    equal = {
        "changed": False,
        "equal": True,
        "objects": [{"kind": "rows", "outcome": "present", "rows": dict.fromkeys(("source", "target"), 1000)}],
    }
    data = _data(
        preflight={"changed": False, "cautions": [caution], "warnings": ["target, server: No workers."]},
        post_data={"changed": False, "objects": []},
        activation={"changed": False, "objects": [], "warnings": ["Jobs do not start.", "Jobs do not start."]},
        verification=equal,
    )
    page = report_page(data)
    assert (data["outcome"], data["verdict"].split(",")[1]) == (
        "done",
        " and the comparison found both databases the same.",
    )
    assert "Needs attention" not in page
    assert page.count("No workers.") == 1
    assert page.count("Jobs do not start.") == 1
    assert "1 objects, 1,000 rows" in page


@pytest.mark.parametrize(
    ("first", "then", "told"),
    [
        ("created", "present", "created"),
        ("created", "altered", "created"),
        ("present", "altered", "altered"),
        ("pending", "present", "present"),
        ("created", "drifted", "drifted"),
    ],
)
def test_objects_are_counted_once_by_what_the_run_did(first: str, then: str, told: str) -> None:
    entry = {"kind": "index", "schema": "public", "name": "i"}
    stages = ({"changed": True, "objects": [{**entry, "outcome": one}]} for one in (first, then))
    data = _data(
        **dict(zip(("post_data", "post_data_rest"), stages)),
        verification={"objects": [{**entry, "outcome": "present"}]},
    )
    assert data["counts"] == {told: 1}


@pytest.mark.parametrize(
    ("host", "name"), [("../../etc/x", "_.._etc_x"), ("index", "index_"), ("a b/c", "a_b_c"), ("..", "database")]
)
def test_a_host_cannot_choose_another_folder(host: str, name: str) -> None:
    assert file_name(host) == name


def test_an_index_leaves_out_what_is_no_report() -> None:
    assert "<tbody>" not in index_page(["{", "[]", '{"format": "other"}'])


def test_commands_repeat_what_the_next_run_needs_but_no_value() -> None:
    given = {
        "ask_vault_pass": True,
        "vault_ids": ("prod@prompt",),
        "extra_vars": ("@/vars file.yml", f"password={SECRET}"),
        "forks": 5,
    }
    about = {"host": "one", "inventory": ["hosts.yml"], "command_line": given}
    commands = report_data({"post_data": {"changed": True}}, about)["commands"]
    start, again = "ansible-playbook dbops.timescale.", "--vault-id prod@prompt -e '@/vars file.yml' --limit one"
    assert [one["command"] for one in commands] == [
        f"{start}migrate -i hosts.yml --ask-vault-pass {again} --check --diff",
        f"{start}migrate -i hosts.yml --ask-vault-pass {again}",
        f"{start}activate -i hosts.yml --ask-vault-pass {again}",
    ]
    assert ["may be secret" in one["why"] for one in commands] == [True, False, False]
    assert SECRET not in str(commands)
    del given["extra_vars"]
    assert "may be secret" not in str(report_data({"post_data": {"changed": True}}, about)["commands"])


def test_one_warning_of_several_stages_is_told_once() -> None:
    page = report_page(_data(aggregates={"warnings": ["slow", "odd"]}, statistics={"warnings": ["slow"]}))
    assert (page.count(">slow<"), page.count(">odd<")) == (1, 1)
    assert "Continuous aggregates, Statistics" in page

# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""The report of one database and the index of many, as HTML pages made from report data."""

from __future__ import annotations

import json
import typing as t

from .data import FORMAT, TOLD, label_of
from .markup import badge, document, duration, name, section, table, text
from .timeline import timeline

__all__ = ["index_page", "report_page"]

_OUTCOMES = ("created", "altered", "present", *TOLD)
_SLOWEST = 15
_COMMON = (
    "kind",
    "schema",
    "table",
    "name",
    "outcome",
    "reason",
    "hint",
    "duration_ms",
    "started_at",
    "stage",
    "notices",
    "aside",
)


def report_page(data: t.Mapping[str, t.Any]) -> str:
    """The report of one database."""
    stages = {stage["key"]: stage for stage in data["stages"]}
    body = [
        _head(data),
        section("Needs attention", _stopped(data), _preflight(data, "problems"), _attention(data["attention"])),
        section("Warnings", _preflight(data, "cautions"), _warnings(data)),
        section("Go on", _commands(data["commands"])),
        section("Stages", _stages(data["stages"])),
        section("Timeline", timeline(data["stages"])),
        section("Slowest steps", _slowest(data["stages"])),
        section("Continuous aggregates", _listed(stages["aggregates"]["objects"])),
        section("Policies and jobs", _listed(_merged(stages["policies"]["objects"], stages["activation"]["objects"]))),
        section("Verification", _verification(stages["verification"])),
        section("All objects", _all_objects(data["stages"]), _aside(data["aside"])),
    ]
    return document(f"{data['host']}: {data['outcome']}", "\n".join(part for part in body if part))


def index_page(reports: t.Iterable[str]) -> str:
    """An index of reports.

    :param reports: texts of JSON files; those that are no report data are left out.
    """
    found = sorted(_reports(reports), key=lambda one: str(one["host"]))
    rows = [
        (
            f'<a href="{text(one["file"])}.html">{name(one["host"])}</a>',
            badge(one["outcome"]),
            text(one["verdict"]),
            text(len(one["attention"])),
            name(one["target"]),
            text(_moment(one["written_at"])),
        )
        for one in found
    ]
    counts: dict[str, int] = {}
    for one in found:
        counts[one["outcome"]] = counts.get(one["outcome"], 0) + 1
    totals = " ".join(f"{badge(outcome)} {count}" for outcome, count in sorted(counts.items()))
    head = ("Database", "Outcome", "What that means", "To settle", "Target", "Written")
    return document(
        "Migrations", f"<h1>Migrations</h1>\n<p>{totals}</p>\n{table(head, rows, numbers=(3,), short=(1, 5))}"
    )


def _reports(texts: t.Iterable[str]) -> t.Iterator[dict[str, t.Any]]:
    for one in texts:
        try:
            data = json.loads(one) if isinstance(one, str) else one
        except ValueError:
            continue
        if isinstance(data, dict) and data.get("format") == FORMAT:
            yield data


def _head(data: t.Mapping[str, t.Any]) -> str:
    elapsed = sum(stage["elapsed_ms"] or 0 for stage in data["stages"])
    facts = [
        ("Source", _side(data, "source")),
        ("Target", _side(data, "target")),
        ("Objects", _pieces(_counted(data["counts"]).replace(", ", ",\n").splitlines()) or "none"),
        ("Comparison", _compared(data["stages"])),
        ("Time in stages", text(duration(elapsed))),
        ("Written", text(_moment(data["written_at"]))),
    ]
    cells = "".join(f"<div><small>{text(name)}</small><b>{value}</b></div>" for name, value in facts)
    mode = " <small>(check mode)</small>" if data["check_mode"] else ""
    return (
        f"<header>\n<h1>{text(data['host'])}{mode}</h1>\n"
        f'<p class="verdict">{badge(data["outcome"])} {text(data["verdict"])}</p>\n'
        f'<div class="facts">{cells}</div>\n</header>'
    )


def _counted(counts: t.Mapping[str, int]) -> str:
    return ", ".join(f"{counts[outcome]} {outcome}" for outcome in _OUTCOMES if counts.get(outcome))


def _compared(stages: t.Iterable[t.Mapping[str, t.Any]]) -> str:
    (stage,) = (one for one in stages if one["key"] == "verification")
    if "equal" not in stage:
        return "not made"
    rows = sum(one["rows"].get("source") or 0 for one in stage["objects"] if isinstance(one.get("rows"), dict))
    same = "the same" if stage["equal"] else "different"
    told = f"{len(stage['objects'])} objects, {rows:,} rows"
    return f"{same}<br><small>{text(told)}</small>"


def _side(data: t.Mapping[str, t.Any], side: str) -> str:
    versions = data["versions"].get(side) or {}
    told = [f"PostgreSQL {versions['postgresql']}"] if versions.get("postgresql") else []
    told += [f"TimescaleDB {versions['timescaledb']}"] if versions.get("timescaledb") else []
    return f"{name(data[side] or 'not named')}<br><small>{text(', '.join(told))}</small>"


def _stopped(data: t.Mapping[str, t.Any]) -> str:
    """What failed as a whole: message, statement, remedy."""
    parts = []
    for stage in data["stages"]:
        if stage["state"] != "failed" or stage.get("problems"):  # those are listed below
            continue
        where = f" ({text(stage['object'])})" if stage.get("object") else ""
        parts.append(
            f"<p>{badge('failed')} <b>{text(stage['title'])}</b>{where}</p>\n<pre>{text(stage.get('msg'))}</pre>"
        )
        if stage.get("statement"):
            state = f"SQLSTATE {text(stage['sqlstate'])}" if stage.get("sqlstate") else "The statement"
            parts.append(f"<p>{state}</p>\n<pre>{text(stage['statement'])}</pre>")
        if stage.get("hint"):
            parts.append(f"<p>{text(stage['hint'])}</p>")
    return "\n".join(parts)


def _preflight(data: t.Mapping[str, t.Any], kind: str) -> str:
    """What preflight found.

    :param kind: problems or cautions.
    """
    word = badge("failed" if kind == "problems" else "attention")
    rows = [
        (
            word,
            f"{name(one.get('object'))}<br><small>{text(one.get('side'))}</small>",
            text(one.get("problem")),
            text(one.get("remedy")),
        )
        for stage in data["stages"]
        for one in stage.get(kind) or []
    ]
    return table(("Preflight", "Object", "Problem", "Remedy"), rows, short=(0,))


def _warnings(data: t.Mapping[str, t.Any]) -> str:
    """What stages warned of; preflight's warnings are its cautions."""
    stages: dict[str, dict[str, None]] = {}
    for stage in data["stages"]:
        for one in (stage.get("warnings") or []) if stage["key"] != "preflight" else []:
            stages.setdefault(one, {})[stage["title"]] = None
    rows = [(text(", ".join(titles)), text(one)) for one, titles in stages.items()]
    return table(("Stage", "Warning"), rows)


def _attention(entries: t.Iterable[t.Mapping[str, t.Any]]) -> str:
    rows = [
        (
            badge(str(one.get("outcome"))),
            f"{name(label_of(one))}<br><small>{text(one.get('kind'))}, {text(one.get('stage'))}</small>",
            text(one.get("reason")) + _slices(one),
            text(one.get("hint")),
        )
        for one in entries
    ]
    return table(("Outcome", "Object", "Reason", "Remedy"), rows, short=(0,))


def _aside(entries: t.Sequence[t.Mapping[str, t.Any]]) -> str:
    """What is no difference: told, but behind a line that can be opened."""
    head = f"{len(entries)} objects that TimescaleDB keeps itself, or that the options leave out"
    return f"<details><summary>{text(head)}</summary>\n{_attention(entries)}\n</details>" if entries else ""


def _slices(entry: t.Mapping[str, t.Any]) -> str:
    parts = entry.get("slices") or []
    told = "; ".join(
        f"{one.get('from') or 'beginning'} to {one.get('to') or 'end'}:"
        f" {one.get('source_rows')} / {one.get('target_rows')}"
        for one in parts
    )
    return f"<br><small>{text(told)}</small>" if told else ""


def _commands(commands: t.Iterable[t.Mapping[str, str]]) -> str:
    return "\n".join(f"<p>{text(one['why'])}</p>\n<pre>{_words(one['command'])}</pre>" for one in commands)


def _words(command: str) -> str:
    """A command whose lines end between words only: a browser would break ``--check`` after its first dash."""
    return _pieces(command.split(" "))


def _pieces(texts: t.Iterable[str]) -> str:
    """Texts that break at their ends only, as long as they are shorter than a line."""
    return " ".join(f'<span class="word">{text(one)}</span>' for one in texts if one)


def _moment(iso: t.Any) -> str:
    return str(iso).replace("T", " ").replace("+00:00", " UTC")


def _stages(stages: t.Iterable[t.Mapping[str, t.Any]]) -> str:
    rows = []
    for stage in stages:
        told = _counted(_counts(stage["objects"]))
        if stage["key"] == "preflight" and stage["state"] not in ("not run", "skipped"):
            told = f"problems: {len(stage.get('problems') or [])}, cautions: {len(stage.get('cautions') or [])}"
        rows.append(
            (
                text(stage["title"]),
                badge(stage["state"]),
                text(told),
                text(stage["statements"] or ""),
                text(duration(stage["elapsed_ms"])),
            )
        )
    return table(("Stage", "State", "Objects", "Statements", "Time"), rows, numbers=(3, 4), short=(0, 1, 4))


def _counts(objects: t.Iterable[t.Mapping[str, t.Any]]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for one in objects:
        outcome = str(one.get("outcome"))
        counts[outcome] = counts.get(outcome, 0) + 1
    return counts


def _slowest(stages: t.Iterable[t.Mapping[str, t.Any]]) -> str:
    steps = [(stage["title"], one) for stage in stages for one in stage["objects"] if one.get("duration_ms")]
    steps.sort(key=lambda pair: -pair[1]["duration_ms"])
    rows = [
        (text(duration(one["duration_ms"])), name(label_of(one)), text(one.get("kind")), text(title))
        for title, one in steps[:_SLOWEST]
    ]
    return table(("Time", "Object", "Kind", "Stage"), rows, short=(0, 2, 3))


def _merged(*lists: t.Iterable[t.Mapping[str, t.Any]]) -> list[t.Mapping[str, t.Any]]:
    """What later lists say of an object replaces what earlier ones said."""
    found: dict[tuple[str, ...], t.Mapping[str, t.Any]] = {}
    for objects in lists:
        for place, one in enumerate(objects):
            names = tuple(str(one.get(part, "")) for part in ("kind", "schema", "table", "name"))
            twin = str(place) if one.get("kind") == "job" else ""  # two jobs may be the same in everything
            key = (*names, twin)
            found[key] = one
    return list(found.values())


def _listed(objects: t.Iterable[t.Mapping[str, t.Any]]) -> str:
    """Objects with everything that their stage tells of them."""
    rows = [
        (
            badge(str(one.get("outcome"))),
            f"{name(label_of(one))}<br><small>{text(one.get('kind'))}</small>",
            text(one.get("reason")),
            _more(one),
        )
        for one in objects
    ]
    return table(("Outcome", "Object", "Why", "More"), rows, short=(0,))


def _more(entry: t.Mapping[str, t.Any]) -> str:
    told = []
    for key, value in entry.items():
        if key not in _COMMON and value not in (None, "", [], {}):
            shown = json.dumps(value, ensure_ascii=False) if isinstance(value, (dict, list, bool)) else value
            told.append(f"{text(key.replace('_', ' '))}: {text(shown)}")
    return "<br>".join(told)


def _verification(stage: t.Mapping[str, t.Any]) -> str:
    """Rows and contents side by side; the differences stand at the top of the page."""
    if stage["state"] in ("not run", "skipped"):
        return '<p class="soft">The databases were not compared in this run.</p>'
    verdict = "Everything that was compared is the same." if stage.get("equal") else "The databases are not the same."
    rows = [
        (
            badge(str(one.get("outcome"))),
            f"{name(label_of(one))}<br><small>{text(one.get('kind'))}</small>",
            text(one["rows"].get("source")),
            text(one["rows"].get("target")),
            text(one.get("source_stale") or ""),
        )
        for one in stage["objects"]
        if isinstance(one.get("rows"), dict)
    ]
    head = ("Outcome", "Object", "Rows on the source", "Rows on the target", "Left out as stale")
    return f"<p>{text(verdict)}</p>\n{table(head, rows, numbers=(2, 3, 4), short=(0, 2, 3, 4))}"


def _all_objects(stages: t.Iterable[t.Mapping[str, t.Any]]) -> str:
    parts = []
    for stage in stages:
        for outcome in _OUTCOMES:
            names = [f"{one.get('kind')} {label_of(one)}" for one in stage["objects"] if one.get("outcome") == outcome]
            if names:
                items = "".join(f"<li>{name(one)}</li>" for one in names)
                head = f"{text(stage['title'])}: {len(names)} {text(outcome)}"
                parts.append(f'<details><summary>{head}</summary><ul class="names">{items}</ul></details>')
    return "\n".join(parts)

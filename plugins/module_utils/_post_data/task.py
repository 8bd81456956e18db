# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""From a task's options to its plan: the archive, the two catalogs, the comparison."""

from __future__ import annotations

import dataclasses
import functools
import os
import typing as t
from concurrent.futures import ThreadPoolExecutor

from .._errors import BadInput
from .._plan import Finding, Identity, Plan
from .archive import Archive, read_archive
from .catalog import Document, read
from .dump import Making, prepare
from .indexes import read_hypertables
from .objects import CONSTRAINTS, Inventory, Thing
from .plan import make_plan
from .printed import settle
from .resources import Resources, keep_within
from .selection import OPT_IN, Options
from .statements import document_of
from .wanted import Item, wanted_items

if t.TYPE_CHECKING:
    from .._connection import Database
    from .._module import Session

__all__ = ["compare", "plan_of"]

# A privilege is enough for these.
_NOT_BY_OWNER = ("trigger", "refresh")
# Kinds that refuse, change or hide rows, and what is said of objects: on the target alone they are differences too.
# An index is none, because it costs time only.
_TELLING = (
    *("primary_key", "unique", "exclude", "foreign_key", "check", "trigger", "trigger_state", "rule", "rule_state"),
    *("policy", "row_security", "comment"),
)
_NAMED = 20  # objects that the warning lists


def plan_of(session: Session, options: Options, resources: Resources) -> Plan:
    """Read both sides and compare them.

    :param resources: the target's.
    :raises BadInput: the archive cannot be made or read.
    """
    path = session.params["dump_file"] or ""
    given = path if os.path.exists(path) else ""
    dump = functools.partial(_archive, session, given)
    items, source, target, warnings = _read(
        session.source, session.target, dump, lambda: _document(session), options, given
    )
    if options.strategy.choice in ("auto", "chunk"):
        strategy = dataclasses.replace(options.strategy, hypertables=read_hypertables(session.target))
        options = dataclasses.replace(options, strategy=strategy)
    plan = make_plan(items, source, target, session.target.facts, options)
    if session.check_mode and session.params["second_part"]:
        first = dataclasses.replace(options, row_security="none", dependents=False, refresh=False)
        _leave_out(plan, make_plan(items, source, target, session.target.facts, first))
    plan.warnings += warnings + _not_in_archive(items, source, path, options)
    _require_ownership(plan, target, session)
    keep_within(plan, target, resources, session.params["jobs"])
    return plan


def compare(source: Database, target: Database, options: Options, client_path: str = "") -> Plan:
    """What would have to be done between two databases, and what only the target has; both are only read.

    :param client_path: the folder of pg_dump.
    :raises BadInput: there is no fitting pg_dump.
    :raises TimescaleError: pg_dump failed.
    """
    dump = functools.partial(prepare, source, "", client_path=client_path)
    items, wanted, existing, _none = _read(source, target, dump, lambda: read(source), options)
    plan = make_plan(items, wanted, existing, target.facts, options)
    plan.warnings += _not_in_archive(items, wanted, "", options)
    told = {finding.object for finding in plan.findings}
    plan.findings += [one for one in _surplus(wanted, existing, options) if one.object not in told]
    return plan


def _surplus(source: Inventory, target: Inventory, options: Options) -> list[Finding]:
    """What the target alone has. The state of a trigger that the source has too is the plan's to tell."""
    findings = []
    for identity, thing in target.things.items():
        chosen = identity.kind in _TELLING and identity.name != "_RETURN" and options.in_schemas(identity.schema)
        usual = thing.own or thing.inherited or thing.definition == "ENABLE"  # the state of a partition's trigger
        if identity.kind.endswith("_state"):
            usual = usual or dataclasses.replace(identity, kind=identity.kind.partition("_")[0]) in source.things
        if chosen and identity not in source.things and not usual:
            state = f": {thing.definition}" if identity.kind.endswith("_state") else ""
            reason = f"Only the target has it{state}."
            hint = "Take it back on the target if it is not wanted."
            findings.append(Finding(identity, "drifted", reason, hint, before=thing.definition))
    return findings


def _read(
    source: Database | None,
    target: Database,
    prepare_archive: t.Callable[[], Making],
    read_source: t.Callable[[], Document | None],
    options: Options,
    given: str = "",
) -> tuple[list[Item], Inventory, Inventory, list[str]]:
    """Three waits that have nothing to do with each other: pg_dump, the source's catalog, the target's.

    :param given: the archive that was there before.
    :returns: what the source wants, what each side has, and warnings.
    """

    def describe() -> Inventory | None:
        document = read_source()
        return None if document is None else Inventory(document, functools.partial(_place, options, reading.result()))

    with ThreadPoolExecutor(max_workers=2) as others:
        try:
            reading = others.submit(lambda: Inventory(read(target)))
            make_archive = prepare_archive()  # asks the source, whose session is busy from here on
            describing = others.submit(describe)
            archive = make_archive()  # in this thread, which signals interrupt
            existing, wanted = reading.result(), describing.result()
        except BaseException:
            for database in (source, target):
                if database is not None:
                    database.cancel()  # or the others would go on
            raise
    place = functools.partial(_place, options, existing)
    warnings = _otherwise_in_archive(archive, wanted, given, place) if given and wanted is not None else []
    wanted = wanted or Inventory(document_of(archive), place)
    settle(target, wanted, existing)
    return wanted_items(archive, wanted), wanted, existing, warnings


def _place(options: Options, target: Inventory, tablespace: str) -> str:
    """Where an index of the source's tablespace belongs on the target, empty for the database's own tablespace."""
    name = options.tablespaces.get(tablespace, tablespace)
    return name if name in target.tablespaces and name != target.standard_tablespace else ""


def _document(session: Session) -> Document | None:
    """The source's catalog, None when the archive is all there is."""
    if session.source is None and not session.params["source_file"]:
        return None
    _facts, document = session.wanted("post_data", read)
    return t.cast(Document, document)


def _leave_out(plan: Plan, earlier: Plan) -> None:
    """Count as there what an earlier task of the same run would have created."""
    done = {step.key for step in earlier.steps}
    for step in plan.steps:
        if step.key in done:
            plan.findings.append(Finding(step.object, "present", "An earlier task of the same run creates it."))
    plan.steps = [step for step in plan.steps if step.key not in done]


def _archive(session: Session, given: str) -> Making:
    path = session.params["dump_file"] or ""
    if session.source is None or given:
        return functools.partial(read_archive, path)
    kept = "" if session.check_mode else path
    return prepare(session.source, kept, client_path=session.params["client_path"] or "")


def _not_in_archive(items: t.Sequence[Item], source: Inventory, path: str, options: Options) -> list[str]:
    """Objects of the source that the archive lacks: it hides a schema, is older, or its role could not see them."""
    seen = {item.identity for item in items}
    kept = [identity for identity in source.things if _in_section(source, identity, options)]
    lacking = [identity for identity in kept if identity not in seen]
    if not lacking:
        return []
    named = ", ".join(sorted(one.label for one in lacking)[:_NAMED]) + (" …" if len(lacking) > _NAMED else "")
    text = f"{path or 'The dump'} lacks {len(lacking)} objects of the source, which are not moved: {named}."
    hidden = {one.schema for one in lacking if one.schema} - {one.schema for one in kept if one in seen}
    if hidden:
        text += f" It holds nothing of these schemas: {', '.join(sorted(hidden))}. A pattern of pg_dump may hide them."
    return [text]


def _otherwise_in_archive(archive: Archive, source: Inventory, path: str, place: t.Callable[[str], str]) -> list[str]:
    """Objects that the source has changed since the archive was made: its statements are run, not the source's."""
    told = Inventory(document_of(archive), place).things
    other = [one for one, thing in told.items() if one in source.things and _differs(thing, source.things[one])]
    if not other:
        return []
    named = ", ".join(sorted(one.label for one in other)[:_NAMED]) + (" …" if len(other) > _NAMED else "")
    return [
        f"{path} is older than the source. Make it anew: {len(other)} objects are moved as they were then: {named}."
    ]


def _differs(told: Thing, thing: Thing) -> bool:
    return told.definition != thing.definition and not (thing.own or thing.inherited)


def _in_section(source: Inventory, identity: Identity, options: Options) -> bool:
    """Whether pg_dump writes such an object into the section, and the options leave it in."""
    thing = source.things[identity]
    if thing.own or thing.inherited or identity.name == "_RETURN" or not options.in_schemas(identity.schema):
        return False
    if identity.kind == "comment":  # of what is in the section itself
        kind, _blank, name = identity.name.partition(" ")
        on = CONSTRAINTS.values() if kind == "constraint" else (kind,)
        return any(
            one in source.things and _in_section(source, one, options)
            for one in (dataclasses.replace(identity, kind=each, name=name) for each in on)
        )
    if identity.kind in ("check", "not_null"):  # a validated one comes with its table
        return thing.definition.endswith("NOT VALID")
    if identity.kind == "replica_identity":  # others come with the table
        return not thing.definition.startswith("REPLICA IDENTITY ")
    return identity.kind not in OPT_IN or OPT_IN[identity.kind] in options.include


def _require_ownership(plan: Plan, target: Inventory, session: Session) -> None:
    """One message in place of one refusal per object.

    :raises BadInput: the role is not an owner of relations that need work.
    """
    objects = [step.object for step in plan.steps if step.object.kind not in _NOT_BY_OWNER]
    names = {(one.schema, one.table or one.name) for one in objects}
    others = sorted(name for name in names if name in target.relations and not target.relations[name].owned)
    if not others:
        return
    role = session.target.value("SELECT current_user::pg_catalog.text")
    named = ", ".join(".".join(name) for name in others[:_NAMED]) + (" …" if len(others) > _NAMED else "")
    raise BadInput(
        f"Nothing was changed. The target's role {role} does not own {len(others)} relations that need work: {named}.",
        hint="Connect as their owner, name it in session_role, or grant its role to this one.",
    )

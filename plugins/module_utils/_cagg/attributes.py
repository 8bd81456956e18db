# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""Owner, comments, grants, and the storage attributes of an aggregate: what differs becomes a statement.

The same functions serve a new object and one that is there: for a new one, ``existing`` says what creation gives.
"""

from __future__ import annotations

import typing as t

from .._connection import Facts
from .._sql import identifier, literal, quote_identifier, raw, statement
from .._versions import PG_MAINTAIN

__all__ = [
    "FRESH",
    "attributes",
    "default_index",
    "name_of",
    "owner_refusal",
    "refused_attributes",
    "storage",
    "unbuildable",
    "unmoved",
]

# What a new object has: nothing but an owner.
FRESH: dict[str, t.Any] = {"acl": None, "columns": (), "comment": None, "withheld": None, "default": None}
_PUBLIC_EXECUTE = {"grantee": None, "privilege": "EXECUTE", "grantable": False}
_KINDS = {  # how ALTER, COMMENT ON and GRANT call it; an aggregate is a view in PostgreSQL's eyes
    "aggregate": ("MATERIALIZED VIEW", "VIEW", "TABLE"),
    "materialized view": ("MATERIALIZED VIEW", "MATERIALIZED VIEW", "TABLE"),
    "view": ("VIEW", "VIEW", "TABLE"),
    "function": ("ROUTINE", "ROUTINE", "ROUTINE"),
}
_MATERIALIZATION = """(SELECT pg_catalog.format('%I.%I',
    i.materialization_hypertable_schema, i.materialization_hypertable_name)
  FROM timescaledb_information.continuous_aggregates AS i WHERE i.view_schema = {schema} AND i.view_name = {name})"""


def name_of(entry: t.Mapping[str, t.Any]) -> t.Any:
    """The object's name for a statement, with its arguments when it is a function."""
    name = identifier(entry["schema"], entry["name"])
    if entry.get("arguments") is None:
        return name
    return raw(statement("{}({})", name, raw(entry["arguments"])))


def attributes(
    kind: str,
    wanted: t.Mapping[str, t.Any],
    existing: t.Mapping[str, t.Any],
    surroundings: t.Mapping[str, t.Any],
    target: Facts,
) -> list[str]:
    """Statements for comments, owner and grants that are wanted and missing. What the target has besides is left alone.

    :param kind: aggregate, view, materialized view or function.
    :param existing: the target's object, or ``FRESH`` with ``owner`` for one that is about to be created.
    """
    alter, comment, _grant = _KINDS[kind]
    name = name_of(wanted)
    made = []
    if wanted["comment"] != existing["comment"] and wanted["comment"] is not None:
        made.append(statement(f"COMMENT ON {comment} {{}} IS {{}}", name, literal(wanted["comment"])))
    there = {column["name"]: column for column in existing["columns"] or ()}
    for column in wanted["columns"] or ():
        if column["comment"] not in (None, there.get(column["name"], FRESH)["comment"]):
            full = identifier(wanted["schema"], wanted["name"], column["name"])
            made.append(statement("COMMENT ON COLUMN {} IS {}", full, literal(column["comment"])))
        if column.get("default") is not None and there.get(column["name"], FRESH).get("default") is None:
            template = f"ALTER {alter} {{}} ALTER COLUMN {{}} SET DEFAULT {{}}"
            made.append(statement(template, name, identifier(column["name"]), raw(column["default"])))
    if wanted["owner"] != existing["owner"] and not owner_refusal(wanted, surroundings):
        made.append(statement(f"ALTER {alter} {{}} OWNER TO {{}}", name, identifier(wanted["owner"])))
    made += _grants(kind, wanted["acl"], existing["acl"], name, surroundings, target, "")
    withheld = [right for right in wanted.get("withheld") or () if right not in (existing.get("withheld") or ())]
    if withheld and not owner_refusal(wanted, surroundings):
        listed = raw(", ".join(withheld))
        made.append(statement(f"REVOKE {{}} ON {_grant} {{}} FROM {{}}", listed, name, identifier(wanted["owner"])))
    for column in wanted["columns"] or ():
        have = there.get(column["name"], FRESH)["acl"]
        made += _grants(kind, column["acl"], have, name, surroundings, target, quote_identifier(column["name"]))
    return made


def refused_attributes(
    wanted: t.Mapping[str, t.Any], owner: str, surroundings: t.Mapping[str, t.Any], target: Facts
) -> list[tuple[str, str, str]]:
    """What cannot be given here: outcome, sentence and remedy of each.

    An owner or a grantee that is missing is no reason to leave an object out: ``pg_restore --no-owner`` does the same.

    :param owner: who owns the target's object, or will own a new one.
    """
    roles = surroundings["roles"]
    told = []
    refusal = owner_refusal(wanted, surroundings) if wanted["owner"] != owner else None
    if refusal is not None:
        why, remedy = refusal
        reason = f"On the source its owner is {wanted['owner']}, {why}; here it is {owner}."
        told.append(("skipped", reason, f"{remedy} and run the task again, or leave it."))
    items = list(wanted["acl"] or ()) + [item for column in wanted["columns"] or () for item in column["acl"] or ()]
    lost = sorted({item["grantee"] for item in items if item["grantee"] is not None and item["grantee"] not in roles})
    hint = "Create the role and run the task again, or leave it."
    told += [("skipped", f"Role {name}, which has rights on it, does not exist on the target.", hint) for name in lost]
    if target.server_version < PG_MAINTAIN and any(item["privilege"] == "MAINTAIN" for item in items):
        reason = "The target's PostgreSQL does not know the privilege MAINTAIN."
        told.append(("unsupported", reason, "Update it to 17 or later."))
    return told


def owner_refusal(wanted: t.Mapping[str, t.Any], surroundings: t.Mapping[str, t.Any]) -> tuple[str, str] | None:
    """Why the source's owner cannot be made the owner here, and what would help."""
    owner = wanted["owner"]
    if owner not in surroundings["roles"]:
        return "which the target does not have", "Create the role"
    if not surroundings["roles"][owner]:
        return "of which the connecting role is no member", "Grant the membership"
    # The materialization gets the same owner; its schema is TimescaleDB's own, on both sides.
    for schema in [wanted["schema"], *(wanted.get("materialization") or ())[:1]]:
        if [schema, owner] in surroundings.get("barred", ()):
            return f"which has no right CREATE on schema {schema}", "Grant it"
    return None


def _grants(
    kind: str,
    wanted: t.Sequence[t.Mapping[str, t.Any]] | None,
    existing: t.Sequence[t.Mapping[str, t.Any]] | None,
    name: t.Any,
    surroundings: t.Mapping[str, t.Any],
    target: Facts,
    column: str,
) -> list[str]:
    have = list(existing or ())
    made = []
    if _PUBLIC_EXECUTE in have and kind == "function" and _PUBLIC_EXECUTE not in (wanted or ()):
        made.append(statement("REVOKE EXECUTE ON ROUTINE {} FROM PUBLIC", name))
    by_grantee: dict[tuple[str | None, bool], list[str]] = {}
    for item in wanted or ():
        known = item["grantee"] is None or item["grantee"] in surroundings["roles"]
        if item not in have and known and (item["privilege"] != "MAINTAIN" or target.server_version >= PG_MAINTAIN):
            by_grantee.setdefault((item["grantee"], item["grantable"]), []).append(item["privilege"])
    for (grantee, grantable), privileges in by_grantee.items():
        made.append(
            statement(
                f"GRANT {{}} ON {_KINDS[kind][2]} {{}} TO {{}}{' WITH GRANT OPTION' if grantable else ''}",
                raw(", ".join(f"{privilege} ({column})" if column else privilege for privilege in sorted(privileges))),
                name,
                raw("PUBLIC") if grantee is None else identifier(grantee),
            )
        )
    return made


def storage(wanted: t.Mapping[str, t.Any], existing: t.Mapping[str, t.Any], target: Facts) -> list[str]:
    """Statements for chunk interval, indexes and columnstore settings of an aggregate.

    :param existing: the target's aggregate, or what creation gives.
    """
    made = []
    lookup = raw(_materialization(wanted))
    if wanted["chunk_interval"] != existing["chunk_interval"]:
        setter = identifier(target.extension_schema, "set_chunk_time_interval")
        interval = raw(f"{int(wanted['chunk_interval'])}::pg_catalog.int8")
        made.append(statement("SELECT {}({}::pg_catalog.regclass, {})", setter, lookup, interval))
    made += _indexes(wanted, existing)
    made += _columnstore(wanted, existing)
    return made


def _indexes(wanted: t.Mapping[str, t.Any], existing: t.Mapping[str, t.Any]) -> list[str]:
    have: dict[tuple[bool, str], list[t.Any]] = {}
    for index in existing["indexes"] or ():
        have.setdefault((index.get("unique", False), index["tail"]), []).append(index.get("comment"))
    made = []
    for index in wanted["indexes"] or ():
        told = None
        there = have.get((index["unique"], index["tail"]))
        if there:
            told = there.pop()
        else:
            made.append(_create_index(wanted, index))
        if index["comment"] not in (None, told):
            made.append(_comment_on_index(wanted, index))
    if existing.get("fresh") and any(have.values()):
        made.insert(0, _drop_default_index(wanted))
    return made


def default_index(entry: t.Mapping[str, t.Any]) -> str:
    """The index that creation makes on the bucket, as the server prints it; the name is quoted where it must be."""
    plain = f"USING btree ({entry['time_column']} DESC)"
    quoted = statement("USING btree ({} DESC)", identifier(entry["time_column"]))
    return plain if plain in [index["tail"] for index in entry["indexes"] or ()] else quoted


def unbuildable(wanted: t.Mapping[str, t.Any], surroundings: t.Mapping[str, t.Any]) -> list[t.Any]:
    """Unique indexes that the connecting role may not create in the materialization's schema."""
    schema = wanted["materialization"][0]
    if schema in surroundings.get("creatable", [schema]):
        return []
    return [index for index in wanted["indexes"] or () if index["unique"]]


def _create_index(wanted: t.Mapping[str, t.Any], index: t.Mapping[str, t.Any]) -> str:
    """A name that the server gave holds its materialization's number: there the server gives one again."""
    own_name = not index["name"].startswith(wanted["materialization"][1])
    named = statement("{} ON ", identifier(index["name"])) if own_name else "ON "
    if index["unique"]:  # TimescaleDB takes one on the materialization alone
        return _execute(f"CREATE UNIQUE INDEX {named}", _materialization(wanted), f" {index['tail']}")
    return statement("CREATE INDEX {}{} {}", raw(named), name_of(wanted), raw(index["tail"]))


def _comment_on_index(wanted: t.Mapping[str, t.Any], index: t.Mapping[str, t.Any]) -> str:
    """By its definition: its name on the target is not known beforehand."""
    found = statement(
        "(SELECT pg_catalog.format('%I.%I', x.schemaname, x.indexname) FROM pg_catalog.pg_indexes AS x"
        " WHERE pg_catalog.format('%I.%I', x.schemaname, x.tablename) = {} AND pg_catalog.right(x.indexdef, {}) = {}"
        " AND pg_catalog.starts_with(x.indexdef, {}) ORDER BY x.indexname LIMIT 1)",
        raw(_materialization(wanted)),
        literal(len(index["tail"]) + 1),
        literal(" " + index["tail"]),
        literal("CREATE UNIQUE INDEX " if index["unique"] else "CREATE INDEX "),
    )
    return _execute("COMMENT ON INDEX ", found, statement(" IS {}", literal(index["comment"])))


def _drop_default_index(wanted: t.Mapping[str, t.Any]) -> str:
    """The source dropped the index that creation makes on the bucket; its name is not known beforehand."""
    found = statement(
        "(SELECT pg_catalog.format('%I.%I', x.schemaname, x.indexname) FROM pg_catalog.pg_indexes AS x"
        " WHERE pg_catalog.format('%I.%I', x.schemaname, x.tablename) = {})",
        raw(_materialization(wanted)),
    )
    return _execute("DROP INDEX ", found, "")


def _materialization(wanted: t.Mapping[str, t.Any]) -> str:
    return statement(_MATERIALIZATION, schema=literal(wanted["schema"]), name=literal(wanted["name"]))


def _execute(before: str, found: str, after: str) -> str:
    """A statement around a name that a query finds."""
    body = statement("BEGIN EXECUTE {} || {} || {}; END", literal(before), raw(found), literal(after))
    return statement("DO {}", literal(body))


def _columnstore(wanted: t.Mapping[str, t.Any], existing: t.Mapping[str, t.Any]) -> list[str]:
    settings = wanted["columnstore"]
    have = existing["columnstore"]
    if settings is None or (have is not None and all(settings[key] in (None, have[key]) for key in settings)):
        return []
    segment = ", ".join(quote_identifier(column) for column in settings["segmentby"] or ())
    parts = ["timescaledb.compress = true", statement("timescaledb.compress_segmentby = {}", literal(segment))]
    if settings["orderby"]:
        order = ", ".join(
            f"{quote_identifier(column)} {'ASC' if ascending else 'DESC'} NULLS {'FIRST' if nulls_first else 'LAST'}"
            for column, ascending, nulls_first in settings["orderby"]
        )
        parts.append(statement("timescaledb.compress_orderby = {}", literal(order)))
    elif not settings["segmentby"]:
        parts = parts[:1]  # defaults that are worked out when a chunk is compressed
    if settings["interval"]:
        parts.append(f"timescaledb.compress_chunk_time_interval = '{int(settings['interval'])} microseconds'")
    return [statement("ALTER MATERIALIZED VIEW {} SET ({})", name_of(wanted), raw(", ".join(parts)))]


def unmoved(wanted: t.Mapping[str, t.Any], existing: t.Mapping[str, t.Any] | None) -> list[tuple[str, str]]:
    """What the source's materialization has and this module leaves out: statement's text and how to run it by hand.

    Each is a template of format() for the materialization's schema and name, which is another one on the target.

    :param existing: the target's aggregate, None for one that is about to be created.
    """
    have = (existing or {}).get("unmoved") or ()
    told = []
    for template in wanted.get("unmoved") or ():
        if template in have:
            continue
        text = template.replace("%1$I.%2$I", "its materialization").replace("%1$I.", "").replace("%2$s", "…")
        run = statement(
            "SELECT pg_catalog.format({}, i.materialization_hypertable_schema, i.materialization_hypertable_name)"
            " FROM timescaledb_information.continuous_aggregates AS i"
            " WHERE i.view_schema = {} AND i.view_name = {} \\gexec",
            literal(template),
            literal(wanted["schema"]),
            literal(wanted["name"]),
        )
        told.append((text.replace("%%", "%"), run))
    return told

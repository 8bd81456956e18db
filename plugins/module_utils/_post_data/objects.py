# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""Turns a catalog document into objects: each has an identity and a definition, and nothing that belongs to one side.

Both sides go through this, so that comparing is comparing two texts under one name. What an entry of the archive
carries besides its object (CLUSTER ON, a trigger's state, a comment …) is an object of its own here.
"""

from __future__ import annotations

import dataclasses
import re
import typing as t

from .._plan import Identity
from .._sql import quote_identifier
from . import scanner
from .catalog import Document

__all__ = ["CATALOGS", "Inventory", "Name", "Relation", "Thing"]

Name = tuple[str, str]  # schema and name

# The oids of system catalogs, fixed for all versions (PostgreSQL source, src/include/catalog).
CATALOGS = {
    "indexes": 1259,
    "constraints": 2606,
    "triggers": 2620,
    "rules": 2618,
    "policies": 3256,
    "statistics": 3381,
    "event_triggers": 3466,
    "publications": 6104,
    "publication_tables": 6106,
    "publication_schemas": 6237,
    "subscriptions": 6100,
    "default_privileges": 826,
}
CONSTRAINTS = {
    "p": "primary_key",
    "u": "unique",
    "x": "exclude",
    "f": "foreign_key",
    "c": "check",
    "n": "not_null",
}
_STATES = {"D": "DISABLE", "R": "ENABLE REPLICA", "A": "ENABLE ALWAYS", "O": "ENABLE"}
_WHOLE_IDENTITIES = {"f": "REPLICA IDENTITY FULL", "n": "REPLICA IDENTITY NOTHING"}  # these come with the table
# Triggers that TimescaleDB made on hypertables up to 2.22, known by the function they call.
_OWN_SCHEMAS = ("_timescaledb_internal", "_timescaledb_functions")
OWN_FUNCTIONS = ("insert_blocker", "continuous_agg_invalidation_trigger")
_PROCEDURE = re.compile(r" EXECUTE PROCEDURE ")


@dataclasses.dataclass(frozen=True)
class Relation:
    """A table or view: what planning needs to know of it.

    :param kind: pg_class.relkind.
    :param parent: the partitioned table it is a partition of.
    :param dimensions: its partition columns when it is a hypertable.
    :param columnstore: it is a hypertable with columnstore (compression) enabled.
    :param on_aggregate: it is a continuous aggregate or reads one, over any number of views.
    :param owned: the role that reads may alter it as its owner.
    :param bytes: its size, for largest first; a hypertable's chunks together.
    """

    name: Name
    kind: str = "r"
    parent: Name | None = None
    dimensions: tuple[str, ...] = ()
    columnstore: bool = False
    on_aggregate: bool = False
    bytes: int = 0
    chunks: int = 0
    owned: bool = True

    @property
    def is_hypertable(self) -> bool:
        return bool(self.dimensions)


@dataclasses.dataclass(frozen=True)
class Thing:
    """An object of the section.

    :param definition: the text that is compared.
    :param printed: how the server prints it, where that says less: not an index's tablespace, for example.
    :param relation: what it belongs to, None for objects of the database.
    :param reads: further relations it needs (a rule's, a policy's, a foreign key's other table).
    :param valid: False for an index that a failed build left behind, or that chunks lack.
    :param lacking: how many chunks of the hypertable have no such index, foreign key or row trigger.
    :param whole: False for a partitioned index that is not valid: a partition's is not attached, or that was lost.
    :param own: it is TimescaleDB's own.
    :param inherited: a copy of what a parent has: a partition's trigger and its state, a child's check.
    """

    identity: Identity
    definition: str
    relation: Name | None = None
    reads: tuple[Name, ...] = ()
    valid: bool = True
    lacking: int = 0
    whole: bool = True
    own: bool = False
    inherited: bool = False
    printed: str = ""


class Inventory:
    """Everything one side has.

    :ivar things: by identity.
    :ivar by_oid: identity by (oid of the system catalog, oid), for the archive's entries.
    :ivar relations: by schema and name.
    :ivar from_archive: it tells what the section holds, and nothing of the tables.
    :ivar superuser: the role that reads is one.
    :ivar may_subscribe: it may create subscriptions.

    :param place: the target's name for a tablespace, empty for the database's own.
    """

    def __init__(self, document: Document, place: t.Callable[[str], str] = str) -> None:
        self.things: dict[Identity, Thing] = {}
        self.by_oid: dict[tuple[int, int], Identity] = {}
        self.names: dict[int, Name] = {row["oid"]: (row["schema"], row["name"]) for row in document["relations"]}
        self.relations = dict(map(self._relation, document["relations"]))
        self.tablespaces = {row["name"] for row in document["tablespaces"]}
        self.standard_tablespace = next((row["name"] for row in document["tablespaces"] if row.get("standard")), "")
        role: dict[str, t.Any] = next(iter(document.get("role", ())), {})
        self.from_archive = bool(document.get("archive"))
        self.superuser, self.may_subscribe = role.get("superuser", True), role.get("may_subscribe", True)
        self._place = place
        self._extensions: dict[tuple[int, int], str] = {}
        for row in document.get("extension_dependencies", ()):
            on = (row["class"], row["object"])
            self._extensions[on] = f"{self._extensions.get(on, '')} DEPENDS ON EXTENSION {row['extension']}"
        self.chunks = {(row["schema"], row["name"]) for row in document["chunks"]}
        self.strays: list[tuple[Name, str, str]] = []
        self._reads = {
            (row["class"], row["object"]): tuple(self.names[oid] for oid in row["relations"] if oid in self.names)
            for row in document["reads"]
        }
        self._indexes_by_oid = {row["oid"]: row for row in document["indexes"]}
        self._hypertable_ids = {row["oid"]: row["hypertable_id"] for row in document["relations"]}
        for part in ("indexes", "constraints", "triggers", "rules", "policies", "statistics"):
            make = getattr(self, f"_{part}")
            for row in document[part]:
                # The functions that print definitions see what is committed now: an object that somebody dropped
                # while the catalog was read has none any more (PostgreSQL manual, 9.27.7).
                if row.get("definition", "") is not None:
                    make(row)
        self._attached()
        self._tables(document)
        self._database_wide(document)

    def _add(self, thing: Thing, part: str = "", oid: int = 0, comment: str | None = None) -> None:
        self.things[thing.identity] = thing
        if part:
            self.by_oid[CATALOGS[part], oid] = thing.identity
        if comment is not None:
            self._add(Thing(comment_on(thing.identity), comment, thing.relation, thing.reads))

    def _relation(self, row: dict[str, t.Any]) -> tuple[Name, Relation]:
        name = (row["schema"], row["name"])
        return name, Relation(
            name,
            row["kind"],
            self.names.get(row["parent"]),
            tuple(row["dimensions"] or ()),
            row["columnstore"],
            row["on_aggregate"],
            int(row["bytes"] or 0),
            int(row["chunks"]),
            row.get("owned", True),
        )

    def _indexes(self, row: dict[str, t.Any]) -> None:
        relation = self.names[row["relation"]]
        schema, table = relation
        identity = Identity("index", schema, row["name"], table)
        if row["constraint"] is None:
            # A partitioned index is invalid until its last partition is attached: that is work left, not damage.
            valid = row["valid"] or self.relations[relation].kind == "p"
            lacking = int(row.get("lacking") or 0)
            definition = row["definition"] + self._beyond("indexes", row)
            made = Thing(identity, definition, relation, valid=valid and not lacking, lacking=lacking)
            made = dataclasses.replace(made, whole=row["valid"], printed=row["definition"])
            self._add(made, "indexes", row["oid"], row["comment"])
        elif row["comment"] is not None:
            self._add(Thing(comment_on(identity), row["comment"], relation))
        for kind, mark in (("cluster", row["clustered"]), ("replica_identity", row["replica_identity"])):
            if mark:
                self._add(Thing(Identity(kind, schema, table), row["name"], relation))
        if row["statistics"]:
            targets = ", ".join(f"column {number}: {target}" for number, target in row["statistics"].items())
            self._add(Thing(Identity("index_statistics", schema, row["name"], table), targets, relation))

    def _attached(self) -> None:
        for row in self._indexes_by_oid.values():
            above = self._indexes_by_oid.get(row["parent"])
            if above is not None:
                schema, table = relation = self.names[row["relation"]]
                over = self.names[above["relation"]]
                definition = f"partition of {over[0]}.{above['name']}"
                self._add(Thing(Identity("index_attach", schema, row["name"], table), definition, relation, (over,)))

    def _constraints(self, row: dict[str, t.Any]) -> None:
        relation = self.names.get(row["relation"])
        schema, table = relation or (row["schema"], row["domain"])
        referenced = self.names.get(row["referenced"])
        identity = Identity(CONSTRAINTS[row["type"]], schema, row["name"], table)
        reads = (referenced,) if referenced else ()
        own_index = row["type"] in ("p", "u", "x")
        index = self._indexes_by_oid.get(row["index"]) if own_index else None
        lacking = int((index or row).get("lacking") or 0)
        inherited = row["type"] in ("c", "n") and bool(row.get("inherited"))
        printed = row["definition"]
        definition = printed + (self._beyond("indexes", index, options=row["type"] != "x") if index else "")
        thing = Thing(identity, definition, relation, reads, inherited=inherited, lacking=lacking, printed=printed)
        thing = dataclasses.replace(thing, whole=index is None or index["valid"])
        self._add(thing, "constraints", row["oid"], row["comment"])

    def _beyond(self, part: str, row: dict[str, t.Any], *, options: bool = False) -> str:
        """What an object has besides what the server's own text of it tells.

        :param options: also the storage parameters, which a key's text lacks.
        """
        text = f" WITH ({row['options']})" if options and row["options"] else ""
        tablespace = self._place(row.get("tablespace") or "")
        text += f" TABLESPACE {quote_identifier(tablespace)}" if tablespace else ""
        return text + self._extensions.get((CATALOGS[part], row["oid"]), "")

    def _triggers(self, row: dict[str, t.Any]) -> None:
        schema, table = relation = self.names[row["relation"]]
        identity = Identity("trigger", schema, row["name"], table)
        own = row["function_schema"] in _OWN_SCHEMAS and row["function"] in OWN_FUNCTIONS
        if own:
            self._note_stray(row, relation)
        definition = _PROCEDURE.sub(" EXECUTE FUNCTION ", row["definition"], count=1) + self._beyond("triggers", row)
        lacking = int(row.get("lacking") or 0)
        copy = bool(row["clone"])
        thing = Thing(
            identity, definition, relation, lacking=lacking, own=own, inherited=copy, printed=row["definition"]
        )
        self._add(thing, "triggers", row["oid"], row["comment"])
        if not own and (row["enabled"] != "O" or copy):
            named = Identity("trigger_state", schema, row["name"], table)
            self._add(Thing(named, _STATES[row["enabled"]], relation, inherited=copy))

    def _note_stray(self, row: dict[str, t.Any], relation: Name) -> None:
        hypertable = self._hypertable_ids[row["relation"]]
        blocker = row["function"] == "insert_blocker"
        right = hypertable is not None and (blocker or row["arguments"].partition("\\000")[0] == str(hypertable))
        if not right:
            name = f"{quote_identifier(relation[0])}.{quote_identifier(relation[1])}"
            self.strays.append((relation, row["name"], f"DROP TRIGGER {quote_identifier(row['name'])} ON {name}"))

    def _rules(self, row: dict[str, t.Any]) -> None:
        schema, table = relation = self.names[row["relation"]]
        identity = Identity("rule", schema, row["name"], table)
        reads = tuple(name for name in self._reads.get((CATALOGS["rules"], row["oid"]), ()) if name != relation)
        thing = Thing(identity, row["definition"].strip().rstrip(";"), relation, reads)
        self._add(thing, "rules", row["oid"], row["comment"])
        if row["enabled"] != "O":
            self._add(Thing(Identity("rule_state", schema, row["name"], table), _STATES[row["enabled"]], relation))

    def _policies(self, row: dict[str, t.Any]) -> None:
        schema, table = relation = self.names[row["relation"]]
        reads = tuple(name for name in self._reads.get((CATALOGS["policies"], row["oid"]), ()) if name != relation)
        thing = Thing(Identity("policy", schema, row["name"], table), row["definition"], relation, reads)
        self._add(thing, "policies", row["oid"], row["comment"])

    def _statistics(self, row: dict[str, t.Any]) -> None:
        relation = self.names[row["relation"]]
        identity = Identity("statistics", row["schema"], row["name"])
        self._add(Thing(identity, row["definition"], relation), "statistics", row["oid"], row["comment"])
        if row["target"] not in (None, "-1"):
            named = Identity("statistics_target", row["schema"], row["name"])
            self._add(Thing(named, row["target"], relation))

    def _tables(self, document: Document) -> None:
        rules = {row["relation"]: row["rule"] for row in document["matviews"]}
        for row in document["relations"]:
            schema, table = relation = self.names[row["oid"]]
            if row["replica_identity"] in _WHOLE_IDENTITIES and row["kind"] in ("r", "p"):
                text = _WHOLE_IDENTITIES[row["replica_identity"]]
                self._add(Thing(Identity("replica_identity", schema, table), text, relation))
            if row["row_security"]:
                self._add(Thing(Identity("row_security", schema, table), "ENABLE ROW LEVEL SECURITY", relation))
            if row["kind"] == "m" and row["populated"]:
                reads = self._reads.get((CATALOGS["rules"], rules.get(row["oid"], 0)), ())
                self._add(Thing(Identity("refresh", schema, table), "populated", relation, reads))

    def _database_wide(self, document: Document) -> None:
        for row in document["event_triggers"]:
            body = f"ON {row['event']} {row['tags'] or ''} EXECUTE FUNCTION {row['function_schema']}.{row['function']}"
            thing = Thing(Identity("event_trigger", "", row["name"]), f"{body} {_STATES[row['enabled']]}")
            self._add(thing, "event_triggers", row["oid"], row["comment"])
        for row in document["publications"]:
            # Servers know different settings: what is off, or PostgreSQL 18's default (n), is left out.
            on = {key: value for key, value in sorted(row["settings"].items()) if value not in (False, "n")}
            text = ", ".join(f"{key}: {value}" for key, value in on.items())
            self._add(Thing(Identity("publication", "", row["name"]), text), "publications", row["oid"], row["comment"])
        for row in document["publication_tables"]:
            schema, table = relation = self.names[row["relation"]]
            text = f"columns {row['columns'] or 'all'}, rows {row['filter'] or 'all'}"
            identity = Identity("publication_table", schema, row["publication"], table)
            self._add(Thing(identity, text, relation), "publication_tables", row["oid"])
        for row in document["publication_schemas"]:
            identity = Identity("publication_schema", row["schema"], row["publication"])
            self._add(Thing(identity, "all tables"), "publication_schemas", row["oid"])
        for row in document["subscriptions"]:
            text = f"publications {', '.join(row['publications'])}"
            thing = Thing(Identity("subscription", "", row["name"]), text)
            self._add(thing, "subscriptions", row["oid"], row["comment"])
        for row in document["default_privileges"]:
            identity = Identity("default_privileges", row["schema"] or "", f"{row['role']} {row['type']}")
            thing = Thing(identity, " ".join(row["privileges"] or ()))
            self._add(thing, "default_privileges", row["oid"])


def comment_on(identity: Identity) -> Identity:
    """The comment of an object, named after it. All constraints are one kind to COMMENT."""
    kind = "constraint" if identity.kind in CONSTRAINTS.values() else identity.kind
    return Identity("comment", identity.schema, f"{kind} {identity.name}", identity.table)


def shape(definition: str) -> str:
    """An index's definition without its name: two indexes of one shape are duplicates."""
    for token in scanner.tokens(definition):
        if token.is_word("ON"):
            unique = "UNIQUE " if definition.startswith("CREATE UNIQUE ") else ""
            return unique + definition[token.start :]
    return definition

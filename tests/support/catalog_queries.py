# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ``catalog.py`` asks. Each query gives a name and the object's values; ``{ours}`` stands for the first two texts.

``ours`` are the user's own relations: no system schema, no schema of an extension, no extension member, no chunk.
``chunk`` pairs each chunk with its hypertable. All run with an empty search path, in which pg_catalog always is.
"""

from __future__ import annotations

CHUNKS = """
chunk AS (
    SELECT i.inhrelid AS relation, i.inhparent AS root FROM pg_inherits i
    JOIN pg_class c ON c.oid = i.inhparent JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN _timescaledb_catalog.hypertable h ON h.schema_name = n.nspname AND h.table_name = c.relname
    WHERE c.relkind = 'r'
),
"""

NO_CHUNKS = """
chunk AS (SELECT NULL::oid AS relation, NULL::oid AS root WHERE false),
"""

OURS = """
member AS (SELECT classid, objid FROM pg_depend WHERE deptype = 'e'),
space AS (
    SELECT n.oid, n.nspname FROM pg_namespace n
    WHERE n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'
      AND ('pg_namespace'::regclass, n.oid) NOT IN (SELECT classid, objid FROM member)
),
ours AS (
    SELECT c.*, format('%I.%I', s.nspname, c.relname) AS name, s.nspname
    FROM pg_class c JOIN space s ON s.oid = c.relnamespace
    WHERE c.oid NOT IN (SELECT relation FROM chunk)
      AND ('pg_class'::regclass, c.oid) NOT IN (SELECT classid, objid FROM member)
)
"""

RELATIONS = """
WITH {ours}
SELECT o.name, json_build_object(
    'kind', CASE WHEN o.relkind = 'v' THEN 'view' ELSE o.relkind::text END,
    'owner', o.relowner::regrole::text,
    'row security', o.relrowsecurity, 'forced', o.relforcerowsecurity, 'replica identity', o.relreplident,
    'populated', o.relispopulated, 'options', o.reloptions,
    'columns', (SELECT json_agg(json_build_array(
            a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull) ORDER BY a.attnum)
        FROM pg_attribute a WHERE a.attrelid = o.oid AND a.attnum > 0 AND NOT a.attisdropped),
    'grants', ARRAY(SELECT concat_ws(' ', e.grantee::regrole, e.privilege_type, e.is_grantable)
        FROM aclexplode(coalesce(o.relacl, acldefault('r', o.relowner))) e ORDER BY 1),
    'column grants', ARRAY(
        SELECT concat_ws(' ', a.attname, e.grantee::regrole, e.privilege_type, e.is_grantable)
        FROM pg_attribute a, aclexplode(a.attacl) e WHERE a.attrelid = o.oid ORDER BY 1))
FROM ours o WHERE o.relkind IN ('r', 'p', 'v', 'm', 'f')
"""

CONSTRAINTS = """
WITH {ours}
SELECT format('%s, %I', o.name, k.conname), json_build_object(
    'definition', pg_get_constraintdef(k.oid), 'validated', k.convalidated,
    'uncovered chunks', (SELECT count(*) FROM chunk c WHERE c.root = o.oid AND NOT EXISTS (
        SELECT FROM pg_constraint x WHERE x.conrelid = c.relation AND x.contype = k.contype
        AND pg_get_constraintdef(x.oid) = pg_get_constraintdef(k.oid))),
    'partitions', ARRAY(SELECT p.relname FROM pg_constraint x JOIN ours p ON p.oid = x.conrelid
        WHERE x.conparentid = k.oid AND x.conrelid <> k.conrelid ORDER BY 1))
FROM pg_constraint k JOIN ours o ON o.oid = k.conrelid
WHERE k.conparentid = 0 AND k.contype IN ('p', 'u', 'f', 'c', 'x')
"""

# The part of an index definition behind the names of the index and of its table.
INDEX_BODY = """
substr(pg_get_indexdef(x.indexrelid), length(format(' %I.%I ', {schema}, {table}))
    + strpos(pg_get_indexdef(x.indexrelid), format(' %I.%I USING ', {schema}, {table})))
"""


# ALTER … DEPENDS ON EXTENSION.
NEEDS = """
ARRAY(SELECT e.extname FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
    WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'x' AND d.classid = '{catalog}'::regclass
    AND d.objid = {oid} ORDER BY 1)
"""

# A chunk's predicate is compared by its presence only, and constants in its expressions without their form: TimescaleDB
# folds them. Nor does a chunk's key have the storage parameters of the hypertable's.
INDEXES = """
WITH {ours}, body AS (
    SELECT x.*, b.text, regexp_replace(regexp_replace(split_part(b.text, ' WHERE (', 1), CASE WHEN EXISTS (
            SELECT FROM pg_constraint k WHERE k.conindid = x.indexrelid AND k.contype IN ('p', 'u')
        ) THEN ' WITH \\([^)]*\\)' ELSE '^$' END, ''), '\\((\\d+)\\)::', E'\\'\\\\1\\'::', 'g') AS comparable
    FROM pg_index x JOIN pg_class c ON c.oid = x.indrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace CROSS JOIN LATERAL (SELECT {body}) AS b (text)
)
SELECT format('%s, %I', o.name, i.relname), json_build_object(
    'body', b.text, 'unique', b.indisunique, 'valid', b.indisvalid AND b.indisready, 'primary', b.indisprimary,
    'clustered', b.indisclustered, 'replica identity', b.indisreplident, 'options', i.reloptions,
    'statistics', (SELECT json_agg(json_build_array(a.attnum, a.attstattarget) ORDER BY a.attnum) FROM pg_attribute a
        WHERE a.attrelid = i.oid AND a.attstattarget >= 0),
    'tablespace', (SELECT s.spcname FROM pg_tablespace s WHERE s.oid = i.reltablespace),
    'needs extensions', {needs},
    'attached to', (SELECT p.inhparent::regclass::text FROM pg_inherits p WHERE p.inhrelid = i.oid),
    'uncovered chunks', (SELECT count(*) FROM chunk c WHERE c.root = o.oid AND NOT EXISTS (
        SELECT FROM body x WHERE x.indrelid = c.relation
        AND x.comparable = b.comparable
        AND (x.indpred IS NULL) = (b.indpred IS NULL) AND x.indisunique = b.indisunique
        AND x.indisvalid AND x.indisclustered = b.indisclustered AND x.indisreplident = b.indisreplident)))
FROM ours o JOIN body b ON b.indrelid = o.oid JOIN pg_class i ON i.oid = b.indexrelid
""".replace("{body}", INDEX_BODY.format(schema="n.nspname", table="c.relname"))
INDEXES = INDEXES.replace("{needs}", NEEDS.format(catalog="pg_class", oid="i.oid"))

# The extension's own triggers are recognised by what they call.
TRIGGERS = """
WITH {ours}
SELECT format('%s, %I', o.name, t.tgname), json_build_object(
    'definition', pg_get_triggerdef(t.oid), 'enabled', t.tgenabled,
    'uncovered chunks', (SELECT count(*) FROM chunk c WHERE c.root = o.oid AND t.tgtype & 1 = 1 AND NOT EXISTS (
        SELECT FROM pg_trigger x WHERE x.tgrelid = c.relation AND x.tgname = t.tgname AND x.tgenabled = t.tgenabled)),
    'needs extensions', {needs})
FROM pg_trigger t JOIN ours o ON o.oid = t.tgrelid
WHERE NOT t.tgisinternal AND t.tgparentid = 0
  AND ('pg_proc'::regclass, t.tgfoid) NOT IN (SELECT classid, objid FROM member)
""".replace("{needs}", NEEDS.format(catalog="pg_trigger", oid="t.oid"))

# A partition's copy of a trigger can be in another state than the original.
PARTITIONS_TRIGGERS = """
WITH {ours}
SELECT format('%s, %I', o.name, t.tgname), json_build_object('enabled', t.tgenabled)
FROM pg_trigger t JOIN ours o ON o.oid = t.tgrelid JOIN pg_trigger p ON p.oid = t.tgparentid AND NOT p.tgisinternal
"""

DOMAINS = """
SELECT format('%s, %I', t.oid::regtype, k.conname), json_build_object(
    'definition', pg_get_constraintdef(k.oid), 'validated', k.convalidated)
FROM pg_type t JOIN pg_constraint k ON k.contypid = t.oid
WHERE k.contype = 'c' AND t.typnamespace <> 'information_schema'::regnamespace
"""

EVENT_TRIGGERS = """
SELECT e.evtname, json_build_object('event', e.evtevent, 'enabled', e.evtenabled, 'tags', e.evttags,
    'calls', e.evtfoid::regproc::text)
FROM pg_event_trigger e
WHERE ('pg_event_trigger'::regclass, e.oid) NOT IN (SELECT classid, objid FROM pg_depend WHERE deptype = 'e')
"""

RULES = """
WITH {ours}
SELECT format('%s, %I', o.name, r.rulename), json_build_object(
    'definition', pg_get_ruledef(r.oid), 'enabled', r.ev_enabled)
FROM pg_rewrite r JOIN ours o ON o.oid = r.ev_class WHERE r.rulename <> '_RETURN'
"""

POLICIES = """
WITH {ours}
SELECT format('%s, %I', o.name, p.polname), json_build_object(
    'command', p.polcmd, 'permissive', p.polpermissive,
    'roles', ARRAY(SELECT r::regrole::text FROM unnest(p.polroles) AS r ORDER BY 1),
    'using', pg_get_expr(p.polqual, p.polrelid), 'check', pg_get_expr(p.polwithcheck, p.polrelid))
FROM pg_policy p JOIN ours o ON o.oid = p.polrelid
"""

STATISTICS = """
WITH {ours}
SELECT format('%I.%I', s.nspname, x.stxname), json_build_object(
    'definition', pg_get_statisticsobjdef(x.oid), 'owner', x.stxowner::regrole::text,
    'target', coalesce(x.stxstattarget, -1))
FROM pg_statistic_ext x JOIN space s ON s.oid = x.stxnamespace
"""

VIEWS = """
WITH {ours}
SELECT o.name, json_build_object('definition', pg_get_viewdef(o.oid))
FROM ours o WHERE o.relkind IN ('v', 'm') {without aggregates}
"""
NOT_AGGREGATES = """
AND (o.nspname, o.relname) NOT IN (SELECT view_schema, view_name FROM timescaledb_information.continuous_aggregates)
"""

# Of all objects, whatever their kind, but for the extensions' and those that a database has from the start.
COMMENTS = """
WITH {ours}, noted AS (
    SELECT d.*, (pg_identify_object(d.classoid, d.objoid, d.objsubid)).* FROM pg_description d
    WHERE d.objoid >= 16384 AND (d.classoid, d.objoid) NOT IN (SELECT classid, objid FROM member)
)
SELECT concat_ws(' ', type, identity), description FROM noted
WHERE (schema IS NULL OR schema IN (SELECT nspname FROM space)) AND type NOT IN ('extension')
  AND (classoid <> 'pg_class'::regclass OR objoid NOT IN (SELECT relation FROM chunk))
"""

PUBLICATIONS = """
WITH {ours}
SELECT p.pubname, json_build_object(
    'owner', p.pubowner::regrole::text, 'all', p.puballtables, 'via root', p.pubviaroot,
    'publishes', concat_ws(' ', p.pubinsert, p.pubupdate, p.pubdelete, p.pubtruncate),
    'tables', ARRAY(SELECT concat_ws(' ', o.name, r.prattrs, pg_get_expr(r.prqual, r.prrelid))
        FROM pg_publication_rel r JOIN ours o ON o.oid = r.prrelid WHERE r.prpubid = p.oid ORDER BY 1),
    'schemas', ARRAY(SELECT n.pnnspid::regnamespace::text FROM pg_publication_namespace n
        WHERE n.pnpubid = p.oid ORDER BY 1))
FROM pg_publication p
"""

DEFAULT_PRIVILEGES = """
SELECT concat_ws(' ', d.defaclrole::regrole, d.defaclnamespace::regnamespace, d.defaclobjtype),
    json_build_object('grants', ARRAY(SELECT concat_ws(' ', e.grantee::regrole, e.privilege_type, e.is_grantable)
        FROM aclexplode(d.defaclacl) e ORDER BY 1))
FROM pg_default_acl d
"""

RELATIONS_WITH_ROWS = """
WITH {ours}
SELECT o.name FROM ours o WHERE o.relkind IN ('r', 'm') AND o.relispopulated ORDER BY 1
"""

HYPERTABLES = """
SELECT format('%I.%I', h.schema_name, h.table_name), json_agg(json_build_array(
    d.column_name, d.interval_length, d.num_slices, d.integer_now_func_schema, d.integer_now_func) ORDER BY d.id)
FROM _timescaledb_catalog.hypertable h JOIN _timescaledb_catalog.dimension d ON d.hypertable_id = h.id
WHERE NOT EXISTS (SELECT FROM _timescaledb_catalog.continuous_agg a WHERE a.mat_hypertable_id = h.id) GROUP BY h.id
"""

# Names of hypertables by id: an aggregate's storage has the aggregate's name.
HYPERTABLE_NAMES = """
SELECT h.id, format('%I.%I', coalesce(a.user_view_schema, h.schema_name), coalesce(a.user_view_name, h.table_name))
FROM _timescaledb_catalog.hypertable h LEFT JOIN _timescaledb_catalog.continuous_agg a ON a.mat_hypertable_id = h.id
"""

AGGREGATES = """
SELECT format('%I.%I', a.view_schema, a.view_name), json_build_object(
    'owner', a.view_owner::text, 'real time', NOT a.materialized_only, 'columnstore', a.compression_enabled,
    'definition', a.view_definition,
    'chunk interval', (SELECT d.interval_length FROM _timescaledb_catalog.dimension d
        JOIN _timescaledb_catalog.hypertable h ON h.id = d.hypertable_id
        WHERE h.schema_name = c.nspname AND h.table_name = c.relname ORDER BY d.id LIMIT 1),
    'indexes', ARRAY(SELECT concat_ws(' ', replace(i.relname, c.relname, '#'), x.indisunique, x.indisvalid,
            {body})
        FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid WHERE x.indrelid = c.oid ORDER BY 1))
FROM timescaledb_information.continuous_aggregates a JOIN (
    SELECT c.oid, c.relname, n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
) c ON c.nspname = a.materialization_hypertable_schema AND c.relname = a.materialization_hypertable_name
""".replace("{body}", INDEX_BODY.format(schema="c.nspname", table="c.relname"))

COLUMNSTORE = """
WITH wanted (space, name, stored_in, stored_as) AS (
    SELECT hypertable_schema, hypertable_name, hypertable_schema, hypertable_name
    FROM timescaledb_information.hypertables WHERE compression_enabled
    UNION SELECT view_schema, view_name, materialization_hypertable_schema, materialization_hypertable_name
    FROM timescaledb_information.continuous_aggregates WHERE compression_enabled
)
SELECT format('%I.%I', w.space, w.name), json_build_object('columns', (
    SELECT json_agg(json_build_array(s.attname, s.segmentby_column_index, s.orderby_column_index, s.orderby_asc,
        s.orderby_nullsfirst) ORDER BY s.segmentby_column_index, s.orderby_column_index)
    FROM timescaledb_information.compression_settings s WHERE (s.hypertable_schema, s.hypertable_name)
        IN ((w.space, w.name), (w.stored_in, w.stored_as))))
FROM wanted w
"""

JOBS = """
SELECT j.id, json_build_object(
    'hypertable_id', j.hypertable_id, 'proc', format('%I.%I', j.proc_schema, j.proc_name),
    'check', CASE WHEN j.check_name IS NOT NULL THEN format('%I.%I', j.check_schema, j.check_name) END,
    'application_name', j.application_name, 'owner', j.owner::text, 'config', j.config, 'scheduled', j.scheduled,
    'schedule_interval', j.schedule_interval, 'max_runtime', j.max_runtime, 'max_retries', j.max_retries,
    'retry_period', j.retry_period, 'fixed_schedule', j.fixed_schedule, 'timezone', j.timezone,
    'initial_start', j.initial_start AT TIME ZONE 'UTC')
FROM {schema}.bgw_job j WHERE j.id >= 1000
"""

PLAIN = {
    "relations": RELATIONS,
    "constraints": CONSTRAINTS,
    "indexes": INDEXES,
    "triggers": TRIGGERS,
    "partitions' triggers": PARTITIONS_TRIGGERS,
    "domains": DOMAINS,
    "event triggers": EVENT_TRIGGERS,
    "rules": RULES,
    "policies": POLICIES,
    "statistics objects": STATISTICS,
    "views": VIEWS.replace("{without aggregates}", ""),
    "comments": COMMENTS,
    "publications": PUBLICATIONS,
    "default privileges": DEFAULT_PRIVILEGES,
}

TIMESCALE = {
    "views": VIEWS.replace("{without aggregates}", NOT_AGGREGATES),
    "hypertables": HYPERTABLES,
    "continuous aggregates": AGGREGATES,
    "columnstore settings": COLUMNSTORE,
}

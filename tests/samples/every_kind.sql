-- Copyright (c) 2026, dbops.timescale contributors
-- GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- Every kind of object that pg_dump writes into the post-data section, with every attribute that it can have: on plain
-- tables, on partitioned ones and on hypertables. Runs as the owner of the database on PostgreSQL 15 and later; needs the
-- roles of plain.sql and the tablespace kinds_here. plain.sql says what the marked lines mean.

--: step what the objects stand on
CREATE SCHEMA kinds;
CREATE SCHEMA "Kinds of ""Others""";
CREATE FUNCTION kinds.note() RETURNS trigger LANGUAGE plpgsql AS $body$ BEGIN RETURN new; END $body$;
CREATE TABLE kinds.places (
    id integer NOT NULL, name text NOT NULL, code text, area numeric, parent integer, other integer, tags text[],
    settings jsonb, words tsvector, span tstzrange, at timestamptz NOT NULL
);
INSERT INTO kinds.places
SELECT n, 'place ' || n, 'code ' || n, n, CASE WHEN n > 1 THEN 1 END, n * 1000, ARRAY['tag ' || n % 3],
       jsonb_build_object('n', n), to_tsvector('simple', 'word ' || n),
       tstzrange('2026-01-01 00:00+00'::timestamptz + n * interval '1 day', '2026-01-01 12:00+00'::timestamptz + n * interval '1 day'),
       '2026-01-01 00:00+00'::timestamptz + n * interval '1 day'
FROM generate_series(1, 40) AS n;
CREATE TABLE kinds.visits (place integer, code text, area numeric, at timestamptz, visitor name, note text);
INSERT INTO kinds.visits
SELECT 1 + n % 40, 'code ' || 1 + n % 40, 1 + n % 40, '2026-01-02 00:00+00', 'sensor_reader', 'note ' || n
FROM generate_series(1, 80) AS n;
CREATE TABLE kinds.ancestors (id integer, at timestamptz);
CREATE TABLE kinds.heirs (more integer) INHERITS (kinds.ancestors);
CREATE TABLE "Kinds of ""Others"""."Table; 1" ("Key" integer, "select" text);
CREATE DOMAIN kinds.short_text AS text;

--: step keys and checks
ALTER TABLE kinds.places ADD CONSTRAINT places_pkey PRIMARY KEY (id) WITH (fillfactor = 90);
ALTER TABLE kinds.places ADD CONSTRAINT places_name_key UNIQUE (name) DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE kinds.places ADD CONSTRAINT places_code_key UNIQUE NULLS NOT DISTINCT (code, area) INCLUDE (name)
    WITH (fillfactor = 70, deduplicate_items = off) USING INDEX TABLESPACE kinds_here;
ALTER TABLE kinds.places ADD CONSTRAINT places_at_key UNIQUE (at, id) DEFERRABLE;
ALTER TABLE kinds.places ADD CONSTRAINT places_no_overlap EXCLUDE USING gist (span WITH &&) WITH (fillfactor = 80)
    WHERE (area > 5) DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE kinds.places ADD CONSTRAINT places_parent_fkey FOREIGN KEY (parent) REFERENCES kinds.places (id)
    ON UPDATE CASCADE ON DELETE SET NULL (parent) DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE kinds.places ADD CONSTRAINT places_other_fkey FOREIGN KEY (other) REFERENCES kinds.places (id) NOT VALID;
ALTER TABLE kinds.visits ADD CONSTRAINT visits_place_fkey FOREIGN KEY (place) REFERENCES kinds.places (id) ON DELETE CASCADE;
ALTER TABLE kinds.visits ADD CONSTRAINT visits_area_fkey FOREIGN KEY (code, area) REFERENCES kinds.places (code, area)
    MATCH FULL ON DELETE RESTRICT;
ALTER TABLE kinds.places ADD CONSTRAINT places_area_check CHECK (area > 10) NOT VALID;
ALTER TABLE kinds.ancestors ADD CONSTRAINT ancestors_check CHECK (id > 0) NO INHERIT NOT VALID;
ALTER TABLE kinds.ancestors ADD CONSTRAINT ancestors_key UNIQUE (id);
ALTER TABLE kinds.heirs ADD CONSTRAINT heirs_key UNIQUE (id, more);
ALTER DOMAIN kinds.short_text ADD CONSTRAINT short_text_check CHECK (length(value) < 10) NOT VALID;
ALTER TABLE "Kinds of ""Others"""."Table; 1" ADD CONSTRAINT "Key; of 1" PRIMARY KEY ("Key");
ALTER TABLE "Kinds of ""Others"""."Table; 1" ADD CONSTRAINT "group" FOREIGN KEY ("Key") REFERENCES kinds.places (id);
COMMENT ON CONSTRAINT places_pkey ON kinds.places IS 'A key';
COMMENT ON INDEX kinds.places_pkey IS 'The index of a key';
COMMENT ON CONSTRAINT places_no_overlap ON kinds.places IS 'Excluded';
COMMENT ON CONSTRAINT places_parent_fkey ON kinds.places IS 'A foreign key';
COMMENT ON CONSTRAINT places_area_check ON kinds.places IS 'A check';
COMMENT ON CONSTRAINT short_text_check ON DOMAIN kinds.short_text IS 'A check of a domain';

--: step indexes
CREATE INDEX places_partial ON kinds.places (area DESC NULLS LAST, name) WHERE area > 20 AND code IS NOT NULL;
CREATE INDEX places_expression ON kinds.places (lower(name) COLLATE "C" text_pattern_ops, (area * 2)) WITH (fillfactor = 60);
CREATE INDEX places_gin ON kinds.places USING gin (settings jsonb_path_ops, tags) WITH (fastupdate = off);
CREATE INDEX places_gist ON kinds.places USING gist (words tsvector_ops (siglen = 64), span) WITH (buffering = on);
CREATE INDEX places_spgist ON kinds.places USING spgist (span);
CREATE INDEX places_brin ON kinds.places USING brin (at timestamptz_minmax_multi_ops) WITH (pages_per_range = 16, autosummarize = on);
CREATE INDEX places_hash ON kinds.places USING hash (code);
CREATE INDEX places_cover ON kinds.places (code COLLATE "POSIX" DESC) INCLUDE (name, area);
CREATE UNIQUE INDEX places_unique ON kinds.places (name, id) NULLS NOT DISTINCT;
CREATE INDEX places_elsewhere ON kinds.places (at) TABLESPACE kinds_here;
CREATE INDEX places_chained ON kinds.places (parent);
ALTER INDEX kinds.places_chained DEPENDS ON EXTENSION plpgsql;
ALTER INDEX kinds.places_expression ALTER COLUMN 1 SET STATISTICS 300;
ALTER INDEX kinds.places_expression ALTER COLUMN 2 SET STATISTICS 0;
ALTER TABLE kinds.places CLUSTER ON places_cover;
ALTER TABLE kinds.places REPLICA IDENTITY USING INDEX places_unique;
ALTER TABLE "Kinds of ""Others"""."Table; 1" CLUSTER ON "Key; of 1";
CREATE INDEX "Index; 'of' ""1""" ON "Kinds of ""Others"""."Table; 1" ("select" DESC);
COMMENT ON INDEX kinds.places_partial IS 'An index; of ''some'' rows';

--: step triggers
CREATE TRIGGER places_on BEFORE INSERT OR UPDATE OF name, area ON kinds.places
    FOR EACH ROW WHEN (new.area > 0) EXECUTE FUNCTION kinds.note('it''s', '$1; "x"');
CREATE TRIGGER places_off AFTER DELETE ON kinds.places FOR EACH ROW EXECUTE FUNCTION kinds.note();
CREATE TRIGGER places_replica BEFORE TRUNCATE ON kinds.places FOR EACH STATEMENT EXECUTE FUNCTION kinds.note();
CREATE TRIGGER places_always AFTER UPDATE ON kinds.places REFERENCING OLD TABLE AS old_ones NEW TABLE AS new_ones
    FOR EACH STATEMENT EXECUTE FUNCTION kinds.note();
CREATE CONSTRAINT TRIGGER places_later AFTER INSERT ON kinds.places FROM kinds.visits DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION kinds.note();
CREATE TRIGGER places_chained BEFORE DELETE ON kinds.places FOR EACH ROW EXECUTE FUNCTION kinds.note();
ALTER TRIGGER places_chained ON kinds.places DEPENDS ON EXTENSION plpgsql;
ALTER TABLE kinds.places DISABLE TRIGGER places_off;
ALTER TABLE kinds.places ENABLE REPLICA TRIGGER places_replica;
ALTER TABLE kinds.places ENABLE ALWAYS TRIGGER places_always;
CREATE VIEW kinds.names AS SELECT id, name FROM kinds.places;
CREATE TRIGGER names_instead INSTEAD OF INSERT ON kinds.names FOR EACH ROW EXECUTE FUNCTION kinds.note();
COMMENT ON TRIGGER places_off ON kinds.places IS 'Off';

--: step rules
CREATE RULE visits_kept AS ON DELETE TO kinds.visits WHERE old.area > 5 DO INSTEAD NOTHING;
CREATE RULE visits_off AS ON UPDATE TO kinds.visits DO ALSO (DELETE FROM kinds.heirs WHERE id = new.place; SELECT 1 AS one);
CREATE RULE visits_replica AS ON INSERT TO kinds.visits DO ALSO NOTHING;
CREATE RULE visits_always AS ON UPDATE TO kinds.visits WHERE new.area < 0 DO INSTEAD
    UPDATE kinds.places SET area = 0 WHERE places.id = new.place;
ALTER TABLE kinds.visits DISABLE RULE visits_off;
ALTER TABLE kinds.visits ENABLE REPLICA RULE visits_replica;
ALTER TABLE kinds.visits ENABLE ALWAYS RULE visits_always;
CREATE RULE names_insert AS ON UPDATE TO kinds.names DO INSTEAD UPDATE kinds.places SET name = new.name WHERE places.id = new.id;
COMMENT ON RULE visits_kept ON kinds.visits IS 'Kept';
COMMENT ON RULE names_insert ON kinds.names IS 'A rule of a view';

--: step row security
ALTER TABLE kinds.visits ENABLE ROW LEVEL SECURITY;
CREATE POLICY visits_own ON kinds.visits FOR SELECT TO sensor_reader, sensor_writer USING (visitor = current_user);
CREATE POLICY visits_insert ON kinds.visits AS RESTRICTIVE FOR INSERT WITH CHECK (note <> '');
CREATE POLICY visits_update ON kinds.visits FOR UPDATE TO CURRENT_USER USING (area > 1)
    WITH CHECK (EXISTS (SELECT FROM kinds.places AS p WHERE p.id = visits.place));
CREATE POLICY visits_delete ON kinds.visits FOR DELETE TO sensor_writer
    USING (place IN (SELECT id FROM kinds.places WHERE area > 3));
CREATE POLICY "all; for ""all""" ON kinds.visits USING (true) WITH CHECK (true);
CREATE POLICY heirs_asleep ON kinds.heirs USING (more > 0);
COMMENT ON POLICY visits_own ON kinds.visits IS 'Its own';

--: step statistics
CREATE STATISTICS kinds.places_ndistinct (ndistinct) ON code, area FROM kinds.places;
CREATE STATISTICS kinds.places_dependencies (dependencies) ON code, name FROM kinds.places;
CREATE STATISTICS kinds.places_mcv (mcv) ON code, name, area FROM kinds.places;
CREATE STATISTICS kinds.places_all ON code, (area * 2), lower(name) FROM kinds.places;
CREATE STATISTICS kinds.places_one ON (area + 1) FROM kinds.places;
ALTER STATISTICS kinds.places_mcv SET STATISTICS 700;
ALTER STATISTICS kinds.places_all SET STATISTICS 0;
COMMENT ON STATISTICS kinds.places_mcv IS 'Most common values';

--: step stored and late views
CREATE VIEW kinds.visited AS
SELECT p.id, p.name, count(v.place) AS visits FROM kinds.places AS p LEFT JOIN kinds.visits AS v ON v.place = p.id GROUP BY p.id;
CREATE MATERIALIZED VIEW kinds.tagged AS SELECT tags, count(*) AS places FROM kinds.places GROUP BY tags;
CREATE UNIQUE INDEX tagged_idx ON kinds.tagged (tags) WITH (fillfactor = 50);
CREATE MATERIALIZED VIEW kinds.tagged_twice AS SELECT sum(places) AS places FROM kinds.tagged;
CREATE MATERIALIZED VIEW kinds.visited_stored AS SELECT * FROM kinds.visited;
CREATE MATERIALIZED VIEW kinds.never_filled AS SELECT id FROM kinds.places WITH NO DATA;
CREATE INDEX never_filled_idx ON kinds.never_filled (id);
ALTER TABLE kinds.tagged CLUSTER ON tagged_idx;
CREATE STATISTICS kinds.tagged_statistics ON tags, places FROM kinds.tagged;
COMMENT ON INDEX kinds.tagged_idx IS 'An index of a stored view';

--: step partitioned tables
CREATE TABLE kinds.log (id integer NOT NULL, at date NOT NULL, place integer, text text) PARTITION BY RANGE (at);
CREATE TABLE kinds.log_1 PARTITION OF kinds.log FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
CREATE TABLE kinds.log_2 PARTITION OF kinds.log FOR VALUES FROM ('2026-02-01') TO ('2026-03-01') PARTITION BY LIST (id);
CREATE TABLE kinds.log_2_even PARTITION OF kinds.log_2 FOR VALUES IN (2, 4, 6);
CREATE TABLE kinds.log_2_rest PARTITION OF kinds.log_2 DEFAULT;
CREATE TABLE "Kinds of ""Others"""."Log; rest" PARTITION OF kinds.log DEFAULT;
INSERT INTO kinds.log SELECT n % 10, '2026-01-01'::date + n, 1 + n % 40, 'text ' || n FROM generate_series(1, 90) AS n;
CREATE INDEX "Own name" ON kinds.log_1 (text);
ALTER TABLE kinds.log_2_even ADD CONSTRAINT own_key PRIMARY KEY (id, at);
ALTER TABLE kinds.log ADD CONSTRAINT log_pkey PRIMARY KEY (id, at);
ALTER TABLE kinds.log ADD CONSTRAINT log_unique UNIQUE (at, id, place);
ALTER TABLE kinds.log ADD CONSTRAINT log_place_fkey FOREIGN KEY (place) REFERENCES kinds.places (id) DEFERRABLE;
ALTER TABLE kinds.log ADD CONSTRAINT log_check CHECK (place > 5) NOT VALID;
ALTER TABLE kinds.log_1 ADD CONSTRAINT log_1_check CHECK (place > 7) NOT VALID;
ALTER TABLE kinds.log_1 ADD CONSTRAINT log_1_fkey FOREIGN KEY (id) REFERENCES kinds.places (id) NOT VALID;
CREATE INDEX log_text ON kinds.log (text) WITH (fillfactor = 75);
CREATE INDEX log_expression ON kinds.log ((id + 1)) TABLESPACE kinds_here;
CREATE INDEX log_root_only ON ONLY kinds.log (place DESC);
CREATE INDEX log_1_alone ON kinds.log_1 (place) WHERE place > 3;
CREATE UNIQUE INDEX log_1_identity ON kinds.log_1 (id, at);
ALTER TABLE kinds.log_1 REPLICA IDENTITY USING INDEX log_1_identity;
ALTER TABLE kinds.log_1 CLUSTER ON "Own name";
CREATE TABLE kinds.log_notes (id integer, at date, note text);
ALTER TABLE kinds.log_notes ADD CONSTRAINT log_notes_fkey FOREIGN KEY (id, at) REFERENCES kinds.log (id, at);
CREATE TRIGGER log_row AFTER INSERT ON kinds.log FOR EACH ROW EXECUTE FUNCTION kinds.note();
CREATE TRIGGER log_statement AFTER INSERT ON kinds.log REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION kinds.note();
CREATE TRIGGER log_off AFTER UPDATE ON kinds.log FOR EACH ROW EXECUTE FUNCTION kinds.note();
ALTER TABLE kinds.log DISABLE TRIGGER log_off;
ALTER TABLE kinds.log_1 DISABLE TRIGGER log_row;
ALTER TABLE kinds.log_2_rest ENABLE ALWAYS TRIGGER log_off;
CREATE TRIGGER log_1_own BEFORE INSERT ON kinds.log_1 FOR EACH ROW EXECUTE FUNCTION kinds.note();
CREATE RULE log_rule AS ON DELETE TO kinds.log WHERE old.id = 3 DO INSTEAD NOTHING;
ALTER TABLE kinds.log ENABLE ROW LEVEL SECURITY;
CREATE POLICY log_policy ON kinds.log FOR SELECT USING (id > 0);
CREATE POLICY log_1_policy ON kinds.log_1 USING (id > 1);
CREATE STATISTICS kinds.log_statistics ON id, place FROM kinds.log;
CREATE STATISTICS kinds.log_1_statistics (mcv) ON id, text FROM kinds.log_1;
COMMENT ON INDEX kinds.log_text IS 'Of all partitions';
COMMENT ON INDEX kinds."Own name" IS 'Of one; with its own name';
COMMENT ON CONSTRAINT log_pkey ON kinds.log IS 'A key of all partitions';
COMMENT ON CONSTRAINT log_place_fkey ON kinds.log IS 'A foreign key of all partitions';
COMMENT ON TRIGGER log_row ON kinds.log IS 'For each row';

--: step what reaches further
CREATE PUBLICATION kinds_some FOR TABLE kinds.places (id, name, area) WHERE (id > 3), kinds.visits WITH (publish = 'insert, delete');
CREATE PUBLICATION kinds_root FOR TABLE kinds.log WITH (publish_via_partition_root = true);
COMMENT ON PUBLICATION kinds_some IS 'Some of them';
ALTER DEFAULT PRIVILEGES IN SCHEMA kinds GRANT SELECT, INSERT ON TABLES TO sensor_reader, sensor_writer WITH GRANT OPTION;
ALTER DEFAULT PRIVILEGES IN SCHEMA kinds GRANT ALL ON TABLES TO sensor_writer;
ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
ALTER DEFAULT PRIVILEGES GRANT USAGE ON SEQUENCES TO sensor_reader;

--: step hypertables since 2.0
CREATE SCHEMA kinds_chunks;
CREATE TABLE kinds.readings (
    "time" timestamptz NOT NULL, device integer NOT NULL, value numeric, note text, tags text[], settings jsonb,
    words tsvector, span tstzrange
);
SELECT create_hypertable('kinds.readings', 'time', chunk_time_interval => interval '7 days', create_default_indexes => false);
INSERT INTO kinds.readings
SELECT '2026-01-01 00:00+00'::timestamptz + n * interval '6 hours', 1 + n % 10, n, 'note ' || n, ARRAY['tag ' || n % 3],
       jsonb_build_object('n', n), to_tsvector('simple', 'word ' || n),
       tstzrange('2026-01-01 00:00+00'::timestamptz + n * interval '6 hours', '2026-01-01 01:00+00'::timestamptz + n * interval '6 hours')
FROM generate_series(0, 99) AS n;
ALTER TABLE kinds.readings ADD CONSTRAINT readings_pkey PRIMARY KEY (device, "time") WITH (fillfactor = 90);
ALTER TABLE kinds.readings ADD CONSTRAINT readings_key UNIQUE NULLS NOT DISTINCT ("time", note) INCLUDE (value)
    USING INDEX TABLESPACE kinds_here;
ALTER TABLE kinds.readings ADD CONSTRAINT readings_later_key UNIQUE ("time", device, value) DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE kinds.readings ADD CONSTRAINT readings_no_twins EXCLUDE USING btree ("time" WITH =, device WITH =, value WITH =)
    WITH (fillfactor = 80) WHERE (value > 0);
ALTER TABLE kinds.readings ADD CONSTRAINT readings_device_fkey FOREIGN KEY (device) REFERENCES kinds.places (id)
    ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE kinds.readings ADD CONSTRAINT readings_place_fkey FOREIGN KEY (device) REFERENCES kinds.places (id) NOT VALID;
ALTER TABLE kinds.readings ADD CONSTRAINT readings_check CHECK (value > 5) NOT VALID;
CREATE INDEX readings_partial ON kinds.readings (value DESC NULLS LAST, note) WHERE value > 50 AND note IS NOT NULL;
CREATE INDEX readings_expression ON kinds.readings (lower(note) COLLATE "C" text_pattern_ops, (value * 2)) WITH (fillfactor = 60);
CREATE INDEX readings_gin ON kinds.readings USING gin (settings jsonb_path_ops, tags) WITH (fastupdate = off);
CREATE INDEX readings_gist ON kinds.readings USING gist (words, span) WITH (buffering = on);
CREATE INDEX readings_spgist ON kinds.readings USING spgist (span);
CREATE INDEX readings_brin ON kinds.readings USING brin ("time" timestamptz_minmax_multi_ops) WITH (pages_per_range = 16);
CREATE INDEX readings_hash ON kinds.readings USING hash (device);
CREATE INDEX readings_cover ON kinds.readings (note COLLATE "POSIX" DESC) INCLUDE (value);
CREATE UNIQUE INDEX readings_unique ON kinds.readings (device, note, "time") NULLS NOT DISTINCT WHERE value > 10;
CREATE UNIQUE INDEX readings_identity ON kinds.readings ("time", device);
CREATE INDEX readings_elsewhere ON kinds.readings ("time" DESC) TABLESPACE kinds_here;
ALTER INDEX kinds.readings_expression ALTER COLUMN 1 SET STATISTICS 300;
ALTER TABLE kinds.readings CLUSTER ON readings_cover;
CREATE TRIGGER readings_on BEFORE INSERT OR UPDATE OF value ON kinds.readings
    FOR EACH ROW WHEN (new.value > 0) EXECUTE FUNCTION kinds.note('it''s', '$1; "x"');
CREATE TRIGGER readings_off AFTER DELETE ON kinds.readings FOR EACH ROW EXECUTE FUNCTION kinds.note();
CREATE TRIGGER readings_replica BEFORE UPDATE ON kinds.readings FOR EACH ROW EXECUTE FUNCTION kinds.note();
CREATE TRIGGER readings_always BEFORE TRUNCATE ON kinds.readings FOR EACH STATEMENT EXECUTE FUNCTION kinds.note();
CREATE CONSTRAINT TRIGGER readings_later AFTER INSERT ON kinds.readings DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION kinds.note();
ALTER TABLE kinds.readings ENABLE ROW LEVEL SECURITY;
CREATE POLICY readings_own ON kinds.readings FOR SELECT TO sensor_reader USING (device IN (SELECT id FROM kinds.places));
CREATE POLICY readings_insert ON kinds.readings AS RESTRICTIVE FOR INSERT WITH CHECK (value > 0);
CREATE STATISTICS kinds.readings_statistics (ndistinct, mcv) ON device, note FROM kinds.readings;
CREATE STATISTICS kinds.readings_expressions ON (value * 2), device FROM kinds.readings;
ALTER STATISTICS kinds.readings_statistics SET STATISTICS 700;
CREATE MATERIALIZED VIEW kinds.readings_stored AS SELECT device, max(value) AS value FROM kinds.readings GROUP BY device;
CREATE UNIQUE INDEX readings_stored_idx ON kinds.readings_stored (device);
CREATE PUBLICATION kinds_readings FOR TABLE kinds.readings WHERE (device > 3);
COMMENT ON CONSTRAINT readings_pkey ON kinds.readings IS 'A key';
COMMENT ON INDEX kinds.readings_pkey IS 'The index of a key';
COMMENT ON CONSTRAINT readings_device_fkey ON kinds.readings IS 'A foreign key';
COMMENT ON CONSTRAINT readings_check ON kinds.readings IS 'A check';
COMMENT ON INDEX kinds.readings_partial IS 'An index; of ''some'' rows';
COMMENT ON TRIGGER readings_off ON kinds.readings IS 'Off, where that can be';
COMMENT ON POLICY readings_own ON kinds.readings IS 'Its own';
COMMENT ON STATISTICS kinds.readings_statistics IS 'Statistics';

CREATE TABLE kinds."Other Readings" ("Time" date NOT NULL, "Device; 1" integer NOT NULL, value integer);
SELECT create_hypertable('kinds."Other Readings"', 'Time', 'Device; 1', 2, chunk_time_interval => interval '1 month',
    create_default_indexes => false, associated_schema_name => 'kinds_chunks', associated_table_prefix => 'other');
INSERT INTO kinds."Other Readings" SELECT '2026-01-01'::date + n, n % 7, n FROM generate_series(0, 60) AS n;
ALTER TABLE kinds."Other Readings" ADD CONSTRAINT "Other; Key" PRIMARY KEY ("Time", "Device; 1");
ALTER TABLE kinds."Other Readings" ADD CONSTRAINT "Other; Check" CHECK (value >= 0) NOT VALID;
CREATE INDEX "Other; ""Index""" ON kinds."Other Readings" (value) INCLUDE ("Device; 1");
CREATE TRIGGER "Other; Trigger" AFTER INSERT ON kinds."Other Readings" FOR EACH ROW EXECUTE FUNCTION kinds.note();

--: step possible since 2.12 since 2.12
ALTER TABLE kinds.readings REPLICA IDENTITY USING INDEX readings_identity;

--: step possible since 2.16 since 2.16
CREATE TABLE kinds.repairs (id integer, at date, device integer);
INSERT INTO kinds.repairs SELECT n, '2026-01-01'::date + n, n % 7 FROM generate_series(1, 20) AS n;
ALTER TABLE kinds.repairs ADD CONSTRAINT repairs_fkey FOREIGN KEY (at, device)
    REFERENCES kinds."Other Readings" ("Time", "Device; 1") ON DELETE SET NULL;
ALTER TABLE kinds.log ADD COLUMN device integer;
ALTER TABLE kinds.log ADD CONSTRAINT log_readings_fkey FOREIGN KEY (at, device)
    REFERENCES kinds."Other Readings" ("Time", "Device; 1");

--: step possible since 2.18 since 2.18
CREATE TRIGGER readings_batch AFTER INSERT ON kinds.readings
    REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION kinds.note();

--: step possible since 2.27 since 2.27
ALTER TABLE kinds.readings DISABLE TRIGGER readings_off;
ALTER TABLE kinds.readings ENABLE REPLICA TRIGGER readings_replica;
ALTER TABLE kinds.readings ENABLE ALWAYS TRIGGER readings_always;

-- Copyright (c) 2026, dbops.timescale contributors
-- GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- Each attribute of what every_kind.sql makes, changed by hand (tests/integration/test_post_data_drift.py). The line above
-- a change names the object that is then told, and a part of the target's and of the source's definition; where one of
-- the two has none, nothing.

--= index places_partial => fillfactor='55' => WHERE ((area > (20)::numeric)
ALTER INDEX kinds.places_partial SET (fillfactor = 55);
--= index places_spgist => TABLESPACE "kinds_there" => USING spgist (span)
ALTER INDEX kinds.places_spgist SET TABLESPACE kinds_there;
--= index places_elsewhere => USING btree (at) => TABLESPACE "kinds_there"
ALTER INDEX kinds.places_elsewhere SET TABLESPACE pg_default;
--= index places_chained => USING btree (parent) => DEPENDS ON EXTENSION plpgsql
ALTER INDEX kinds.places_chained NO DEPENDS ON EXTENSION plpgsql;
--= index places_cover => COLLATE "C" => COLLATE "POSIX"
DROP INDEX kinds.places_cover; CREATE INDEX places_cover ON kinds.places (code COLLATE "C" DESC) INCLUDE (name, area);
    ALTER TABLE kinds.places CLUSTER ON places_cover;
--= index places_gin => (settings, tags) => settings jsonb_path_ops
DROP INDEX kinds.places_gin; CREATE INDEX places_gin ON kinds.places USING gin (settings, tags) WITH (fastupdate = off);
--= index places_brin => brin (at) => pages_per_range='16'
DROP INDEX kinds.places_brin; CREATE INDEX places_brin ON kinds.places USING brin (at);
--= index places_unique => (name, id) => NULLS NOT DISTINCT
DROP INDEX kinds.places_unique; CREATE UNIQUE INDEX places_unique ON kinds.places (name, id);
    ALTER TABLE kinds.places REPLICA IDENTITY USING INDEX places_unique;
--= index readings_cover => (note COLLATE "POSIX" DESC) => INCLUDE (value)
DROP INDEX kinds.readings_cover; CREATE INDEX readings_cover ON kinds.readings (note COLLATE "POSIX" DESC);
    ALTER TABLE kinds.readings CLUSTER ON readings_cover;
--= index places_hash =>  => USING hash (code)
DROP INDEX kinds.places_hash; CREATE TABLE kinds.places_hash ();
--= unique places_at_key =>  => UNIQUE (at, id) DEFERRABLE
ALTER TABLE kinds.places DROP CONSTRAINT places_at_key; CREATE UNIQUE INDEX places_at_key ON kinds.places (id, at);
--= comment index places_partial => Another => An index; of 'some' rows
COMMENT ON INDEX kinds.places_partial IS 'Another';
--= comment index places_spgist => New =>
COMMENT ON INDEX kinds.places_spgist IS 'New';
--= comment policy visits_insert => New policy =>
COMMENT ON POLICY visits_insert ON kinds.visits IS 'New policy';
--= index_statistics places_expression => column 2: 7 => column 2: 0
ALTER INDEX kinds.places_expression ALTER COLUMN 2 SET STATISTICS 7;
--= index_statistics log_1_expr_idx => column 1: 9 =>
ALTER INDEX kinds.log_1_expr_idx ALTER COLUMN 1 SET STATISTICS 9;
--= cluster log_1 => log_1_identity => Own name
ALTER TABLE kinds.log_1 CLUSTER ON log_1_identity;
--= cluster heirs => heirs_key =>
ALTER TABLE kinds.heirs CLUSTER ON heirs_key;
--= replica_identity log_1 => REPLICA IDENTITY FULL => log_1_identity
ALTER TABLE kinds.log_1 REPLICA IDENTITY FULL;
--= replica_identity visits => REPLICA IDENTITY NOTHING =>
ALTER TABLE kinds.visits REPLICA IDENTITY NOTHING;
--= replica_identity Table; 1 => Key; of 1 =>
ALTER TABLE "Kinds of ""Others"""."Table; 1" REPLICA IDENTITY USING INDEX "Key; of 1";
--= replica_identity readings => readings_pkey => readings_identity
ALTER TABLE kinds.readings REPLICA IDENTITY USING INDEX readings_pkey;
--= unique places_name_key => UNIQUE (name) => UNIQUE (name) DEFERRABLE INITIALLY DEFERRED
ALTER TABLE kinds.places DROP CONSTRAINT places_name_key;
    ALTER TABLE kinds.places ADD CONSTRAINT places_name_key UNIQUE (name);
--= foreign_key places_parent_fkey => ON DELETE SET NULL (parent) => (parent) DEFERRABLE INITIALLY DEFERRED
ALTER TABLE kinds.places ALTER CONSTRAINT places_parent_fkey NOT DEFERRABLE;
--= foreign_key readings_place_fkey => REFERENCES kinds.places(id) => REFERENCES kinds.places(id) NOT VALID
ALTER TABLE kinds.readings VALIDATE CONSTRAINT readings_place_fkey;
--= exclude places_no_overlap => (area > (6)::numeric) => (area > (5)::numeric)
ALTER TABLE kinds.places DROP CONSTRAINT places_no_overlap; ALTER TABLE kinds.places ADD CONSTRAINT places_no_overlap
    EXCLUDE USING gist (span WITH &&) WITH (fillfactor = 80) WHERE (area > 6) DEFERRABLE INITIALLY DEFERRED;
    COMMENT ON CONSTRAINT places_no_overlap ON kinds.places IS 'Excluded';
--= check places_area_check => (area > (11)::numeric) => (area > (10)::numeric)
ALTER TABLE kinds.places DROP CONSTRAINT places_area_check;
    ALTER TABLE kinds.places ADD CONSTRAINT places_area_check CHECK (area > 11) NOT VALID;
    COMMENT ON CONSTRAINT places_area_check ON kinds.places IS 'A check';
--= check short_text_check => < 10 => < 10)) NOT VALID
ALTER DOMAIN kinds.short_text VALIDATE CONSTRAINT short_text_check;
--= trigger places_on => places_on => places_on
ALTER TABLE kinds.places DISABLE TRIGGER places_on;
--= trigger_state places_off => ENABLE REPLICA => DISABLE
ALTER TABLE kinds.places ENABLE REPLICA TRIGGER places_off;
--= trigger places_chained => kinds.note() => DEPENDS ON EXTENSION plpgsql
ALTER TRIGGER places_chained ON kinds.places NO DEPENDS ON EXTENSION plpgsql;
--= trigger readings_later => NOT DEFERRABLE => INITIALLY DEFERRED
DROP TRIGGER readings_later ON kinds.readings; CREATE CONSTRAINT TRIGGER readings_later AFTER INSERT ON kinds.readings
    FOR EACH ROW EXECUTE FUNCTION kinds.note();
--= trigger_state readings_off => ENABLE ALWAYS => DISABLE
ALTER TABLE kinds.readings ENABLE ALWAYS TRIGGER readings_off;
--= trigger_state log_row => ENABLE REPLICA => DISABLE
ALTER TABLE ONLY kinds.log_1 ENABLE REPLICA TRIGGER log_row;
--= trigger_state log_row => DISABLE => ENABLE
ALTER TABLE kinds.log_2_even DISABLE TRIGGER log_row;
--= rule_state visits_off => ENABLE ALWAYS => DISABLE
ALTER TABLE kinds.visits ENABLE ALWAYS RULE visits_off;
--= rule visits_kept => visits_kept => visits_kept
ALTER TABLE kinds.visits DISABLE RULE visits_kept;
--= rule names_insert => DO INSTEAD NOTHING => DO INSTEAD  UPDATE
CREATE OR REPLACE RULE names_insert AS ON UPDATE TO kinds.names DO INSTEAD NOTHING;
--= rule _RETURN => (0)::bigint => count(v.place)
CREATE OR REPLACE VIEW kinds.visited AS SELECT id, name, 0::bigint AS visits FROM kinds.places;
--= policy visits_own => TO sensor_reader USING => TO sensor_reader, sensor_writer
ALTER POLICY visits_own ON kinds.visits TO sensor_reader;
--= policy visits_update => (2)::numeric => (1)::numeric
ALTER POLICY visits_update ON kinds.visits USING (area > 2);
--= policy visits_delete => FOR SELECT TO sensor_writer => FOR DELETE TO sensor_writer
DROP POLICY visits_delete ON kinds.visits; CREATE POLICY visits_delete ON kinds.visits FOR SELECT TO sensor_writer
    USING (place IN (SELECT id FROM kinds.places WHERE area > 3));
--= policy readings_insert => FOR INSERT => AS RESTRICTIVE FOR INSERT
DROP POLICY readings_insert ON kinds.readings;
    CREATE POLICY readings_insert ON kinds.readings FOR INSERT WITH CHECK (value > 0);
--= row_security heirs => ENABLE ROW LEVEL SECURITY =>
ALTER TABLE kinds.heirs ENABLE ROW LEVEL SECURITY;
--= statistics places_dependencies => (ndistinct) => (dependencies)
DROP STATISTICS kinds.places_dependencies;
    CREATE STATISTICS kinds.places_dependencies (ndistinct) ON code, name FROM kinds.places;
--= statistics places_one => (area + 2 => (area + 1
DROP STATISTICS kinds.places_one; CREATE STATISTICS kinds.places_one ON (area + 2) FROM kinds.places;
--= statistics_target places_mcv => 5 => 700
ALTER STATISTICS kinds.places_mcv SET STATISTICS 5;
--= statistics_target places_ndistinct => 6 =>
ALTER STATISTICS kinds.places_ndistinct SET STATISTICS 6;
--= publication kinds_root => pubinsert => pubdelete
ALTER PUBLICATION kinds_root SET (publish = 'insert');
--= publication_table kinds_root => columns all =>
ALTER PUBLICATION kinds_root ADD TABLE kinds.heirs;
--= publication_table kinds_some => columns ['id', 'name'] => 'area'
ALTER PUBLICATION kinds_some SET TABLE kinds.places (id, name) WHERE (id > 3), kinds.visits;
--= default_privileges sensor_admin r => sensor_reader=r*/ => sensor_reader=a*r*/
ALTER DEFAULT PRIVILEGES IN SCHEMA kinds REVOKE INSERT ON TABLES FROM sensor_reader;

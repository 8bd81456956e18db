-- Copyright (c) 2026, dbops.timescale contributors
-- GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- Everything that a hypertable refuses of post-data. All tables are plain here; on the target events, spaced, other and
-- stored are hypertables, and stored has the columnstore enabled (tests/integration/test_post_data_kinds.py makes them so).
-- plain.sql says what the marked lines mean. A line that begins with two dashes and an equals sign names the object that
-- the next statement makes, as the module reports it, and the TimescaleDB version since which a hypertable takes it; "never"
-- where none does, "with" another object that it stands or falls with.

--: step tables
CREATE SCHEMA refused;
CREATE FUNCTION refused.note() RETURNS trigger LANGUAGE plpgsql AS $body$ BEGIN RETURN new; END $body$;
CREATE TABLE refused.events (at timestamptz NOT NULL, x integer NOT NULL, word text);
CREATE TABLE refused.spaced (at timestamptz NOT NULL, device integer NOT NULL);
CREATE TABLE refused.other (at timestamptz NOT NULL, x integer);
CREATE TABLE refused.stored (at timestamptz NOT NULL, x integer NOT NULL, word text);
CREATE TABLE refused.points (id integer, at timestamptz, x integer);
CREATE TABLE refused.parts (at timestamptz, x integer) PARTITION BY LIST (x);
CREATE TABLE refused.parts_1 PARTITION OF refused.parts DEFAULT;

--: step what is taken, and what the rest needs
ALTER TABLE refused.points ADD CONSTRAINT points_pkey PRIMARY KEY (id);
ALTER TABLE refused.other ADD CONSTRAINT other_key UNIQUE (at);
ALTER TABLE refused.events ADD CONSTRAINT events_both_key UNIQUE (at, x);
ALTER TABLE refused.spaced ADD CONSTRAINT spaced_both_key UNIQUE (device, at);
ALTER TABLE refused.events ADD CONSTRAINT events_check CHECK (x > 0) NOT VALID;
ALTER TABLE refused.events ADD CONSTRAINT events_fkey FOREIGN KEY (x) REFERENCES refused.points (id) NOT VALID;
CREATE INDEX events_expression ON refused.events (x, date_trunc('day', at AT TIME ZONE 'UTC'));
CREATE INDEX stored_idx ON refused.stored (x) WITH (fillfactor = 70);
CREATE TRIGGER events_row AFTER INSERT ON refused.events FOR EACH ROW EXECUTE FUNCTION refused.note();
CREATE POLICY events_policy ON refused.events USING (x > 0);
ALTER TABLE refused.events ENABLE ROW LEVEL SECURITY;
CREATE POLICY stored_policy ON refused.stored USING (x > 0);
CREATE STATISTICS refused.stored_statistics ON x, word FROM refused.stored;
ALTER TABLE refused.stored CLUSTER ON stored_idx;
COMMENT ON INDEX refused.stored_idx IS 'Taken';

--: step what is refused
--= unique events_key never
ALTER TABLE refused.events ADD CONSTRAINT events_key UNIQUE (x);
--= primary_key events_pkey never
ALTER TABLE refused.events ADD CONSTRAINT events_pkey PRIMARY KEY (x);
--= unique events_include_key never
ALTER TABLE refused.events ADD CONSTRAINT events_include_key UNIQUE (x) INCLUDE (at);
--= exclude events_exclude never
ALTER TABLE refused.events ADD CONSTRAINT events_exclude EXCLUDE USING btree (x WITH =);
--= index events_unique never
CREATE UNIQUE INDEX events_unique ON refused.events (x, date_trunc('day', at AT TIME ZONE 'UTC'));
--= unique spaced_key never
ALTER TABLE refused.spaced ADD CONSTRAINT spaced_key UNIQUE (at);
--= index spaced_unique never
CREATE UNIQUE INDEX spaced_unique ON refused.spaced (at) INCLUDE (device);
--= check events_no_inherit never
ALTER TABLE refused.events ADD CONSTRAINT events_no_inherit CHECK (x > 0) NO INHERIT NOT VALID;
--= rule events_rule never
CREATE RULE events_rule AS ON DELETE TO refused.events DO INSTEAD NOTHING;
--= rule events_rule_off never
CREATE RULE events_rule_off AS ON UPDATE TO refused.events DO INSTEAD NOTHING;
--= rule_state events_rule_off with rule events_rule_off
ALTER TABLE refused.events DISABLE RULE events_rule_off;
--= comment rule events_rule with rule events_rule
COMMENT ON RULE events_rule ON refused.events IS 'Falls with its rule';
--= comment constraint events_key with unique events_key
COMMENT ON CONSTRAINT events_key ON refused.events IS 'Falls with its key';
--= cluster events with unique events_key
ALTER TABLE refused.events CLUSTER ON events_key;
--= replica_identity events with unique events_key
ALTER TABLE refused.events REPLICA IDENTITY USING INDEX events_key;
--= foreign_key points_to_no_key with unique events_key
ALTER TABLE refused.points ADD CONSTRAINT points_to_no_key FOREIGN KEY (x) REFERENCES refused.events (x);
--= foreign_key events_self never
ALTER TABLE refused.events ADD CONSTRAINT events_self FOREIGN KEY (at, x) REFERENCES refused.events (at, x);
--= foreign_key events_between never
ALTER TABLE refused.events ADD CONSTRAINT events_between FOREIGN KEY (at) REFERENCES refused.other (at);
--= foreign_key points_fkey 2.16.0
ALTER TABLE refused.points ADD CONSTRAINT points_fkey FOREIGN KEY (at) REFERENCES refused.other (at);
--= foreign_key parts_fkey 2.16.0
ALTER TABLE refused.parts ADD CONSTRAINT parts_fkey FOREIGN KEY (at) REFERENCES refused.other (at) ON DELETE CASCADE;
--= trigger events_row_tables never
CREATE TRIGGER events_row_tables AFTER INSERT ON refused.events REFERENCING NEW TABLE AS fresh
    FOR EACH ROW EXECUTE FUNCTION refused.note();
--= trigger events_tables 2.18.0
CREATE TRIGGER events_tables AFTER DELETE ON refused.events REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION refused.note();
--= trigger events_off with trigger_state events_off
CREATE TRIGGER events_off AFTER DELETE ON refused.events FOR EACH ROW EXECUTE FUNCTION refused.note();
--= trigger_state events_off 2.27.0
ALTER TABLE refused.events DISABLE TRIGGER events_off;
--= trigger events_replica with trigger_state events_replica
CREATE TRIGGER events_replica BEFORE TRUNCATE ON refused.events FOR EACH STATEMENT EXECUTE FUNCTION refused.note();
--= trigger_state events_replica 2.27.0
ALTER TABLE refused.events ENABLE REPLICA TRIGGER events_replica;
--= trigger_state events_row 2.27.0
ALTER TABLE refused.events ENABLE ALWAYS TRIGGER events_row;
--= replica_identity other 2.12.0
ALTER TABLE refused.other REPLICA IDENTITY USING INDEX other_key;
--= primary_key stored_pkey 2.18.0
ALTER TABLE refused.stored ADD CONSTRAINT stored_pkey PRIMARY KEY (at, x);
--= unique stored_key 2.18.0
ALTER TABLE refused.stored ADD CONSTRAINT stored_key UNIQUE (at, word);
--= exclude stored_exclude 2.18.0
ALTER TABLE refused.stored ADD CONSTRAINT stored_exclude EXCLUDE USING btree (at WITH =, x WITH =);
--= check stored_check 2.18.0
ALTER TABLE refused.stored ADD CONSTRAINT stored_check CHECK (x > 0) NOT VALID;
--= foreign_key stored_fkey 2.18.0
ALTER TABLE refused.stored ADD CONSTRAINT stored_fkey FOREIGN KEY (x) REFERENCES refused.points (id) NOT VALID;
--= index stored_unique 2.19.0
CREATE UNIQUE INDEX stored_unique ON refused.stored (x, at);
--= replica_identity stored with index stored_unique
ALTER TABLE refused.stored REPLICA IDENTITY USING INDEX stored_unique;
--= trigger stored_deletes never
CREATE TRIGGER stored_deletes AFTER DELETE ON refused.stored REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION refused.note();
--= trigger stored_updates 2.18.0
CREATE TRIGGER stored_updates AFTER UPDATE ON refused.stored REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION refused.note();
--= row_security stored never
ALTER TABLE refused.stored ENABLE ROW LEVEL SECURITY;
--= trigger stored_off with trigger_state stored_off
CREATE TRIGGER stored_off AFTER INSERT ON refused.stored FOR EACH ROW EXECUTE FUNCTION refused.note();
--= trigger_state stored_off 2.28.3
ALTER TABLE refused.stored DISABLE TRIGGER stored_off;

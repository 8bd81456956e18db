-- Copyright (c) 2026, dbops.timescale contributors
-- GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- Fill levels of the tanks of plain.sql, which is loaded first: the example of the vendor's migration page, grown to hold
-- every kind of TimescaleDB object that a migration has to move. Runs as the owner of the database, on TimescaleDB 2.11 and
-- later. plain.sql says what the marked lines mean.

--: step hypertable in a schema of a misleading name
CREATE TABLE "_timescaledb_app".events (at timestamptz NOT NULL, kind integer NOT NULL, note text);
SELECT create_hypertable('"_timescaledb_app".events', 'at', chunk_time_interval => interval '1 month');
ALTER TABLE "_timescaledb_app".events ADD CONSTRAINT events_kind_at_key UNIQUE (kind, at);
INSERT INTO "_timescaledb_app".events
SELECT '2026-01-01 00:00+00'::timestamptz + n * interval '1 hour', n % 5, 'note ' || n FROM generate_series(1, 1500) AS n;

--: step main hypertable
CREATE TABLE public.fill_measurements (
    "time" timestamptz NOT NULL,
    sensor_id integer NOT NULL,
    fill_level numeric(6, 2),
    batch integer NOT NULL DEFAULT 1,
    note text
);
SELECT create_hypertable('public.fill_measurements', 'time', chunk_time_interval => interval '7 days');
ALTER TABLE public.fill_measurements ADD CONSTRAINT fill_measurements_pkey PRIMARY KEY (sensor_id, "time");
ALTER TABLE public.fill_measurements ADD CONSTRAINT fill_measurements_batch_key UNIQUE ("time", sensor_id, batch);
ALTER TABLE public.fill_measurements ADD CONSTRAINT fill_measurements_sensor_id_fkey
    FOREIGN KEY (sensor_id) REFERENCES public.sensors (id) ON DELETE CASCADE;
ALTER TABLE public.fill_measurements ADD CONSTRAINT fill_measurements_level_check CHECK (fill_level >= 0);
COMMENT ON CONSTRAINT fill_measurements_pkey ON public.fill_measurements IS 'One value per sensor and time';
CREATE INDEX fill_measurements_high_idx ON public.fill_measurements (fill_level DESC) WHERE fill_level > 90;
CREATE INDEX fill_measurements_brin_idx ON public.fill_measurements USING brin ("time") WITH (pages_per_range = 32);
CREATE INDEX fill_measurements_day_idx ON public.fill_measurements (sensor_id, date_trunc('day', "time" AT TIME ZONE 'UTC'));
CREATE INDEX fill_measurements_cover_idx ON public.fill_measurements (batch) INCLUDE (fill_level);
COMMENT ON INDEX public.fill_measurements_high_idx IS 'Nearly full';
CREATE STATISTICS public.fill_measurements_sensor_batch ON sensor_id, batch FROM public.fill_measurements;
INSERT INTO public.fill_measurements ("time", sensor_id, fill_level, batch, note)
SELECT '2026-01-01 00:00+00'::timestamptz + n * interval '1 hour', s, (n * 7 + s * 13) % 100 + 0.25, 1 + n % 3,
       CASE WHEN n % 50 = 0 THEN 'checked' END
FROM generate_series(0, 73 * 24 - 1) AS n, generate_series(1, 20) AS s;
CREATE FUNCTION public.check_fill() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    new.note := coalesce(new.note, 'measured');
    RETURN new;
END
$body$;
CREATE TRIGGER fill_measurements_check BEFORE INSERT ON public.fill_measurements
    FOR EACH ROW WHEN (new.fill_level > 99) EXECUTE FUNCTION public.check_fill();
CREATE TRIGGER fill_measurements_statement AFTER INSERT ON public.fill_measurements
    FOR EACH STATEMENT EXECUTE FUNCTION public.note_delivery();
COMMENT ON TRIGGER fill_measurements_check ON public.fill_measurements IS 'Marks what is nearly full';
GRANT SELECT ON public.fill_measurements TO sensor_reader;
GRANT INSERT, UPDATE (fill_level) ON public.fill_measurements TO sensor_writer;

--: step other hypertables
CREATE TABLE public.channel_readings (
    "time" timestamptz NOT NULL, sensor_id integer NOT NULL, channel smallint NOT NULL, value double precision
);
SELECT create_hypertable('public.channel_readings', 'time', 'sensor_id', 2, chunk_time_interval => interval '14 days',
                         create_default_indexes => false);
INSERT INTO public.channel_readings
SELECT '2026-01-01 00:00+00'::timestamptz + n * interval '1 day', s, c, n + s * c
FROM generate_series(0, 72) AS n, generate_series(1, 20) AS s, generate_series(1, 2) AS c;
ALTER TABLE public.channel_readings ADD CONSTRAINT channel_readings_key UNIQUE ("time", sensor_id, channel);
ALTER TABLE public.channel_readings ADD CONSTRAINT channel_readings_channel_fkey FOREIGN KEY (sensor_id, channel)
    REFERENCES public.sensor_channels (sensor_id, channel) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE public.channel_readings ADD CONSTRAINT channel_readings_no_twins
    EXCLUDE USING btree ("time" WITH =, sensor_id WITH =, channel WITH =);
ALTER TABLE public.channel_readings ADD CONSTRAINT channel_readings_value_check CHECK (value > 5) NOT VALID;
CREATE INDEX channel_readings_by_channel ON public.channel_readings (channel, "time" DESC);
ALTER TABLE public.channel_readings CLUSTER ON channel_readings_by_channel;

CREATE TABLE public."Tenant Readings" ("Time" timestamptz NOT NULL, tenant name NOT NULL, "Value" integer);
SELECT create_hypertable('public."Tenant Readings"', 'Time', chunk_time_interval => interval '1 month');
CREATE UNIQUE INDEX "Tenant Readings Unique" ON public."Tenant Readings" (tenant, "Time");
INSERT INTO public."Tenant Readings"
SELECT '2026-01-01 00:00+00'::timestamptz + n * interval '1 hour', CASE n % 2 WHEN 0 THEN 'sensor_reader' ELSE 'sensor_writer' END, n
FROM generate_series(1, 1000) AS n;
ALTER TABLE public."Tenant Readings" ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_readings ON public."Tenant Readings" FOR SELECT TO sensor_reader USING (tenant = current_user);
COMMENT ON POLICY own_readings ON public."Tenant Readings" IS 'Each its own';

CREATE SCHEMA chunks_elsewhere;
CREATE TABLE public.pump_cycles (at date NOT NULL, pump integer NOT NULL, cycles integer);
SELECT create_hypertable('public.pump_cycles', 'at', chunk_time_interval => interval '1 month',
                         associated_schema_name => 'chunks_elsewhere', associated_table_prefix => 'pump');
ALTER TABLE public.pump_cycles ADD CONSTRAINT pump_cycles_pkey PRIMARY KEY (pump, at);
ALTER TABLE public.pump_cycles ADD CONSTRAINT pump_cycles_check CHECK (cycles >= 0);
CREATE TRIGGER pump_cycles_note AFTER INSERT ON public.pump_cycles FOR EACH ROW EXECUTE FUNCTION public.note_delivery();
INSERT INTO public.pump_cycles SELECT '2026-01-01'::date + n, p, n * p FROM generate_series(0, 72) AS n, generate_series(1, 5) AS p;

CREATE TABLE public.counters (tick bigint NOT NULL, device integer NOT NULL, value bigint NOT NULL);
SELECT create_hypertable('public.counters', 'tick', chunk_time_interval => 10000);
ALTER TABLE public.counters ADD CONSTRAINT counters_pkey PRIMARY KEY (device, tick);
CREATE FUNCTION public.counters_now() RETURNS bigint LANGUAGE sql STABLE
    AS $body$ SELECT coalesce(max(tick), 0) FROM counters $body$;  -- no schema, as people write it
SELECT set_integer_now_func('public.counters', 'public.counters_now');
INSERT INTO public.counters SELECT n * 10, 1 + n % 5, n * n FROM generate_series(1, 5000) AS n;

--: step aggregates
CREATE MATERIALIZED VIEW public.avg_fill_levels WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS
SELECT time_bucket('01:00:00'::interval, "time") AS bucket, sensor_id, round(avg(fill_level), 2) AS avg_fill_level,
       count(*) FILTER (WHERE fill_level > 90) AS high
FROM public.fill_measurements GROUP BY 1, sensor_id WITH NO DATA;
CREATE INDEX avg_fill_levels_high ON public.avg_fill_levels (sensor_id, avg_fill_level DESC) WHERE high > 0;
COMMENT ON VIEW public.avg_fill_levels IS 'Fill levels per hour; "averages"';
COMMENT ON COLUMN public.avg_fill_levels.bucket IS 'Begin of the hour';
GRANT SELECT ON public.avg_fill_levels TO sensor_reader;

CREATE MATERIALIZED VIEW reports.avg_fill_levels_daily WITH (timescaledb.continuous, timescaledb.materialized_only = true) AS
SELECT time_bucket('1 day'::interval, bucket) AS day, sensor_id, avg(avg_fill_level) AS level, sum(high) AS high
FROM public.avg_fill_levels GROUP BY 1, 2 WITH NO DATA;
GRANT SELECT (day, level) ON reports.avg_fill_levels_daily TO sensor_writer;

CREATE MATERIALIZED VIEW reports."Avg Fill Levels Weekly" WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS
SELECT time_bucket('7 days'::interval, day) AS "Week", sensor_id % 2 = 0 AS "Even", max(level) AS "Level"
FROM reports.avg_fill_levels_daily GROUP BY 1, 2 HAVING max(level) > 0 WITH NO DATA;

CREATE MATERIALIZED VIEW public.counters_by_100
    WITH (timescaledb.continuous, timescaledb.materialized_only = true, timescaledb.create_group_indexes = false) AS
SELECT time_bucket(100::bigint, tick) AS bucket, device, max(value) AS value, count(*) AS samples
FROM public.counters GROUP BY 1, 2 WITH NO DATA;

CREATE MATERIALIZED VIEW reports.fill_levels_berlin WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS
SELECT time_bucket('1 day', "time", 'Europe/Berlin') AS day, s.kind, avg(fill_level) AS level
FROM public.fill_measurements AS m JOIN public.sensors AS s ON s.id = m.sensor_id GROUP BY 1, 2 WITH NO DATA;

CREATE VIEW reports.latest_fill AS
SELECT DISTINCT ON (sensor_id) sensor_id, bucket, avg_fill_level FROM public.avg_fill_levels ORDER BY sensor_id, bucket DESC;
COMMENT ON VIEW reports.latest_fill IS 'The last hour of each';
CREATE VIEW reports.latest_fill_named AS
SELECT s.name, l.bucket, l.avg_fill_level FROM reports.latest_fill AS l JOIN public.sensors AS s ON s.id = l.sensor_id;
GRANT SELECT ON reports.latest_fill, reports.latest_fill_named TO sensor_reader;

--: alone refresh hourly
CALL refresh_continuous_aggregate('public.avg_fill_levels', NULL, '2026-03-10 00:00+00');
--: alone refresh daily
CALL refresh_continuous_aggregate('reports.avg_fill_levels_daily', NULL, '2026-03-09 00:00+00');
--: alone refresh weekly
CALL refresh_continuous_aggregate('reports."Avg Fill Levels Weekly"', NULL, NULL);
--: alone refresh counters
CALL refresh_continuous_aggregate('public.counters_by_100', NULL, 40000);
--: alone refresh berlin
CALL refresh_continuous_aggregate('reports.fill_levels_berlin', NULL, NULL);

--: step stored results over aggregates
CREATE MATERIALIZED VIEW reports.fill_summary AS
SELECT sensor_id, max(avg_fill_level) AS highest, count(*) AS hours FROM public.avg_fill_levels GROUP BY sensor_id;
CREATE UNIQUE INDEX fill_summary_sensor_id_idx ON reports.fill_summary (sensor_id);
COMMENT ON MATERIALIZED VIEW reports.fill_summary IS 'Refreshed by a job';
GRANT SELECT ON reports.fill_summary TO sensor_reader;

--: step columnstore
ALTER TABLE public.fill_measurements SET (timescaledb.compress, timescaledb.compress_segmentby = 'sensor_id',
    timescaledb.compress_orderby = '"time" DESC, batch');
ALTER TABLE public.counters SET (timescaledb.compress, timescaledb.compress_segmentby = 'device',
    timescaledb.compress_orderby = 'tick ASC NULLS FIRST');
ALTER MATERIALIZED VIEW public.avg_fill_levels SET (timescaledb.compress = true,
    timescaledb.compress_segmentby = 'sensor_id', timescaledb.compress_orderby = 'bucket');
SELECT count(compress_chunk(chunk)) FROM show_chunks('public.fill_measurements', older_than => timestamptz '2026-01-16 00:00+00') AS chunk;

--: step policies
SELECT add_continuous_aggregate_policy('public.avg_fill_levels', start_offset => interval '30 days', end_offset => interval '1 hour',
    schedule_interval => interval '30 minutes', initial_start => '2026-04-01 00:10+00', timezone => 'Europe/Berlin');
SELECT add_continuous_aggregate_policy('reports.avg_fill_levels_daily', start_offset => NULL, end_offset => interval '1 day',
    schedule_interval => interval '1 day');
SELECT add_continuous_aggregate_policy('reports."Avg Fill Levels Weekly"', start_offset => interval '12 weeks', end_offset => NULL,
    schedule_interval => interval '7 days', initial_start => '2026-04-06 03:00+00');
SELECT add_continuous_aggregate_policy('public.counters_by_100', start_offset => 5000::bigint, end_offset => 100::bigint,
    schedule_interval => interval '10 minutes');
SELECT add_retention_policy('public.fill_measurements', interval '2 years', initial_start => '2026-04-01 01:00+00', timezone => 'UTC');
SELECT add_retention_policy('public.avg_fill_levels', interval '5 years', schedule_interval => interval '2 days');
SELECT add_retention_policy('public.counters', 10000000::bigint);
SELECT add_compression_policy('public.fill_measurements', interval '60 days');
SELECT add_compression_policy('public.avg_fill_levels', interval '90 days', schedule_interval => interval '3 days');
SELECT add_compression_policy('public.counters', 20000::bigint, initial_start => '2026-04-01 02:00+00');
SELECT add_reorder_policy('public.channel_readings', 'channel_readings_by_channel');

--: step attributes of policies
SELECT alter_job(job_id, max_runtime => interval '10 minutes', max_retries => 7, retry_period => interval '3 minutes')
FROM timescaledb_information.jobs WHERE proc_name = 'policy_refresh_continuous_aggregate' AND schedule_interval = interval '1 day';
SELECT alter_job(job_id, scheduled => false) FROM timescaledb_information.jobs
WHERE proc_name = 'policy_retention' AND hypertable_name = 'counters';
SELECT alter_job(job_id, max_retries => 3, schedule_interval => interval '2 days') FROM timescaledb_information.jobs
WHERE proc_name = 'policy_reorder';
SELECT alter_job(job_id, config => config || '{"maxchunks_to_compress": 4, "verbose_log": true}') FROM timescaledb_information.jobs
WHERE proc_name = 'policy_compression' AND hypertable_name = 'fill_measurements';

--: step user jobs
CREATE PROCEDURE reports.rebuild_summary(job_id integer, config jsonb) LANGUAGE plpgsql AS $body$
BEGIN
    PERFORM count(*) FROM public.sensors WHERE id <= (config ->> 'limit')::integer;
END
$body$;
CREATE FUNCTION reports.check_rebuild(config jsonb) RETURNS void LANGUAGE plpgsql AS $body$
BEGIN
    PERFORM FROM sensors;  -- found by the user's search_path only
    IF config IS NULL OR NOT config ? 'limit' THEN
        RAISE EXCEPTION 'rebuild_summary needs a limit';
    END IF;
END
$body$;
CREATE FUNCTION public.nightly(integer, jsonb) RETURNS void LANGUAGE sql AS $body$ SELECT $body$;
SELECT add_job('reports.rebuild_summary', '1 hour', config => '{"limit": 10, "who": "it''s me"}', initial_start => '2026-04-01 03:00+00',
    check_config => 'reports.check_rebuild'::regproc, timezone => 'America/New_York');
SELECT add_job('reports.rebuild_summary', '2 hours', config => '{"limit": 5}', initial_start => '2026-04-01 04:00+00', scheduled => false);
SELECT add_job('reports.rebuild_summary', '2 hours', config => '{"limit": 5}', initial_start => '2026-04-01 04:00+00', scheduled => false);
SELECT add_job('public.nightly', '1 day', fixed_schedule => false);

--: step possible since 2.12 since 2.12
ALTER TABLE public.pump_cycles REPLICA IDENTITY USING INDEX pump_cycles_pkey;
SELECT alter_job(job_id, max_runtime => interval '20 minutes', timezone => 'Europe/Berlin') FROM timescaledb_information.jobs
WHERE proc_name = 'policy_refresh_continuous_aggregate' AND schedule_interval = interval '30 minutes';

--: step possible since 2.16 since 2.16
CREATE TABLE public.pump_repairs (
    id integer NOT NULL,
    pump integer,
    at date,
    CONSTRAINT pump_repairs_pkey PRIMARY KEY (id),
    CONSTRAINT pump_repairs_cycle_fkey FOREIGN KEY (pump, at) REFERENCES public.pump_cycles (pump, at) ON DELETE SET NULL
);
INSERT INTO public.pump_repairs SELECT n, 1 + n % 5, '2026-01-01'::date + n FROM generate_series(1, 20) AS n;

--: step possible since 2.18 since 2.18
CREATE TRIGGER pump_cycles_batch AFTER INSERT ON public.pump_cycles
    REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION public.note_delivery();

--: step possible since 2.27 since 2.27
ALTER TABLE public.pump_cycles DISABLE TRIGGER pump_cycles_note;

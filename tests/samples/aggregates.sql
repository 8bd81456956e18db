-- Copyright (c) 2026, dbops.timescale contributors
-- GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- More aggregates on top of fill_levels.sql: every kind of bucket, names with dots, indexes, rights, comments, and what
-- stands on them. plain.sql says what the marked lines mean.

--: step rows
CREATE SCHEMA "Mixed.Case";
GRANT USAGE ON SCHEMA "Mixed.Case" TO sensor_reader, sensor_writer;
CREATE TABLE "Mixed.Case"."Raw.Data" (
    "At.Time" timestamptz NOT NULL, "Dev.ice" integer NOT NULL, "Val.ue" double precision, kind text
);
SELECT create_hypertable('"Mixed.Case"."Raw.Data"', 'At.Time', chunk_time_interval => interval '7 days');
INSERT INTO "Mixed.Case"."Raw.Data"
SELECT '2026-01-01 00:07+00'::timestamptz + n * interval '1 hour', d, sqrt(n * d) / 3, 'kind ' || n % 3
FROM generate_series(0, 60 * 24 - 1) AS n, generate_series(1, 4) AS d;
CREATE TABLE public.local_times (at timestamp NOT NULL, n integer);
SELECT create_hypertable('public.local_times', 'at', chunk_time_interval => interval '10 days');
INSERT INTO public.local_times SELECT '2026-01-01'::timestamp + n * interval '3 hours', n FROM generate_series(0, 400) AS n;

--: step hierarchy of three levels in two schemas
CREATE MATERIALIZED VIEW "Mixed.Case"."By.Hour"
    WITH (timescaledb.continuous, timescaledb.materialized_only = false, timescaledb.create_group_indexes = false) AS
SELECT time_bucket('1 hour', "At.Time") AS "Buck.et", "Dev.ice", avg("Val.ue") AS "Av.g", stddev("Val.ue") AS spread,
       count(*) AS n FROM "Mixed.Case"."Raw.Data" GROUP BY 1, 2 WITH NO DATA;
CREATE MATERIALIZED VIEW reports."By.Day" WITH (timescaledb.continuous, timescaledb.materialized_only = true) AS
SELECT time_bucket('1 day', "Buck.et") AS "Day", "Dev.ice", avg("Av.g") AS "Av.g", sum(n) AS n
FROM "Mixed.Case"."By.Hour" GROUP BY 1, 2 WITH NO DATA;
CREATE MATERIALIZED VIEW "Mixed.Case"."By.Week" WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS
SELECT time_bucket('7 days', "Day") AS "Week", max("Av.g") AS top, sum(n) AS n FROM reports."By.Day" GROUP BY 1 WITH NO DATA;

--: step buckets of other kinds
CREATE MATERIALIZED VIEW reports."Per.Month" WITH (timescaledb.continuous, timescaledb.materialized_only = true) AS
SELECT time_bucket('1 month', "At.Time") AS month, kind, avg("Val.ue") AS level
FROM "Mixed.Case"."Raw.Data" GROUP BY 1, 2 WITH NO DATA;
CREATE MATERIALIZED VIEW reports.month_of_berlin WITH (timescaledb.continuous, timescaledb.materialized_only = true) AS
SELECT time_bucket('1 month', "At.Time", 'Europe/Berlin') AS month, sum("Val.ue") AS total
FROM "Mixed.Case"."Raw.Data" GROUP BY 1 WITH NO DATA;
CREATE MATERIALIZED VIEW public.cycles_weekly WITH (timescaledb.continuous, timescaledb.materialized_only = true) AS
SELECT time_bucket('7 days', at) AS week, pump, sum(cycles) AS cycles FROM public.pump_cycles GROUP BY 1, 2 WITH NO DATA;
CREATE MATERIALIZED VIEW public.local_days WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS
SELECT time_bucket('1 day', at) AS day, count(*) AS n FROM public.local_times GROUP BY 1 WITH NO DATA;

--: step origin and offset since 2.15
CREATE MATERIALIZED VIEW public.with_origin WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS
SELECT time_bucket('2 days', "At.Time", origin => '2026-01-02 06:00+00'::timestamptz) AS bucket, count(*) AS n
FROM "Mixed.Case"."Raw.Data" GROUP BY 1 WITH NO DATA;
CREATE MATERIALIZED VIEW public.with_offset WITH (timescaledb.continuous, timescaledb.materialized_only = true) AS
SELECT time_bucket('1 day', "At.Time", "offset" => interval '6 hours') AS bucket, count(*) AS n
FROM "Mixed.Case"."Raw.Data" GROUP BY 1 WITH NO DATA;
CREATE MATERIALIZED VIEW public.ticks_offset WITH (timescaledb.continuous, timescaledb.materialized_only = true) AS
SELECT time_bucket(100::bigint, tick, 50::bigint) AS bucket, max(value) AS value FROM public.counters GROUP BY 1 WITH NO DATA;

--: step a bucket that the next major does not know before 2.15
CREATE MATERIALIZED VIEW public.with_ng WITH (timescaledb.continuous, timescaledb.materialized_only = true) AS
SELECT timescaledb_experimental.time_bucket_ng('7 days', "At.Time", 'Europe/Berlin') AS bucket, count(*) AS n
FROM "Mixed.Case"."Raw.Data" GROUP BY 1 WITH NO DATA;
CREATE MATERIALIZED VIEW public.with_ng_origin WITH (timescaledb.continuous, timescaledb.materialized_only = true) AS
SELECT timescaledb_experimental.time_bucket_ng('5 days', at, origin => '2025-12-01'::date) AS bucket, sum(cycles) AS n
FROM public.pump_cycles GROUP BY 1 WITH NO DATA;
CREATE MATERIALIZED VIEW public.with_ng_days WITH (timescaledb.continuous, timescaledb.materialized_only = true) AS
SELECT timescaledb_experimental.time_bucket_ng('5 days', at) AS bucket, sum(cycles) AS n
FROM public.pump_cycles GROUP BY 1 WITH NO DATA;

--: alone refresh first level
CALL refresh_continuous_aggregate('"Mixed.Case"."By.Hour"', NULL, '2026-02-20 00:00+00');
--: alone refresh second level
CALL refresh_continuous_aggregate('reports."By.Day"', NULL, '2026-02-20 00:00+00');
--: alone refresh third level
CALL refresh_continuous_aggregate('"Mixed.Case"."By.Week"', NULL, NULL);
--: alone refresh month
CALL refresh_continuous_aggregate('reports."Per.Month"', NULL, NULL);
--: alone refresh month of Berlin
CALL refresh_continuous_aggregate('reports.month_of_berlin', NULL, NULL);
--: alone refresh cycles
CALL refresh_continuous_aggregate('public.cycles_weekly', NULL, NULL);
--: alone refresh local days
CALL refresh_continuous_aggregate('public.local_days', NULL, '2026-02-01');
--: alone refresh origin since 2.15
CALL refresh_continuous_aggregate('public.with_origin', NULL, NULL);
--: alone refresh offset since 2.15
CALL refresh_continuous_aggregate('public.with_offset', NULL, NULL);
--: alone refresh ticks since 2.15
CALL refresh_continuous_aggregate('public.ticks_offset', NULL, NULL);
--: alone refresh ng before 2.15
CALL refresh_continuous_aggregate('public.with_ng', NULL, NULL);
--: alone refresh ng with origin before 2.15
CALL refresh_continuous_aggregate('public.with_ng_origin', NULL, NULL);
--: alone refresh ng with days before 2.15
CALL refresh_continuous_aggregate('public.with_ng_days', NULL, NULL);

--: step what belongs to them
CREATE INDEX "By.Hour dev.ice" ON "Mixed.Case"."By.Hour" ("Dev.ice", "Av.g" DESC NULLS LAST) WHERE n > 0;
DO $$
DECLARE found text;
BEGIN
  SELECT format('%I.%I', x.schemaname, x.indexname) INTO STRICT found FROM pg_indexes AS x
  JOIN timescaledb_information.continuous_aggregates AS i ON i.materialization_hypertable_schema = x.schemaname
    AND i.materialization_hypertable_name = x.tablename
  WHERE i.view_name = 'By.Day' AND x.indexdef LIKE '%("Day" DESC)';
  EXECUTE 'DROP INDEX ' || found;
END
$$;
ALTER MATERIALIZED VIEW "Mixed.Case"."By.Hour" SET (timescaledb.compress = true);
SELECT compress_chunk(c) FROM show_chunks('"Mixed.Case"."By.Hour"', older_than => '2026-02-01'::timestamptz) AS c;
COMMENT ON VIEW "Mixed.Case"."By.Hour" IS E'Hours, it\'s said: 100 %\n\\';
COMMENT ON COLUMN "Mixed.Case"."By.Hour"."Av.g" IS 'The mean';
GRANT SELECT ON "Mixed.Case"."By.Hour" TO sensor_reader, sensor_writer WITH GRANT OPTION;
GRANT SELECT ("Day", n) ON reports."By.Day" TO sensor_reader;
GRANT SELECT ON "Mixed.Case"."By.Week", reports."Per.Month" TO PUBLIC;

--: step what stands on them
CREATE VIEW reports."Top.Days" WITH (security_barrier = true) AS
SELECT "Dev.ice", max("Av.g") AS top FROM reports."By.Day" GROUP BY 1;
CREATE VIEW "Mixed.Case"."Top.Of.All" AS SELECT max(top) AS top FROM reports."Top.Days";
COMMENT ON COLUMN "Mixed.Case"."Top.Of.All".top IS 'The one';
GRANT SELECT (top) ON "Mixed.Case"."Top.Of.All" TO sensor_reader;
CREATE FUNCTION reports.row_of("Mixed.Case"."By.Hour") RETURNS double precision LANGUAGE sql IMMUTABLE
    AS $body$ SELECT $1."Av.g" $body$;
CREATE FUNCTION reports.rows_of_day() RETURNS SETOF reports."By.Day" LANGUAGE sql STABLE
    BEGIN ATOMIC SELECT d.* FROM reports."By.Day" AS d; END;
REVOKE EXECUTE ON FUNCTION reports.rows_of_day() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION reports.rows_of_day() TO sensor_reader;
COMMENT ON FUNCTION reports.rows_of_day() IS 'All of them';
CREATE VIEW reports.days_again AS SELECT count(*) AS days FROM reports.rows_of_day();

--: step rows behind the refresh
INSERT INTO "Mixed.Case"."Raw.Data" VALUES ('2026-01-05 05:05+00', 1, 1000, 'kind 1');

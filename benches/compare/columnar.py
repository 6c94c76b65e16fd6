"""DuckDB and ClickHouse (chdb) for the comparison: reads a request a line, answers with a line of JSON.

{"do": "fill", "system": "duckdb", "directory": "…", "rows": "….jsonl"}   -> {"version": "…", "settings": "…"}
{"do": "ask", "sql": "…"}                                                 -> {"seconds": 0.1, "rows": [[…]]}
{"do": "stop"}                                                            -> {}

Both live in this process. A question's time counts from the SQL text to the whole answer in memory: as Python
values from DuckDB, as JSON text from ClickHouse, whose parsing is not counted.
"""

import json
import pathlib
import sys
import time


class DuckDb:
    COLUMNS = {
        "id": "VARCHAR", "time": "BIGINT", "actor": "VARCHAR", "action": "VARCHAR", "stage": "VARCHAR",
        "outcome": "VARCHAR", "environment": "VARCHAR", "reason": "VARCHAR", "digests": "VARCHAR[]", "body": "VARCHAR",
    }

    def __init__(self, directory, rows):
        import duckdb

        self.connection = duckdb.connect(str(directory / "events.duckdb"))
        self.connection.execute(
            f"CREATE TABLE events AS SELECT * FROM read_json(?, format = 'newline_delimited', columns = {self.COLUMNS})",
            [rows],
        )
        self.connection.execute("CHECKPOINT; ANALYZE")

    def about(self):
        ((version,),) = self.connection.execute("SELECT version()").fetchall()
        wanted = "SELECT name, value FROM duckdb_settings() WHERE name IN ('threads', 'memory_limit') ORDER BY name"
        settings = ", ".join(f"{name} {value}" for name, value in self.connection.execute(wanted).fetchall())
        return version.removeprefix("v"), settings

    def ask(self, sql):
        begun = time.perf_counter()
        rows = self.connection.execute(sql).fetchall()
        return time.perf_counter() - begun, rows

    def stop(self):
        self.connection.close()


class ClickHouse:
    TABLE = """
        CREATE TABLE events (
            id String, time Int64, actor LowCardinality(String), action LowCardinality(String),
            stage LowCardinality(Nullable(String)), outcome LowCardinality(Nullable(String)),
            environment LowCardinality(Nullable(String)), reason Nullable(String), digests Array(String), body String,
            INDEX by_time time TYPE minmax GRANULARITY 1,
            INDEX by_digest digests TYPE bloom_filter GRANULARITY 1,
            INDEX by_text ifNull(reason, '') TYPE ngrambf_v1(4, 65536, 2, 0) GRANULARITY 1
        ) ENGINE = MergeTree ORDER BY (actor, stage, time) SETTINGS allow_nullable_key = 1
    """

    def __init__(self, directory, rows):
        from chdb import session

        self.session = session.Session(str(directory))
        self.session.query("CREATE DATABASE compare")
        self.session.query("USE compare")
        self.session.query(self.TABLE)
        self.session.query(f"INSERT INTO events SELECT * FROM file('{rows}', JSONEachRow)")
        self.session.query("OPTIMIZE TABLE events FINAL")

    def about(self):
        version = self.session.query("SELECT version()", "TSVRaw").bytes().decode().strip()
        wanted = (
            "SELECT name, value FROM system.settings "
            "WHERE name IN ('max_threads', 'use_query_condition_cache') ORDER BY name"
        )
        settings = self.session.query(wanted, "TSVRaw").bytes().decode().strip()
        return version, settings.replace("\t", " ").replace("\n", ", ")

    def ask(self, sql):
        begun = time.perf_counter()
        answer = self.session.query(sql, "JSONCompactEachRow").bytes()
        seconds = time.perf_counter() - begun
        return seconds, [json.loads(line) for line in answer.splitlines()]

    def stop(self):
        self.session.close()


def main():
    system = None
    for line in sys.stdin:
        request = json.loads(line)
        if request["do"] == "fill":
            kind = {"duckdb": DuckDb, "chdb": ClickHouse}[request["system"]]
            system = kind(pathlib.Path(request["directory"]), request["rows"])
            version, settings = system.about()
            answer = {"version": version, "settings": settings}
        elif request["do"] == "ask":
            seconds, rows = system.ask(request["sql"])
            answer = {"seconds": seconds, "rows": rows}
        else:
            system.stop()
            answer = {}
        print(json.dumps(answer), flush=True)


main()

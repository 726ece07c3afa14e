"""Connects with psycopg by the connection strings it is given, and uses each as an application does.

Prints one line for each: who one is, and whether the server is a replica. A string that leads to a
primary is written through; the same statement is run often enough for psycopg to prepare it.
"""

import sys

import psycopg

for conninfo in sys.argv[2:]:
    # PgBouncer before 1.21 knows no prepared statements in transaction pooling.
    threshold = 5 if sys.argv[1] == "prepare" else None
    with psycopg.connect(conninfo, prepare_threshold=threshold, connect_timeout=10) as connection:
        for number in range(12):
            row = connection.execute("SELECT %s::int + 1", (number,)).fetchone()
            assert row == (number + 1,), row
        user, replica = connection.execute(
            "SELECT current_user::text, pg_is_in_recovery()"
        ).fetchone()
        if not replica:
            connection.execute("CREATE TEMP TABLE scratch (n int) ON COMMIT DROP")
            with connection.cursor() as cursor:
                cursor.executemany("INSERT INTO scratch VALUES (%s)", [(n,) for n in range(10)])
        print(user, "replica" if replica else "primary")

"""Counts the leaves of the audit record, or does to it what verification must find.

Reads one JSON object and writes one. Knows the database as anyone with SQLite does, not through the program.
"""

import hashlib
import json
import sqlite3
import sys


def rows(connection, statement, *values):
    return connection.execute(statement, values).rowcount


def leaf_bytes(connection, tenant, leaf):
    found = connection.execute(
        "SELECT bytes, hash FROM audit_outbox WHERE tenant = ? AND leaf_index = ?", (tenant, leaf)
    ).fetchone()
    return bytes(found[0]), bytes(found[1])


def put(connection, tenant, leaf, content, digest):
    statement = "UPDATE audit_outbox SET bytes = ?, hash = ? WHERE tenant = ? AND leaf_index = ?"
    return rows(connection, statement, content, digest, tenant, leaf)


def last(connection, tenant):
    return connection.execute("SELECT max(leaf_index) FROM audit_outbox WHERE tenant = ?", (tenant,)).fetchone()[0]


def changed(content):
    return content.replace(b'"status":200', b'"status":201').replace(b'"status":0', b'"status":1')


def change(connection, tenant, leaf):
    content, digest = leaf_bytes(connection, tenant, leaf)
    assert changed(content) != content
    return put(connection, tenant, leaf, changed(content), digest)


def change_with_hash(connection, tenant, leaf):
    content = changed(leaf_bytes(connection, tenant, leaf)[0])
    return put(connection, tenant, leaf, content, hashlib.sha256(b"\0" + content).digest())


def remove(connection, tenant, leaf):
    return rows(connection, "DELETE FROM audit_outbox WHERE tenant = ? AND leaf_index = ?", tenant, leaf)


def remove_last(connection, tenant, _):
    return remove(connection, tenant, last(connection, tenant))


def remove_first(connection, tenant, _):
    return remove(connection, tenant, 0)


def swap(connection, tenant, leaf):
    first, second = leaf_bytes(connection, tenant, leaf), leaf_bytes(connection, tenant, leaf + 1)
    return put(connection, tenant, leaf, *second) + put(connection, tenant, leaf + 1, *first)


def swap_indexes(connection, tenant, leaf):
    statement = "UPDATE audit_outbox SET leaf_index = ? WHERE tenant = ? AND leaf_index = ?"
    moves = [(-1, leaf), (leaf, leaf + 1), (leaf + 1, -1)]
    return sum(rows(connection, statement, to, tenant, origin) for to, origin in moves)


def insert(connection, tenant, leaf):
    end = last(connection, tenant) + 1
    content, digest = leaf_bytes(connection, tenant, leaf)
    statement = "INSERT INTO audit_outbox (tenant, leaf_index, bytes, hash) VALUES (?, ?, ?, ?)"
    return rows(connection, statement, tenant, end, content, digest)


def change_head(connection, tenant, _):
    return rows(connection, "UPDATE tenants SET head = ? WHERE tenant = ?", b"\x07" * 32, tenant)


def count(database, tenant):
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=30)
    one = lambda statement, *values: connection.execute(statement, values).fetchone()[0]
    return {
        "tenant": one("SELECT count(*) FROM audit_outbox WHERE tenant = ?", tenant),
        "service": one("SELECT count(*) FROM service_outbox"),
    }


TAMPERING = [change, change_with_hash, remove, remove_last, remove_first, swap, swap_indexes, insert, change_head]


def main():
    asked = json.load(sys.stdin)
    if asked["do"] == "count":
        answer = count(asked["database"], asked["tenant"])
    else:
        done = next(way for way in TAMPERING if way.__name__ == asked["do"])
        with sqlite3.connect(asked["database"]) as connection:
            answer = {"rows": done(connection, asked["tenant"], asked["leaf"])}
    json.dump(answer, sys.stdout)


main()

"""Has litewitness cosign logs: python3 litewitness_logs.py DATABASE, their vkeys on stdin, one a line.

Its own tool for this does not build: a dependency of it is not to be had. The tables are made at its first start.
"""

import sqlite3
import sys

EMPTY_ROOT = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="

database = sqlite3.connect(sys.argv[1], timeout=30)
for vkey in sys.stdin.read().split():
    origin = vkey.split("+", 1)[0]
    database.execute("INSERT OR IGNORE INTO log VALUES (?, 0, ?)", (origin, EMPTY_ROOT))
    database.execute("INSERT INTO key VALUES (?, ?)", (origin, vkey))
database.commit()

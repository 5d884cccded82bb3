"""Verdicts and candidates, kept by content: cache and crash-safe resume in one.

A key is a hash of all that decides a draw (`bon.ledger.content`): the judge's identity, the texts, which
vote, which attempt. Never a position in a file, so nothing else can ever be served an old verdict.

A ledger is a folder:

    000001.log, 000002.log, ...   the truth: records one after another, appended, never changed
    index.sqlite                  where each key's record is; derived, made anew whenever in doubt
    lock                          held by the one writer; a second is told at once

A record is on its way to the disk, in one system call, the moment its verdict is known: a killed process
loses none, a power cut at most the last second's. Each has a checksum. What a crash left of a last record
is cut off when the next writer opens the ledger; damage elsewhere costs the records it hits and no other.

Why segments, and not all of it in SQLite: on two shared cores a verdict of 1.4 kB took 53 us in SQLite, one
commit each (WAL, synchronous=NORMAL), 22 us here, looking for its key and indexing it included; beside a
busy disk 181 us against 29 (`benchmarks/ledger.py`). SQLite reads faster, 12 us against 31, but what is
read is what no model had to think about. And a log can be cut at any byte, where a truncated B-tree is a
lost ledger. Why SQLite for the index: keys are found in a few microseconds in constant memory, however
many there are; a dict of three million would take 400 MB.
"""

from bon.ledger.content import candidates_key, verdict_key
from bon.ledger.store import Ledger, LedgerError

__all__ = ["Ledger", "LedgerError", "candidates_key", "verdict_key"]

"""`bon bench`: the same strategies in three worlds, one report.

A `World` plays a strategy on one of its prompts and says how it went: simulated (`simulated.py`), replayed
from verdicts on disk (`recorded.py`), or live on vLLM (`live.py`). `runner.py` plays them all over processes,
`report.py` turns what was played into rows, `picture.py` draws accuracy against cost.
"""

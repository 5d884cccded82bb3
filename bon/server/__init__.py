"""An OpenAI-compatible server whose every answer is the best of N.

`create_app` makes the FastAPI application over a `bon.session.Session`; `bon.server.serving` runs it.
All requests meet in the session's one pool, so that concurrent clients fill each other's batches.
"""

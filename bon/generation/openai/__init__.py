"""OpenAI-compatible servers as a back end: vLLM, SGLang, llama.cpp, or one that is paid for.

`address` reads a model's name, `wire` says what goes to and fro, `line` is the way to one server, `pool`
shares requests out among several, `backend` puts them together. Nothing but `address` is imported before
such a model is asked for.
"""

"""The bundled tiny models: how they are trained and how they are measured."""

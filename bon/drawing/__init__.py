"""Pictures of one tournament, SVG or PNG, drawn with matplotlib."""

"""Tournament strategies, one file each: pure functions over a `bon.tournament.Table`."""

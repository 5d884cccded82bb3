"""Results for people: `terminal` for `bon show`, `page` for `bon report`."""

"""Rule sets and intelligence: where they come from, which are selected, whether they are valid."""

"""Where the agent keeps things: cases (small, transactional, never lost) and events (large, append-only, searched)."""

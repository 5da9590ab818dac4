"""Channels out: signed-off reports go from the case store through the outbox to the coordinating centre, until
acknowledged."""

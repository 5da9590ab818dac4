"""Runs the revisions on the connection it was given, in that connection's transaction."""

from alembic import context

from tapwarden.agent.store.cases.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite cannot alter most things in place
    transactional_ddl=True,
)
context.run_migrations()

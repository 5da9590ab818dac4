"""Alembic's environment; run by ``tapwarden.agent.store.cases.database.migrate`` at every opening."""

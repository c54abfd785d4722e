"""The store: schema, connections, the raw statements of the charging path, and news between processes."""

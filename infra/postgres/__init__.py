"""PostgreSQL: the embedded server, the run lock of a checkout, migrations and roles."""

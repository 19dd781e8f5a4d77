"""What people do with a configuration: show, diff, lint, explain, schema, documentation."""

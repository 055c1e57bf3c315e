"""Instructions read as queries: filters, groups, aggregates, orders and limits that combine freely."""

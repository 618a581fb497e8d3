"""REST v1, one file a resource."""

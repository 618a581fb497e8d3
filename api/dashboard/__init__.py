"""The dashboard: server-rendered pages over the same functions that REST calls."""

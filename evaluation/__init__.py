"""Real against generated: metrics, tables and pictures. Pure functions on arrays; the protocol lives in
workers."""

"""Real against generated: metrics, tables and pictures. The protocol that uses them lives in workers."""

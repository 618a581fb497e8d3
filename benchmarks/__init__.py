"""What ``likeness bench`` runs: measurements of one part each, one JSON object as their result."""

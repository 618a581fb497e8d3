"""Where a video comes from, said twice: a mark in its pixels and a signed C2PA manifest in its file."""

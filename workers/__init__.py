"""Where rows meet pixels: the stages as plain functions, the runner around them, its supervisor."""

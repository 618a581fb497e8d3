"""Makes training worlds and shipped data: the head model, the sample presenter, extracted encoders."""

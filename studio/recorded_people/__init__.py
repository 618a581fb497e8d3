"""Real people who speak: folders of clips, laid out as their owners ship them, become a corpus for general training."""

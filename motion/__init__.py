"""Speech to motion: features of sound, the LSTM that learns a person's face, head pose, background matching."""

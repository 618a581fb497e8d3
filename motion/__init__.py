"""Speech to motion: features of the sound, the LSTM that learns a person's face from 300 frames, head pose, matching."""

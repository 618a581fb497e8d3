"""FaceTrack to frames: layers from the clip's own pixels first, then a memory-augmented GAN on top."""

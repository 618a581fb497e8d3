"""The vocabulary that fitting, motion and rendering share: model, camera, rotations, FaceTrack, rasteriser."""

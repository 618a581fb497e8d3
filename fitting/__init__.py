"""Clip to FaceTrack: inspect, landmarks, 3DMM fit, texture."""

"""REST and dashboard: starts without torch or OpenCV, meets the workers only through the rows."""

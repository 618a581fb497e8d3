"""The steps of a job as plain functions, from files to files."""

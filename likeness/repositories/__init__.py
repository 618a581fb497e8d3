"""All SQL of the service. A repository is made around an open transaction and never commits by itself."""

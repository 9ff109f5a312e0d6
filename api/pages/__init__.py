"""What is not of a version of the API: the dashboard, its documents, and how the service does."""

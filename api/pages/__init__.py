"""What belongs to no version of the API: the dashboard, the API's documents, and the health check."""

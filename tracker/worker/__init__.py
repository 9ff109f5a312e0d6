"""How a worker and a beat differ from stock Celery ones, and why."""

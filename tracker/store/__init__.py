"""All that speaks Redis for everybody, and the server that comes with the tracker."""

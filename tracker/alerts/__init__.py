"""From rules to people: what fires, what is recorded of it, who is told, and how."""

"""How accurate is a function, and where not."""

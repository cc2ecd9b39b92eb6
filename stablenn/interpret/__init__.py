"""One jaxpr walker, and the meanings it can give a program."""

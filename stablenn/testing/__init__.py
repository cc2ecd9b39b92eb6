"""Finding out whether functions keep their promises: strategies for extreme inputs, and laws."""

"""The words and rules of Forgehand. Standard library only."""

"""What Forgehand does, in terms of ports."""

"""How fast the kernel is, beside its peers."""

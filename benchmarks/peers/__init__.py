"""The same work in other job systems, each in a process of its own."""

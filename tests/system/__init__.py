"""Tests under a real service manager, in namespaces of the kernel."""

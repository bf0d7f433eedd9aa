"""The menus of file managers, and the notices of a desktop."""

"""Previews of pictures, small or in tiles: read by a process with access to the folders, decoded by a sandboxed one."""

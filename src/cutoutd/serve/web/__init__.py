"""The process that answers programs. It sees no folder, no journal and no picture's file, and decodes nothing."""

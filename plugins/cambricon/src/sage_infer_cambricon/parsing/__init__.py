"""Text that tools and the driver print, read into records: pure functions, one module per form."""

"""What people would use instead, each moving the same records."""

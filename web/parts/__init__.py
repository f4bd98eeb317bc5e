"""Elements shared by all pages."""

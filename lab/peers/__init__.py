"""Daemons that nobody here wrote, as nodes of a lab: their images, configurations, logs and states."""

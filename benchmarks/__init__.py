"""Workloads with their floors, each measured in the same run: `make bench`."""

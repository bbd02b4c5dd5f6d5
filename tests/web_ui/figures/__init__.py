"""The figures of the pages, measured on real processes and in a real Chromium: `make ui` prints them as one table."""

"""The kit for tests of rules, adapters and domains; public, for vendors too."""

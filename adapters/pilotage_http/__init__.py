"""Devices and services that have only HTTP: webhooks in, requests out, to a closed list of servers."""

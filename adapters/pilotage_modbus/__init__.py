"""Devices over Modbus: TCP, TLS and RTU, many units on one connection."""

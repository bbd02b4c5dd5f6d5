"""MQTT equipment: topics and payloads to points, and orders back."""

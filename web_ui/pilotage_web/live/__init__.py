"""What moves on the pages: the hub that follows the engine, the ring of the last minute, the stream to each browser."""

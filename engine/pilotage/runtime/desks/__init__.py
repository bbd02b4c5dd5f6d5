"""The desks behind the control socket that answer pages: why a point is as it is, what rules do, what equipment there is.

What looks at the live state does so between two ticks, in small slices; what reads journal or history does so in another
thread, and what compiles in another process.
"""

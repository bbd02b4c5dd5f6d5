"""The pages, one module each: its handlers, wrapped by `page` and `action`, and the tuple `ROUTES`.

What a template shows is worked out by a pure function `view(state, who)`, so that it can be tested without a browser.
"""

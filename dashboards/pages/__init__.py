"""One module a page or family of pages; ``app.ROUTERS`` lists them."""

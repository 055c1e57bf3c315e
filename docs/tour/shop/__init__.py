"""A small shop, for the review that the tour shows: the tour commits this folder, and ``shop_next`` over it."""

"""The page: its words, what stands where, what happens when, its looks, its script; put together by build."""
